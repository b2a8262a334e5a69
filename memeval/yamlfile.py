"""YAML files that people write: read safely, and decoded strictly into typed records.

Whatever is wrong is one line with file, line, key and the fix.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, get_args, get_origin

import msgspec

from memeval.errors import UsageError, suggest

_AT = re.compile(r" - at `\$(.*)`$")
_STEP = re.compile(r"\.(\w+)|\[(\d+)\]")
_WORDS = {
    **{"int": "a whole number", "float": "a number", "bool": "true or false", "str": "a text"},
    **{"array": "a list of texts", "object": "a mapping", " | null": " or null", "`": ""},
}


def read_yaml(path: Path) -> dict[str, Any]:
    """A YAML mapping; an empty file is an empty one. Raises UsageError with file and line."""
    try:
        return dict(_parsed(path, path.stat().st_mtime_ns))
    except OSError as error:
        raise UsageError(f"{path}: cannot read the card ({error.strerror or error})") from None


@functools.lru_cache(maxsize=512)
def _parsed(path: Path, changed: int) -> dict[str, Any]:
    """Parsed once per version of the file: many cards extend the same ones."""
    import yaml

    try:
        data = yaml.load(path.read_text(encoding="utf-8"), Loader=_loader())
    except UnicodeDecodeError:
        raise UsageError(f"{path}: not UTF-8 text; save it as UTF-8") from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f":{mark.line + 1}" if mark else ""
        raise UsageError(f"{path}{line}: not valid YAML: {getattr(error, 'problem', error)}") from None
    if data is None:
        data = {}  # an empty file, or one of comments
    if not isinstance(data, dict) or not all(isinstance(key, str) for key in data):
        raise UsageError(f"{path}: expected a mapping of keys to values")
    return data


@functools.cache
def _loader() -> Any:
    """The C loader, which refuses a key that occurs twice in a mapping: the library takes the last one silently."""
    import yaml

    base: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

    class Loader(base):  # type: ignore[misc]
        def construct_mapping(self, node: Any, deep: bool = False) -> Any:
            seen: set[str] = set()
            for key, _ in node.value if isinstance(node, yaml.MappingNode) else ():
                if isinstance(key.value, str) and key.value in seen:
                    raise yaml.constructor.ConstructorError(
                        problem=f"the key '{key.value}' occurs twice", problem_mark=key.start_mark
                    )
                seen.add(str(key.value))
            return super().construct_mapping(node, deep=deep)

    return Loader


def at_key(path: Path, *keys: str) -> str:
    """`file:line` of a key, given with the keys that it is nested in; the file alone where it does not have them."""
    import yaml

    line = None
    try:
        node: Any = yaml.compose(path.read_text(encoding="utf-8"), Loader=yaml.SafeLoader)
        for key in keys:
            found = {name.value: (name, value) for name, value in node.value}
            line, node = found[key][0].start_mark.line + 1, found[key][1]
    except (OSError, ValueError, yaml.YAMLError, LookupError, TypeError, AttributeError):
        pass  # the key comes from another file, or from none
    return str(path) if line is None else f"{path}:{line}"


@functools.cache
def fields(kind: type[msgspec.Struct]) -> dict[str, msgspec.structs.FieldInfo]:
    """Name -> field of a record's type."""
    return {field.name: field for field in msgspec.structs.fields(kind)}


def typed(value: Any, kind: Any, path: Path, *keys: str) -> Any:
    """A value as the type of its field; one text counts as a list of one. keys: of the value and of what it is nested in.
    Raises UsageError with file, line and key."""
    try:
        lists = [get_origin(part) for part in (kind, *get_args(kind))]
        return msgspec.convert([value] if isinstance(value, str) and tuple in lists else value, kind)
    except msgspec.ValidationError as error:
        message = str(error)
    found = _AT.search(message)
    inner: list[str | int] = [name or int(index) for name, index in _STEP.findall(found[1] if found else "")]
    fault, name = _AT.sub("", message), ".".join(map(str, [*keys, *inner]))
    place = at_key(path, *keys, *(step for step in inner if isinstance(step, str)))
    unknown = re.fullmatch(r"Object contains unknown field `(.*)`", fault)
    if unknown:
        place, known = at_key(path, *keys, *map(str, inner), unknown[1]), _known(kind, inner)
        raise UsageError(f"{place}: {unknown_key(f'{name}.{unknown[1]}'.lstrip('.'), known)} (known: {', '.join(known)})")
    for step in inner:
        value = value[step]
    shown = repr(value) if len(repr(value)) <= 80 else f"{repr(value)[:77]}..."
    choices = [choice for choice in get_args(kind) if choice] if fault.startswith("Invalid enum") else []
    if choices:
        raise UsageError(f"{place}: '{name}' is {shown}{suggest(str(value), choices)} (known: {', '.join(choices)})")
    wanted = re.sub("|".join(map(re.escape, _WORDS)), lambda word: _WORDS[word[0]], fault.partition(", got ")[0])
    raise UsageError(f"{place}: '{name}' is {shown}, {wanted[0].lower()}{wanted[1:]}")


def _known(kind: Any, inner: Iterable[str | int]) -> list[str]:
    """The keys of the record that the steps lead to from a record of this type."""
    for step in inner:
        kind = fields(kind)[str(step)].type
    return list(fields(kind))


def unknown_key(key: str, known: Iterable[str]) -> str:
    """What is said of a key that a record does not have. key: with those it is nested in."""
    return f"unknown key '{key}'{suggest(key.rpartition('.')[2], known)}"


def decoded(kind: type[msgspec.Struct], data: Mapping[str, Any], path: Path, *keys: str) -> dict[str, Any]:
    """Some fields of a record, each of its type, from the data of a file. keys: what the data are nested in."""
    return {key: typed(value, fields(kind)[key].type, path, *keys, key) for key, value in data.items()}
