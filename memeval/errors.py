"""Errors that a user can fix. Every other error is a bug and keeps its traceback."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable


class UsageError(Exception):
    """Bad input. The message is one line: what is wrong, where (file:line or key), and the fix. The CLI exits with 2."""


class BadParameter(UsageError):
    """A call uses a parameter (`name`) that the model does not have. If the user set it, this is bad input; if a
    program did, its request is refused and the run goes on."""

    def __init__(self, name: str, message: str) -> None:
        super().__init__(message)
        self.name = name


class NoData(UsageError):
    """The data of a task are not on this machine and cannot be downloaded, or are too few. A suite leaves out such a
    task."""


class ForeignFailed(Exception):
    """An agent that is a program or a server failed: it died, sent an unreadable message, or did not reply. One line."""


def suggest(name: str, known: Iterable[str]) -> str:
    """`"; did you mean 'x'?"` with the nearest of `known`, or the empty string if nothing is near. Case and the width of
    letters are ignored."""
    import difflib  # imported late: needed only for a misspelt name

    folded = {unicodedata.normalize("NFKC", one).casefold(): one for one in known}
    near = difflib.get_close_matches(unicodedata.normalize("NFKC", name).casefold(), list(folded), n=1, cutoff=0.5)
    return f"; did you mean '{folded[near[0]]}'?" if near else ""


def install_hint(extra: str) -> str:
    """The command that installs the packages of an extra. It never uses memeval's name, because the package index has
    another package of that name."""
    return f"pip install -c constraints.txt -e '.[{extra}]' in memeval's checkout"


class StopRun(Exception):
    """The whole run must stop now (endpoint down, key refused, budget spent); its folder can be resumed. One line."""
