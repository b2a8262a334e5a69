"""Read tool calls from a reply: native arguments, and the notations of the table `tool_calls` (rules.py) in text.

Nothing here raises: an unreadable call gets an `error`, which counts as a failed operation of the memory. Damaged JSON
is repaired (json_repair) unless the reply was cut off. The time is linear in the length of the text.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

from memeval.models import rules
from memeval.models.completion import ToolCall
from memeval.models.python_calls import bracket_end, python_calls
from memeval.records.clean import clean

MOST_CALLS = 200
"""Most calls in one reply; a text with more is damaged."""
LONGEST_REPAIR = 8_192
"""Most characters of damaged JSON that are repaired, because repairing is far slower than reading."""
_TRIES = 50  # most places in a text that look like a call but are none
_FENCE = re.compile(r"```[\w-]*\s*(.*?)\s*```", re.DOTALL)
_OPENED_FENCE = re.compile(r"\s*(?:```[\w-]*\s*)?")
_EMPTY_FENCE = re.compile(r"```[\w-]*\s*```")
_PAIR = re.compile(
    r"""(?:<parameter(?:=|\s+name=)["']?|<arg_key>)([^<>\n"']{1,100})(?:["']?>|</arg_key>\s*<arg_value>)"""
    r"(.*?)(?=</parameter>|</arg_value>|<parameter|<arg_key>|\Z)",
    re.DOTALL,
)
_NAME_KEYS = ("name", "tool", "tool_name", "function", "action")
_ARGUMENT_KEYS = ("arguments", "parameters", "args", "input", "action_input", "params")

Names = Mapping[str, Mapping[str, Any]]
"""Names of the offered functions -> the schemas of their parameters by name."""
_Found = tuple[str, object]  # (name, arguments)
_Span = tuple[int, int, list[_Found]]  # (start, end, the calls between them)


def offered(tools: Sequence[Mapping[str, Any]] | None) -> dict[str, Mapping[str, Any]]:
    """The functions that may be called."""
    found = {}
    for tool in tools or ():
        function = tool.get("function", tool)
        schema = function.get("parameters")
        properties = schema.get("properties") if isinstance(schema, Mapping) else None
        found[str(function.get("name"))] = properties if isinstance(properties, Mapping) else {}
    return found


def parse_arguments(raw: object, complete: bool = True) -> tuple[dict[str, Any] | None, str | None]:
    """The arguments of one call as a dict, or None and the reason. `raw` is a JSON text (or, from some servers, the
    object itself, or a JSON text quoted once more); an empty value means no arguments. `complete`: the reply was not
    cut off, so damaged JSON may be repaired."""
    value, error = raw, None
    for _ in range(2):  # JSON, or JSON quoted once more
        if isinstance(value, str) and error is None:
            value, error = _read(value, complete) if value.strip() else ({}, None)
    if error is not None:
        return None, error
    if value is None and raw is None:
        return {}, None
    if not isinstance(value, Mapping):
        return None, f"the arguments are a {type(value).__name__}, not a JSON object"
    arguments: dict[str, Any] = clean(value)
    return arguments, None


def parse_text(text: str, tools: Sequence[Mapping[str, Any]] | None) -> tuple[str, tuple[ToolCall, ...]]:
    """(text without its calls, calls) of a reply that was not cut off, in the first notation that yields any. Without
    `tools` nothing is searched: text about tags stays text, and so does JSON that is not a call."""
    if not tools:
        return text, ()
    names, tidied = offered(tools), tidy(text)
    for row in rules.spellings():
        parser = _LOOSE.get(row.holds, _marked)
        kept, calls, at = [], list[ToolCall](), 0
        for start, end, found in parser(tidied, row, names):
            kept.append(tidied[at:start])
            at = end
            for name, raw in found[: MOST_CALLS - len(calls)]:
                calls.append(named_call(name, raw, len(calls), names=names))
        if calls:
            left = "".join([*kept, tidied[at:]])
            return _EMPTY_FENCE.sub("", left).strip(), tuple(calls)
    return text, ()


def named_call(
    name: object,
    raw: object,
    index: int,
    id: object = "",
    complete: bool = True,
    names: Names | None = None,
    cut: bool = False,
) -> ToolCall:
    """The call of tool `name` with arguments `raw`. A missing id is derived from its content. names: the offered
    functions; calls of others fail. cut: the reply ended inside this call."""
    text = "" if raw is None else tidy(_as_text(raw))
    title = tidy(name.strip()) if isinstance(name, str) else ""
    if names:
        title = _plain(title, names)
    arguments, error = parse_arguments(raw, complete)
    if not title:
        arguments, error = None, error or "the call names no tool"
    elif names and title not in names:
        arguments, error = None, f"no tool '{title[:80]}' was offered"
    elif cut:
        arguments, error = None, "the reply was cut off in this call"
    if not isinstance(id, str) or not id:
        id = f"call_{index}_{hashlib.sha256(f'{title} {text}'.encode()).hexdigest()[:8]}"
    return ToolCall(title, arguments, text, error, tidy(id))


def tidy(text: str) -> str:
    """`text` without lone surrogates: they come from broken `\\ud83d` escapes and can be written nowhere. Halves of a pair
    that stand side by side are joined."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text


# -- parsers: (text, row of the table, names) -> where calls stand, and which ------------------------------------------


def _marked(text: str, row: rules.Spelling, names: Names) -> Iterator[_Span]:
    """Blocks between a row's markers. A block ends where its JSON ends, at the end marker, or where the next block
    starts; markers inside JSON strings are text."""
    starts = list(islice(row.starts.finditer(text), MOST_CALLS + 1))
    at = 0
    for number, start in enumerate(starts):
        if start.start() < at:
            continue
        stop = _json_end(text, start.end())
        following = next((other.start() for other in starts[number + 1 :] if other.start() >= stop), len(text))
        close = row.ends.search(text, stop, following) if row.ends else None
        body = text[start.end() : close.start() if close else following]
        at = close.end() if close else following
        if row.holds == "calls":
            yield start.start(), at, _listed(_unfenced(body), names)
        else:
            name = start["name"].strip()
            pairs = row.holds == "pairs"
            yield start.start(), at, [(name, _pairs(body, names.get(_plain(name, names), {})) if pairs else body)]


def _among_prose(text: str, row: rules.Spelling, names: Names) -> Iterator[_Span]:
    """JSON without markers: only calls of offered tools, or a text that consists only of calls."""
    at = tries = 0
    some = False
    for start in row.starts.finditer(text):
        if start.start() < at or tries == _TRIES:
            continue
        try:
            value, at = _STRICT.raw_decode(text, start.start())
        except (ValueError, RecursionError):
            tries += 1
            continue
        if found := _shaped(value, names):
            some = True
            yield start.start(), at, found
    first = row.starts.search(text)
    if not some and tries and first is not None:
        stop = max(text.rfind("}"), text.rfind("]")) + 1
        value, error = _read(text[first.start() : stop], complete=True)
        if error is None and _all_offered(found := _shaped(value, names), names):
            yield first.start(), max(stop, first.end()), found


def _as_python(text: str, row: rules.Spelling, names: Names) -> Iterator[_Span]:
    """Python's notation, `[f(a="b"), g(x=1)]`: the whole text, or a list among prose."""
    whole = python_calls(_unfenced(text), names)
    if whole and (_all_offered(whole, names) or _unfenced(text).startswith("[")):
        yield 0, len(text), whole
        return
    at = 0
    for start in islice(row.starts.finditer(text), _TRIES):
        end = bracket_end(text, start.start())
        if start.start() >= at and _all_offered(found := python_calls(text[start.start() : end], names), names):
            at = end
            yield start.start(), end, found


_LOOSE = {"json": _among_prose, "python": _as_python}


# -- what stands between markers ----------------------------------------------------------------------------------------


def _listed(body: str, names: Names) -> list[_Found]:
    """The calls of a block: JSON (one call, a list, or several in a row), else Python's notation."""
    values = _objects(body)
    if not values:
        if found := python_calls(body, names):
            return found
        value, error = _read(body, complete=True)
        if error is not None:
            return [("", body.strip())]
        values = [value]
    if len(values) == 1 and isinstance(values[0], list) and values[0]:
        values = values[0]
    return [_named(each) or ("", _as_text(each)) for each in values]


def _objects(text: str) -> list[Any]:
    """The values of a text that consists only of JSON values in a row (separated by commas or semicolons)."""
    found: list[Any] = []
    at = 0
    while at < len(text):
        try:
            value, at = _STRICT.raw_decode(text, at)
        except (ValueError, RecursionError):
            return []
        found.append(value)
        while at < len(text) and text[at] in " \t\r\n,;":
            at += 1
    return found


def _named(value: Any) -> _Found | None:
    """(name, arguments) of a JSON object that is a call."""
    if isinstance(value, dict) and isinstance(value.get("function"), dict):
        value = value["function"]
    if not isinstance(value, dict):
        return None
    name = next((value[key] for key in _NAME_KEYS if isinstance(value.get(key), str)), None)
    if name is None:
        return None
    return name, next((value[key] for key in _ARGUMENT_KEYS if key in value), None)


def _shaped(value: Any, names: Names) -> list[_Found]:
    """The calls in a JSON value that may be no call: of offered tools, in any form; of others, if the value is only a
    name and arguments. Empty if any part of it is something else."""
    while isinstance(value, dict) and len(value) == 1:
        ((key, inner),) = value.items()
        if _plain(key, names) in names and isinstance(inner, dict):
            return [(key, inner)]
        if not isinstance(inner, (list, dict)):
            return []
        value = inner
    found = []
    for each in value if isinstance(value, list) else [value]:
        call = _named(each)
        if call is None or not (isinstance(call[1], dict) or str(call[1]).lstrip().startswith("{")):
            return []
        if _plain(call[0], names) not in names and not each.keys() <= {"name", "arguments", "parameters", "type", "id"}:
            return []
        found.append(call)
    return found


def _pairs(body: str, schemas: Mapping[str, Any]) -> dict[str, Any]:
    """Parameters one by one, `<parameter=KEY>VALUE</parameter>` and the like. A value is text unless its schema says
    otherwise and it is valid JSON."""
    found: dict[str, Any] = {}
    for key, raw in _PAIR.findall(body):
        text, schema = raw.removeprefix("\n").removesuffix("\n"), schemas.get(key.strip())
        is_text = not isinstance(schema, Mapping) or schema.get("type", "string") == "string"
        value, error = (text, None) if is_text else _read(text, complete=False)
        found[key.strip()] = text if error else value
    return found


def _all_offered(found: Sequence[_Found], names: Names) -> bool:
    return bool(found) and all(_plain(name, names) in names for name, _ in found)


# -- pieces ---------------------------------------------------------------------------------------------------------------


def _plain(name: str, names: Names) -> str:
    """A function's name without the decorations that models add, if the plain name is offered."""
    plain = name.strip()
    if plain not in names:
        for row in rules.decorations():
            plain = row.match.sub("", plain).strip()
    return plain if plain in names else name


def _read(raw: str, complete: bool) -> tuple[Any, str | None]:
    """A JSON value, or None and the reason. `complete`: damaged JSON may be repaired."""
    text = _unfenced(tidy(raw))
    try:
        return _STRICT.decode(text), None
    except RecursionError:
        return None, "nested too deeply"
    except ValueError as error:
        value = _repaired(text) if complete else None
        return (value, None) if value else (None, f"not JSON: {error}")


def _repaired(text: str) -> Any:
    """The likely meaning of damaged JSON (a non-empty dict or list), or None."""
    if len(text) > LONGEST_REPAIR or text[:1] not in ("{", "["):
        return None
    import json_repair  # heavier than most replies need

    try:
        value = json_repair.loads(text)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, (dict, list)) and value else None


def _json_end(text: str, begin: int) -> int:
    """The end of the JSON value at the start of a block, after its code fence if it has one; `begin` if there is no
    value."""
    fence = _OPENED_FENCE.match(text, begin)
    at = fence.end() if fence else begin
    try:
        return _STRICT.raw_decode(text, at)[1] if text.startswith(("{", "["), at) else begin
    except (ValueError, RecursionError):
        return begin


def _unfenced(text: str) -> str:
    text = text.strip()
    fenced = _FENCE.fullmatch(text)
    return fenced[1] if fenced else text


def _as_text(value: Any) -> str:
    try:
        return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    except (TypeError, ValueError, RecursionError):
        return repr(value)


_STRICT = json.JSONDecoder()
