"""Decode what users write strictly into typed records: every error is one line with place, key and fix."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterable, Iterator
from typing import Annotated, Any, get_args, get_origin

import msgspec

from memeval.errors import UsageError, suggest

Place = str | Callable[..., str]
"""The place of a value, `file:line`; or a function from its keys, outermost first, to the place."""

Text = Annotated[str, msgspec.Meta(pattern=r"\S")]
Count = Annotated[int, msgspec.Meta(ge=0)]
Positive = Annotated[int, msgspec.Meta(ge=1)]

_AT = re.compile(r" - at `\$(.*)`$")
_STEP = re.compile(r"\.(\w+)|\[(\d+)\]")
_KEY = re.compile(r"Object (contains unknown|missing required) field `(.*)`")
_WORDS = {
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "str": "a text",
    "array": "a list",
    "object": "a mapping",
    " | null": "",
    " | ": " or ",
    "`": "",
    r" matching regex '\\S'": " that is not blank",
}
_WORD = re.compile("|".join(map(re.escape, _WORDS)))


@functools.cache
def fields(kind: type[msgspec.Struct]) -> dict[str, msgspec.structs.FieldInfo]:
    """Name -> field of a record's type."""
    return {field.name: field for field in msgspec.structs.fields(kind)}


def typed(value: Any, kind: Any, place: Place, *keys: str) -> Any:
    """Convert a value to the type of its field; a single text counts as a list of one. keys: of the value, outermost
    first. Raises UsageError with the place and the key."""
    lists = [get_origin(part) for part in (kind, *get_args(kind))]
    try:
        return msgspec.convert([value] if isinstance(value, str) and tuple in lists else value, kind)
    except msgspec.ValidationError as error:
        message = str(error)
    path = _AT.search(message)
    inner: list[str | int] = [name or int(index) for name, index in _STEP.findall(path[1] if path else "")]
    fault = _AT.sub("", message)
    wrong = _KEY.fullmatch(fault)
    if wrong:
        inner.append(wrong[2])
    name, names = dotted(*keys, *inner), (*keys, *(step for step in inner if isinstance(step, str)))
    where = place if isinstance(place, str) else place(*names)
    if wrong:
        known = fields(_record(kind, inner[:-1]))
        raise UsageError(f"{where}: {f'{name!r} is missing' if wrong[2] in known else unknown_key(name, known)}")
    for step in inner:
        value = value[step]
    shown = repr(value) if len(repr(value)) <= 80 else f"{repr(value)[:77]}..."
    choices = list(_choices(_leaf(kind, inner))) if fault.startswith("Invalid enum") else []
    if choices:
        raise UsageError(f"{where}: '{name}' is {shown}{suggest(str(value), choices)} (known: {', '.join(choices)})")
    wanted = _WORD.sub(lambda word: _WORDS[word[0]], fault.partition(", got ")[0])
    raise UsageError(f"{where}: {repr(name) if name else 'it'} is {shown}, {wanted[0].lower()}{wanted[1:]}")


def _choices(kind: Any) -> Iterator[str]:
    """The texts that a type allows."""
    for part in get_args(kind):
        yield from ([part] if part else []) if isinstance(part, str) else _choices(part)


def dotted(*keys: str | int) -> str:
    """Keys and indices as one name: `questions[0].answers`."""
    return "".join(f"[{key}]" if isinstance(key, int) else f".{key}" for key in keys).removeprefix(".")


def unknown_key(key: str, known: Iterable[str]) -> str:
    """The message for a key that a record does not have. key: dotted, with the keys around it."""
    shown = key if len(key) <= 80 else f"{key[:77]}..."
    return f"unknown key '{shown}'{suggest(key.rpartition('.')[2][:80], known)}"


def _leaf(kind: Any, inner: list[str | int]) -> Any:
    """The type of the value at the end of the path, if its last step is a field of a record."""
    if not inner or isinstance(inner[-1], int):
        return kind
    return fields(_record(kind, inner[:-1]))[inner[-1]].type


def _record(kind: Any, inner: Iterable[str | int]) -> Any:
    """The type of the record at the end of the path, from a value of this type."""
    for step in inner:
        if isinstance(step, str):
            kind = fields(_record(kind, ()))[step].type
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        return kind
    return next(filter(None, (_record(part, ()) for part in get_args(kind))), None)
