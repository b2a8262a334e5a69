"""Tool calls read from what a model wrote, repaired only where the repair is unambiguous.

Two shapes: `<tool_call>{"name": ..., "arguments": {...}}</tool_call>` in the text (the Hermes/Qwen format, as many as there
are), and the arguments of a native call. Nothing here raises: what cannot be read becomes a call with an `error`, and the
memory's economics counts it as a failed operation.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

from memeval.models.completion import ToolCall

OPEN, CLOSE = "<tool_call>", "</tool_call>"
DEEPEST = 32  # levels of nesting; deeper arguments are damage, and would exhaust the stack of whoever walks them
_FENCE = "```"
_LANGUAGE = re.compile(r"[\w-]*")
_OPENED_FENCE = re.compile(r"\s*```[\w-]*[ \t]*\n?")
_STRING = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"', re.DOTALL)
_RAW_CONTROL = re.compile(r"(\\.)|[\x00-\x1f]", re.DOTALL)
_WORD = re.compile(r"[A-Za-z_]\w*")
_PYTHON = {"True": "true", "False": "false", "None": "null"}
_CLOSER = {"{": "}", "[": "]"}


def parse_arguments(raw: object, complete: bool = True) -> tuple[dict[str, Any] | None, str | None]:
    """The arguments of one call as a dict, or None and why not. `raw` is a JSON text (or, from some servers, the object
    itself, or a JSON text once more in quotes); nothing at all means no arguments. `complete`: the reply was not cut off, so
    closing brackets that are missing at the end may be added."""
    if isinstance(raw, Mapping):
        try:
            raw = json.dumps(raw)
        except (TypeError, ValueError, RecursionError):
            return None, "the arguments are not JSON"
    if raw is None or (isinstance(raw, str) and not raw.strip()):
        return {}, None
    if not isinstance(raw, str):
        return None, f"the arguments are a {type(raw).__name__}, not a JSON object"
    value, error = _read(tidy(raw), complete)
    if isinstance(value, str):
        value, error = _read(value, complete)
    if error is not None:
        return None, error
    if not isinstance(value, dict):
        return None, f"the arguments are a {_kind(value)}, not a JSON object"
    return value, None


def parse_text(text: str, tools: Sequence[Mapping[str, Any]] | None) -> tuple[str, tuple[ToolCall, ...]]:
    """(text without its calls, calls). Without `tools` nothing is looked for: a text about tags is a text.

    The closing tag of the last block may be missing if its JSON is complete. A text that is nothing but one JSON object
    naming an offered tool and its arguments is a call as well.
    """
    if not tools:
        return text, ()
    if OPEN not in text:
        return _bare(text, tools)
    text = tidy(text)
    kept: list[str] = []
    calls: list[ToolCall] = []
    at = 0
    while (start := text.find(OPEN, at)) >= 0:
        kept.append(text[at:start])
        body, at = _block(text, start + len(OPEN))
        closed = text.startswith(CLOSE, at)
        at += len(CLOSE) if closed else 0
        calls += _calls(body, closed, len(calls))
    kept.append(text[at:])
    return "".join(kept).strip(), tuple(calls)


def named_call(name: object, raw: object, index: int, id: object = "", complete: bool = True) -> ToolCall:
    """The call of tool `name` with arguments `raw`. Without an id of its own it gets one made from its content."""
    text = tidy(raw) if isinstance(raw, str) else "" if raw is None else str(raw)
    title = name.strip() if isinstance(name, str) else ""
    arguments, error = parse_arguments(raw, complete)
    if not title:
        arguments, error = None, "the call names no tool"
    if not isinstance(id, str) or not id:
        id = f"call_{index}_{hashlib.sha256(f'{title} {text}'.encode('utf-8', 'replace')).hexdigest()[:8]}"
    return ToolCall(tidy(title), arguments, text, error, tidy(id))


def tidy(text: str) -> str:
    """`text` without lone surrogates: they come from broken `\\ud83d` escapes and can be written nowhere."""
    if text.isascii():
        return text
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text


def _block(text: str, start: int) -> tuple[str, int]:
    """What stands in the block that begins at `start`, and where it ends. Tags inside JSON strings do not end it."""
    fence = _OPENED_FENCE.match(text, start)
    end = _skip(text, fence.end() if fence else start)
    try:
        _, end = _STRICT.raw_decode(text, end) if text.startswith(("{", "["), end) else (None, start)
    except (ValueError, RecursionError):
        end = start
    following = text.find(OPEN, end)
    stop = following if following >= 0 else len(text)
    close = text.find(CLOSE, end, stop)
    stop = close if close >= 0 else stop
    return text[start:stop], stop


def _calls(body: str, closed: bool, index: int) -> list[ToolCall]:
    value, error = _read(body, complete=closed)
    if error is not None and closed:
        several = _objects(body)  # some models put one object per line into one block
        if several:
            value, error = several, None
    if error is not None:
        reason = error if closed else f"cut off: {error}"
        return [ToolCall("", None, body.strip(), reason, f"call_{index}")]
    values = value if isinstance(value, list) and value else [value]
    return [_call(entry, body, index + offset) for offset, entry in enumerate(values)]


def _call(value: Any, body: str, index: int) -> ToolCall:
    if isinstance(value, dict) and isinstance(value.get("function"), dict):
        value = value["function"]
    if not isinstance(value, dict):
        return ToolCall("", None, body.strip(), f"the call is a {_kind(value)}, not a JSON object", f"call_{index}")
    key = "arguments" if "arguments" in value else "parameters"
    raw = value.get(key)
    return named_call(
        value.get("name"), raw if raw is None or isinstance(raw, str) else json.dumps(raw, ensure_ascii=False), index
    )


def _bare(text: str, tools: Sequence[Mapping[str, Any]]) -> tuple[str, tuple[ToolCall, ...]]:
    body = _unfenced(tidy(text))
    if not (body.startswith("{") and body.endswith("}")):
        return text, ()
    value, error = _read(body, complete=False)
    names = {tool.get("function", tool).get("name") for tool in tools}
    if (
        error is None
        and isinstance(value, dict)
        and value.get("name") in names
        and {"arguments", "parameters"} & value.keys()
    ):
        return "", (_call(value, body, 0),)
    return text, ()


def _objects(body: str) -> list[Any]:
    """The values of a text that is several JSON objects in a row; empty when it is anything else."""
    found, at, text = [], 0, _unfenced(body)
    while at < len(text):
        try:
            value, at = _STRICT.raw_decode(text, at)
        except (ValueError, RecursionError):
            return []
        if not isinstance(value, dict):
            return []
        found.append(value)
        at = _skip(text, at)
    return found if all(_depth(value) <= DEEPEST for value in found) else []


def _read(raw: str, complete: bool = True) -> tuple[Any, str | None]:
    """A JSON value, repaired where that is unambiguous, or None and the reason. `complete`: brackets missing at the end
    may be added (not where the text may have been cut off)."""
    text = _unfenced(raw)
    try:
        value = _STRICT.decode(text)
    except RecursionError:
        return None, "nested too deeply"
    except _Ambiguous as error:
        return None, str(error)
    except ValueError as error:
        repaired = _repair(text, complete)
        if repaired is None:
            return None, f"not JSON: {error}"
        try:
            value = _STRICT.decode(repaired)
        except RecursionError:
            return None, "nested too deeply"
        except ValueError as second:
            return None, str(second) if isinstance(second, _Ambiguous) else f"not JSON: {error}"
    if text.count("{") + text.count("[") >= DEEPEST and _depth(value) > DEEPEST:
        return None, "nested too deeply"
    return (_tidied(value) if "\\u" in text else value), None


def _repair(text: str, complete: bool) -> str | None:
    """The same JSON without trailing commas, raw line breaks in strings, Python literals, superfluous closing brackets at
    the end, and with the missing ones added. None where it could have meant more than one thing: an open string, a
    key without a value, a number at the very end (it may have had more digits)."""
    parts: list[str] = []
    stack: list[str] = []
    at, last, comma = 0, "", 0
    while at < len(text):
        char = text[at]
        if not stack and last in ("}", "]"):
            if text[at:].strip(" \t\r\n}]"):
                return None
            break  # nothing but closing brackets after a complete value
        if char == '"':
            found = _STRING.match(text, at)
            if found is None:
                return None
            parts.append(_escaped(found.group()))
            at, last = found.end(), '"'
            continue
        word = _WORD.match(text, at)
        if word is not None and last != "0":
            parts.append(_PYTHON.get(word.group(), word.group()))
            at, last = word.end(), "w"
            continue
        at += 1
        parts.append(char)
        if char in " \t\r\n":
            continue
        if char in "{[":
            stack.append(char)
        elif char in "}]":
            if not stack or _CLOSER[stack.pop()] != char:
                return None
            if last == ",":
                parts[comma] = ""
        elif char == ",":
            comma = len(parts) - 1
        last = "0" if char not in "{}[],:" else char
    if stack:
        if not complete or last not in ('"', "w", "}", "]"):
            return None
        parts += [_CLOSER[char] for char in reversed(stack)]
    return "".join(parts)


def _escaped(string: str) -> str:
    return _RAW_CONTROL.sub(lambda found: found[1] or f"\\u{ord(found[0]):04x}", string)


def _unfenced(text: str) -> str:
    text = text.strip()
    if len(text) >= 6 and text.startswith(_FENCE) and text.endswith(_FENCE):
        inner = text[3:-3]
        language = _LANGUAGE.match(inner)
        return inner[language.end() if language else 0 :].strip()
    return text


def _skip(text: str, at: int) -> int:
    while at < len(text) and text[at] in " \t\r\n":
        at += 1
    return at


def _depth(value: Any) -> int:
    deepest, level = 0, [value]
    while level and deepest <= DEEPEST:
        level = [part for outer in level if isinstance(outer, (dict, list)) for part in _parts(outer)]
        deepest += 1
    return deepest


def _parts(value: dict[str, Any] | list[Any]) -> list[Any]:
    return list(value.values()) if isinstance(value, dict) else value


def _tidied(value: Any) -> Any:
    if isinstance(value, str):
        return tidy(value)
    if isinstance(value, list):
        return [_tidied(part) for part in value]
    if isinstance(value, dict):
        return {tidy(key): _tidied(part) for key, part in value.items()}
    return value


def _kind(value: Any) -> str:
    return {dict: "object", list: "list", str: "string", bool: "truth value", type(None): "null"}.get(type(value), "number")


class _Ambiguous(ValueError):
    """Valid JSON by the letter that says two things, or none."""


def _pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):
        seen: set[str] = set()
        double = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        raise _Ambiguous(f"the key {double!r} stands twice")
    return value


def _constant(name: str) -> Any:
    raise _Ambiguous(f"{name} is not a JSON number")


def _float(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise _Ambiguous(f"{text[:40]} is not a finite number")
    return value


_STRICT = json.JSONDecoder(object_pairs_hook=_pairs, parse_constant=_constant, parse_float=_float)
