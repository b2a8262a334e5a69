"""Load the Python objects that `file.py:Name` and `package.module:Name` name.

A user's file may import modules beside it and in the working directory. An error while loading is one line with the
user's file and line.
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import Any

from memeval import source_files
from memeval.errors import UsageError, suggest


def load_object(reference: str, base: Path | None = None) -> Any:
    """The object that `package.module:Name` or `path/to/file.py:Name` names. A relative file is searched beside `base`
    (the card that names it), then in the working directory. The object may import modules beside its file and in the
    working directory. Raises UsageError with the user's file and line."""
    module_name, _, attribute = reference.rpartition(":")
    if not module_name or not attribute.isidentifier():
        raise UsageError(f"'{reference}': expected file.py:Class or package.module:Class")
    if module_name.endswith(".py"):
        module = _load_file(module_file(reference, base))
    elif module_name in sys.modules:
        module = sys.modules[module_name]
    else:
        with importing(f"'{reference}'", Path.cwd()):
            module = importlib.import_module(module_name)
    if not hasattr(module, attribute):
        names = [name for name in vars(module) if not name.startswith("_")]
        raise UsageError(f"'{reference}': {module_name} has no '{attribute}'{suggest(attribute, names)}")
    return getattr(module, attribute)


def module_file(reference: str, base: Path | None = None) -> Path:
    """The file of a `file.py:Name` reference."""
    path = Path(reference.rpartition(":")[0]).expanduser()
    beside = (base.parent / path) if base is not None else path
    found = beside if beside.is_file() else path
    if not found.is_file():
        raise UsageError(f"'{reference}': no file {path}")
    return found.resolve()


def _file_module(path: Path) -> str:
    return f"memeval_user_{hashlib.sha256(str(path).encode()).hexdigest()[:12]}"


def _load_file(path: Path) -> Any:
    name = _file_module(path)
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise UsageError(f"{path}: cannot be loaded as a Python module")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # before the code runs, because its dataclasses and pickles look up their module
    with importing(str(path), path.parent):
        try:
            spec.loader.exec_module(module)
        except BaseException:
            del sys.modules[name]
            raise
    return module


@contextmanager
def importing(what: str, folder: Path) -> Iterator[None]:
    """Put `folder` first on sys.path while a module is loaded, and last afterwards, for imports inside functions. No
    byte code is written: Python takes byte code for current if a file changes within a second and keeps its size."""
    written, sys.dont_write_bytecode = sys.dont_write_bytecode, True
    sys.path.insert(0, str(folder))
    importlib.invalidate_caches()
    try:
        yield
    except (KeyboardInterrupt, UsageError):
        raise
    except BaseException as error:
        place = source_files.place(error)
        raise UsageError(f"{place or what}: {_why(error, place)}") from error
    finally:
        sys.path.remove(str(folder))
        if str(folder) not in sys.path:
            sys.path.append(str(folder))
        sys.dont_write_bytecode = written


def _why(error: BaseException, place: str) -> str:
    if isinstance(error, SyntaxError):
        return error.msg
    if isinstance(error, ModuleNotFoundError):
        fix = "install it into this environment, or put it beside this file" if place else "is it installed?"
        return f"no module '{error.name}'; {fix}"
    return f"loading it raised {described(error)}"


def described(error: BaseException) -> str:
    return f"{type(error).__name__}({' '.join(str(error).split())[:200]})"


def sources(reference: str, base: Path | None, modules: Mapping[str, Path] = MappingProxyType({})) -> dict[str, Path]:
    """Module name -> file of the module of a reference, of `modules`, and of all local modules that they import
    (source_files.py). Other names, and modules that are not loaded, have no file."""
    module, folder = reference.rpartition(":")[0], None
    start = dict(modules)
    if module.endswith(".py"):
        path = module_file(reference, base)
        start[_file_module(path)], folder = path, path.parent
    elif module:
        folder = Path.cwd()
        if file := getattr(sys.modules.get(module), "__file__", None):
            start[module] = Path(file)
    return source_files.transitive(start, folder)


_loaded: dict[Path, str] = {}  # file -> its digest when this process loaded it


def load_anew(reference: str, base: Path | None = None) -> None:
    """Forget the modules of a reference if one of their files has changed since it was loaded, or if another agent's
    module has the same name, so that a run uses the files as they are at planning time. Not called during a run."""
    files = sources(reference, base)
    now = source_files.digests({str(path): path for path in files.values()})
    if any(_is_stale(name, path, now[str(path)]) for name, path in files.items()):
        for name in files:
            sys.modules.pop(name, None)
    _loaded.update({path: now[str(path)] for path in files.values()})


def fixed(reference: str, base: Path | None = None) -> str:
    """The reference with an absolute path; its code is loaded again if it has changed."""
    load_anew(reference, base)
    file, _, name = reference.rpartition(":")
    return f"{module_file(reference, base)}:{name}" if file.endswith(".py") else reference


def _is_stale(name: str, path: Path, digest: str) -> bool:
    file = getattr(sys.modules.get(name), "__file__", None)
    return file is not None and (Path(file).resolve() != path or _loaded.get(path, digest) != digest)
