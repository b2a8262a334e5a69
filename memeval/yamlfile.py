"""YAML files that people write: read with the C loader, safely, and what is wrong in them is one line with file and line."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

from memeval.errors import UsageError


def read_yaml(path: Path) -> dict[str, Any]:
    """A YAML mapping read with the C loader; an empty file is an empty one. Errors are one line with file and line."""
    try:
        changed = path.stat().st_mtime_ns
    except OSError as error:
        raise UsageError(f"{path}: cannot read the card ({error.strerror or error})") from None
    return dict(_parsed(path, changed))


@functools.lru_cache(maxsize=512)
def _parsed(path: Path, changed: int) -> dict[str, Any]:
    """Read once per version of the file: cards are looked at several times, and bases by many cards."""
    import yaml

    try:
        data = yaml.load(path.read_text(encoding="utf-8"), Loader=_loader())
    except OSError as error:
        raise UsageError(f"{path}: cannot read the card ({error.strerror or error})") from None
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
    """YAML forbids a key that stands twice in a mapping; the library takes the last one without a word."""
    import yaml

    base: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

    class Loader(base):  # type: ignore[misc]
        def construct_mapping(self, node: Any, deep: bool = False) -> Any:
            seen: set[str] = set()
            for key, _ in node.value if isinstance(node, yaml.MappingNode) else ():
                if isinstance(key.value, str) and key.value in seen:
                    raise yaml.constructor.ConstructorError(
                        problem=f"the key '{key.value}' stands twice", problem_mark=key.start_mark
                    )
                seen.add(str(key.value))
            return super().construct_mapping(node, deep=deep)

    return Loader


def at_key(path: Path, key: str) -> str:
    """`file:line` of a top-level key (found only when an error needs it)."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        return str(path)
    for number, line in enumerate(lines, start=1):
        if line.lstrip().startswith((f"{key}:", f'"{key}":', f"'{key}':")):
            return f"{path}:{number}"
    return str(path)
