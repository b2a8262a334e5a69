"""The gate's verdict for people and for CI: a table, a Markdown summary, a JUnit file."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

from memeval.errors import UsageError
from memeval.records.numbers import amount, percent, points
from memeval.results.checks import Check
from memeval.results.escape import markdown, plain
from memeval.results.gate import Gate
from memeval.results.grid import Cell, Form, Grid, render
from memeval.wording import counted

LISTED = 10
"""How many of the questions that were answered worse the summary names for each task."""
WORDS = {
    "pass": "nothing is shown to be worse",
    "regression": "the candidate is worse",
    "inconclusive": "the questions do not decide it",
    "invalid": "there is nothing to judge",
}


COUNTED = {"failure": "failures", "error": "errors", "skipped": "skipped"}
"""Element of a JUnit test case -> the attribute of its suite that counts it."""


def gate_text(gate: Gate, form: Form = "table", width: int | None = None) -> str:
    """The verdict, its reasons, and a row per check."""
    heading = f"gate: {gate.verdict} ({WORDS[gate.verdict]})"
    lines = [heading, *map(plain, gate.reasons)]
    if form == "md":
        lines = [f"### {heading}", *(f"- {markdown(reason)}" for reason in gate.reasons)]
    if not gate.checks:
        return "\n".join(lines)
    return "\n\n".join(["\n".join(lines), render(gate_grid(gate), form, width)])


def warning(gate: Gate) -> str:
    """One line for an inconclusive verdict."""
    open_checks = [check for check in gate.checks if check.verdict == "inconclusive"]
    return f"inconclusive: {'; '.join(f'{check.task}: {check.what}, {undecided(check)}' for check in open_checks)}"


def _level(gate: Gate) -> str:
    return f"{100 * (1 - gate.rules.alpha):g}% limits"


def gate_grid(gate: Gate) -> Grid:
    level = _level(gate)
    notes = [f"{level}: each side by itself holds with that probability; paired by question, clusters resampled."]
    notes += [f"{check.task}: {check.what}: {undecided(check)}." for check in gate.checks if check.verdict == "inconclusive"]
    if gate.rules.within_stream:
        notes.append("within these streams only: where there are fewer than five clusters, the verdict is not about others.")
    return Grid.of([_row(check, level) for check in gate.checks], notes=[*notes, *gate.notes], left=3)


def undecided(check: Check) -> str:
    """What would decide an inconclusive check."""
    if check.change is None:
        return "no answer was timed: all came from the store (--fresh asks again)"
    if check.low is None:
        return "one question does not show how much others differ"
    if check.decides is None:
        text = f"too close to {_shown(check, check.bound)} for any number of questions"
        if check.what.startswith("score"):
            text += f"; it would pass with --max-drop {math.ceil(-1000 * check.low) / 1000:g}"
        return text
    return f"about {counted(max(check.decides, check.n + 1), 'question')} would decide, all else being equal (n = {check.n})"


def _row(check: Check, level: str) -> dict[str, Cell]:
    """level: the heading of the limits."""
    known = check.low is not None and check.high is not None
    least = check.what.startswith(("score", "min"))
    return {
        "task": check.task,
        "check": check.what,
        "verdict": check.verdict,
        "baseline": _number(check, check.baseline),
        "candidate": _number(check, check.candidate),
        "change": None if check.baseline is None else _shown(check, check.change),
        level: f"{_shown(check, check.low)} to {_shown(check, check.high)}" if known else None,
        "must be": f"{'at least' if least else 'at most'} {_shown(check, check.bound)}",
        "n": str(check.n),
    }


def _number(check: Check, value: float | None) -> str | None:
    if value is None:
        return None
    return percent(value) if check.unit == "share" else amount(value)


def _shown(check: Check, value: float | None) -> str | None:
    """A change, limit or bound: points, per cent of growth, or seconds."""
    if value is None:
        return None
    if check.unit == "seconds":
        return f"{value:g} s"
    if check.what.startswith("min"):
        return percent(value)
    return points(value) if check.unit == "share" else f"{points(value)}%"


def write_summary(gate: Gate, path: Path) -> None:
    """Append the verdict as Markdown, for a step summary of GitHub or a comment on a pull request."""
    lines = [gate_text(gate, "md")]
    for task, lost in gate.lost.items():
        if lost:
            more = f" and {len(lost) - LISTED} more" if len(lost) > LISTED else ""
            listed = ", ".join(map(markdown, lost[:LISTED]))
            lines.append(f"{markdown(task)}: answered worse than by the baseline ({len(lost)}): {listed}{more}")
    with _folder_for(path), path.open("a", encoding="utf-8") as file:
        file.write("\n\n".join(lines) + "\n")


def write_junit(gate: Gate, path: Path) -> None:
    """Write a test case per check. An inconclusive check counts as skipped, under `strict` as a failure; a run that cannot
    be judged is an error."""
    suite = ElementTree.Element("testsuite", name="memeval gate")
    counts = dict.fromkeys(("tests", "failures", "errors", "skipped"), 0)

    def case(group: str, name: str, outcome: str | None, message: str) -> None:
        found = ElementTree.SubElement(suite, "testcase", classname=plain(group), name=plain(name))
        counts["tests"] += 1
        if outcome:
            ElementTree.SubElement(found, outcome, message=plain(message))
            counts[COUNTED[outcome]] += 1

    for reason in gate.reasons:
        case("memeval", "runs are whole", "error", reason)
    for check in gate.checks:
        outcome = {"regression": "failure", "inconclusive": "failure" if gate.rules.strict else "skipped"}.get(check.verdict)
        cells = list(_row(check, _level(gate)).items())[2:]  # the first two are its class and name
        case(check.task, check.what, outcome, ", ".join(f"{name} {cell}" for name, cell in cells if cell))
    for name, number in counts.items():
        suite.set(name, str(number))
    with _folder_for(path):
        ElementTree.ElementTree(suite).write(path, encoding="utf-8", xml_declaration=True)


@contextlib.contextmanager
def _folder_for(path: Path) -> Iterator[None]:
    """Create the folder of a file that the block writes. Raises UsageError where folder or file cannot be written."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield
    except OSError as error:
        raise UsageError(f"{path}: cannot be written ({error.strerror})") from None
