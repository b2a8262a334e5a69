"""The source files behind a class, and their digests: the code that determines an agent's answers.

Files are found by reading import statements, including those inside functions; nothing is run. A file counts if it is
local: not in the standard library, not in site-packages (an editable install is local), and of memeval itself only the
code of agents. Started programs, opened data and environment variables are not seen; a card's `source:` can name files.
"""

from __future__ import annotations

import ast
import functools
import hashlib
import importlib.util
import sys
import sysconfig
import traceback
from collections.abc import Iterator, Mapping, Sequence
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path

PACKAGE = Path(__file__).resolve().parent
OWN = (PACKAGE / "agents", PACKAGE / "memory", PACKAGE / "prompts.py")
"""The parts of memeval that belong to an agent's identity. The format's version covers the rest."""

_INSTALLED = {"site-packages", "dist-packages"}


def is_local(path: Path) -> bool:
    """Whether a source file (resolved) may change without a new version of an installed package."""
    if path.is_relative_to(PACKAGE):
        return any(path.is_relative_to(own) for own in OWN)
    return not _INSTALLED.intersection(path.parts) and not any(path.is_relative_to(folder) for folder in _standard())


@functools.cache
def _standard() -> tuple[Path, ...]:
    return tuple({Path(sysconfig.get_path(name)).resolve() for name in ("stdlib", "platstdlib")})


def transitive(start: Mapping[str, Path], folder: Path | None = None) -> dict[str, Path]:
    """Module name -> file (resolved), of the modules in `start` and of all local modules that they import,
    transitively.

    folder: searched first for modules (beside an agent's file). Files that cannot be parsed as Python import nothing.
    """
    found: dict[str, Path] = {}
    queue = [(name, path.resolve()) for name, path in start.items()]
    while queue:
        name, path = queue.pop()
        if name not in found and is_local(path):
            found[name] = path
            queue += [pair for imported in _imports(name, path) for pair in _located(imported, folder)]
    return dict(sorted(found.items()))


def labels(files: Mapping[str, Path]) -> dict[str, Path]:
    """The same files by labels that do not depend on their folder: `my_agent.py`, `pkg/module.py`."""
    return {
        "/".join(path.parts[-name.count(".") - 1 - (path.name == "__init__.py") :]): path for name, path in files.items()
    }


def digests(files: Mapping[str, Path]) -> dict[str, str]:
    """Label -> the first 16 hex digits of the file's sha256, `gone` if it cannot be read."""
    return {label: _digest(path) for label, path in sorted(files.items())}


def _digest(path: Path) -> str:
    try:
        with path.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()[:16]
    except OSError:
        return "gone"


def differences(before: Mapping[str, str], now: Mapping[str, str]) -> list[str]:
    """Labels of the files that were added, removed or changed."""
    return sorted(label for label in {*before, *now} if before.get(label) != now.get(label))


def imported_since(before: frozenset[str], files: Sequence[Path]) -> list[Path]:
    """Local files that were imported since `before` (the names in `sys.modules` then) from the folders of `files` and
    are not among them: imports whose names are only known at run time."""
    known, folders = set(files), {path.parent for path in files if not path.is_relative_to(PACKAGE)}
    loaded = [sys.modules[name] for name in sys.modules.keys() - before]
    paths = {Path(file).resolve() for module in loaded if (file := getattr(module, "__file__", None))}
    return sorted(path for path in paths - known if is_local(path) and any(path.is_relative_to(one) for one in folders))


def place(error: BaseException) -> str:
    """`FILE:LINE` of the innermost line of user code in an error's traceback; "" if there is none."""
    if isinstance(error, SyntaxError) and error.filename:
        return f"{error.filename}:{error.lineno}"
    frames = [frame for frame in local_frames(error) if not Path(frame.filename).resolve().is_relative_to(PACKAGE)]
    return f"{frames[-1].filename}:{frames[-1].lineno}" if frames else ""


def local_frames(error: BaseException) -> list[traceback.FrameSummary]:
    """The traceback entries of an error in local code (a user's, or that of memeval's agents), outermost first."""
    frames = traceback.extract_tb(error.__traceback__)
    return [frame for frame in frames if (path := Path(frame.filename)).is_file() and is_local(path.resolve())]


def _imports(module: str, path: Path) -> Iterator[str]:
    """Dotted names that a file imports. A name after `from x import` may or may not be a module; it is included."""
    try:
        tree = ast.parse(path.read_bytes())
    except (OSError, SyntaxError, ValueError, RecursionError):
        return
    package = module if path.name == "__init__.py" else module.rpartition(".")[0]
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            base = ".".join([*above, *([node.module] if node.module else [])])
            if base:
                yield from (base if alias.name == "*" else f"{base}.{alias.name}" for alias in node.names)


def _located(name: str, folder: Path | None) -> Iterator[tuple[str, Path]]:
    """The file of a module and of each package above it, if there are such modules."""
    top, *rest = name.split(".")
    spec = _top(top, folder)
    module = top
    while spec is not None:
        if spec.has_location and spec.origin:
            yield module, Path(spec.origin).resolve()
        if not rest or spec.submodule_search_locations is None:
            return
        module = f"{module}.{rest.pop(0)}"
        spec = PathFinder.find_spec(module, list(spec.submodule_search_locations))


def _top(name: str, folder: Path | None) -> ModuleSpec | None:
    beside = PathFinder.find_spec(name, [str(folder)]) if folder else None
    if beside is not None and (beside.origin or name not in sys.modules):  # a plain folder need not be a package
        return beside
    try:
        return None if name in sys.stdlib_module_names else importlib.util.find_spec(name)
    except (ImportError, ValueError):  # ValueError: a module object without a spec
        return None
