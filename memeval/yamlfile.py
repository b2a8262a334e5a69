"""Read users' YAML files safely; every error is one line with file, line and the fix."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from memeval.errors import UsageError
from memeval.typed import fields, typed


def read_yaml(path: Path) -> dict[str, Any]:
    """The mapping in a YAML file; empty for an empty file. Raises UsageError with file and line."""
    try:
        return dict(_parsed(path, path.stat().st_mtime_ns))
    except OSError as error:
        raise UsageError(f"{path}: cannot read the card ({error.strerror or error})") from None


@functools.lru_cache(maxsize=512)
def _parsed(path: Path, changed: int) -> dict[str, Any]:
    """Parse a file once per version, because many cards extend the same ones."""
    try:
        return mapping(path.read_text(encoding="utf-8"), str(path))
    except UnicodeDecodeError:
        raise UsageError(f"{path}: not UTF-8 text; save it as UTF-8") from None


def mapping(text: str, place: str) -> dict[str, Any]:
    """The mapping in a YAML text; empty for an empty text. place: its file. Raises UsageError with file and line."""
    import yaml

    try:
        data = yaml.load(text, Loader=_loader())
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f":{mark.line + 1}" if mark else ""
        raise UsageError(f"{place}{line}: not valid YAML: {getattr(error, 'problem', error)}") from None
    if data is None:
        data = {}  # an empty file, or one of comments
    if not isinstance(data, dict) or not all(isinstance(key, str) for key in data):
        raise UsageError(f"{place}: expected a mapping of keys to values")
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
    """`file:line` of a key, given with the keys around it; only the file if it does not contain them."""
    import yaml

    line = None
    try:
        node: Any = yaml.compose(path.read_text(encoding="utf-8"), Loader=yaml.SafeLoader)
        for key in keys:
            found = {name.value: (name, value) for name, value in node.value}
            line, node = found[key][0].start_mark.line + 1, found[key][1]
    except (OSError, ValueError, yaml.YAMLError, LookupError, TypeError, AttributeError):
        pass  # the key comes from another file, or from no file
    return str(path) if line is None else f"{path}:{line}"


def decoded(kind: type[msgspec.Struct], data: Mapping[str, Any], path: Path, *keys: str) -> dict[str, Any]:
    """Decode some fields of a record from the data of a file. keys: around the data, outermost first."""
    place = functools.partial(at_key, path)
    return {key: typed(value, fields(kind)[key].type, place, *keys, key) for key, value in data.items()}
