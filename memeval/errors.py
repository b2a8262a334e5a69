"""Errors a user can fix. Everything else is a bug and keeps its traceback."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable


class UsageError(Exception):
    """Bad input. The message is one line: what is wrong, where (file:line or key), and the fix. The CLI exits with 2."""


class BadParameter(UsageError):
    """A call asks a model for what it does not have. `name`: the parameter. Set by the user it is bad input; asked for by a
    program, its request is refused and the run goes on."""

    def __init__(self, name: str, message: str) -> None:
        super().__init__(message)
        self.name = name


class NoData(UsageError):
    """The data of a task are not on this machine and cannot be fetched, or are too few. A suite goes on without a task whose
    files are not there."""


class ForeignFailed(Exception):
    """An agent that is a program or a server has failed: it died, sent what cannot be read, or did not reply. One line."""


def suggest(name: str, known: Iterable[str]) -> str:
    """`"; did you mean 'x'?"` with the nearest of `known`, or the empty string when nothing is near. Neither case nor the
    width of letters makes two names differ."""
    import difflib  # imported when something is misspelt: it is not needed on the fast path

    folded = {unicodedata.normalize("NFKC", one).casefold(): one for one in known}
    near = difflib.get_close_matches(unicodedata.normalize("NFKC", name).casefold(), list(folded), n=1, cutoff=0.5)
    return f"; did you mean '{folded[near[0]]}'?" if near else ""


def install_hint(extra: str) -> str:
    """How the packages of an extra are installed. Never by memeval's name: the package index has another one."""
    return f"pip install -c constraints.txt -e '.[{extra}]' in memeval's checkout"


class StopRun(Exception):
    """The whole run must stop now (endpoint down, key refused, budget spent); its folder can be resumed. One line."""
