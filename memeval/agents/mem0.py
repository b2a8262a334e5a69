"""mem0, a third-party memory system, in an interpreter of its own: it needs other versions of packages than memeval."""

from __future__ import annotations

from pathlib import Path
from shlex import quote

from memeval.agents.foreign.agent import TIMEOUT
from memeval.agents.foreign.program import Program
from memeval.config import cache_folder
from memeval.errors import UsageError
from memeval.typed import Positive, typed

VERSION = "2.2.1"
PROGRAM = Path(__file__).parent / "foreign" / "mem0_program.py"
REQUIREMENTS = Path(__file__).parents[1] / "_data" / "mem0.txt"


class Mem0(Program):
    """mem0 (arXiv 2504.19413) with its open-source package, which in version 2 only adds facts and never changes one.

    k: how many memories are recalled. python: the interpreter that has mem0; "" for the one in the user's cache. timeout:
    seconds for one reply.
    """

    def __init__(self, k: int = 10, python: str = "", timeout: float = TIMEOUT) -> None:
        typed(k, Positive, "mem0", "k")
        if python:
            interpreter = (self.folder or Path.cwd()) / Path(python).expanduser()
        else:
            interpreter = (cache_folder() / "mem0" / "bin" / "python").absolute()
        if not _has_mem0(interpreter):
            folder, packages = quote(str(interpreter.parents[1])), quote(str(REQUIREMENTS))
            made = f"python3 -m venv {folder} && {folder}/bin/pip install -r {packages}"
            raise UsageError(f"mem0: no interpreter with mem0ai {VERSION} at {interpreter}; make it with: {made}")
        super().__init__([str(interpreter), "-I", str(PROGRAM)], timeout, {"k": k})

    @property
    def name(self) -> str:
        return "mem0"


def _has_mem0(interpreter: Path) -> bool:
    packages = interpreter.parents[1].glob(f"[Ll]ib/**/site-packages/mem0ai-{VERSION}.dist-info")
    return interpreter.is_file() and next(packages, None) is not None
