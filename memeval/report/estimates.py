"""The table that `memeval estimate` prints."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from tabulate import tabulate

from memeval.costs import added
from memeval.report.costs import count, money

if TYPE_CHECKING:
    from memeval.estimating.estimate import Estimate


def estimates_table(estimates: Sequence[Estimate]) -> str:
    """A row per run and, with several, their sum; below it what the numbers rest on. Half-widths and effects in points. What
    is guessed has a `~`, or `over` where it lacks the thinking; the range is of USD, from empty replies to the longest."""
    header = ["agent", "task", "n", "streams", "chunks", "calls", "prompt tokens", "completion tokens", "USD", "range"]
    body = [
        [
            " ".join([one.agent, *(f"{key}={value}" for key, value in _differing(one, estimates))]),
            one.task,
            str(one.n) if one.n == one.questions else f"{one.n} of {one.questions}",
            count(one.streams),
            count(one.chunks),
            count(one.calls),
            count(one.prompt),
            _marked(count(one.completion), [one]),
            _marked(money(one.usd), [one]),
            _range(one.usd_least, one.usd_most),
            _points(one.half_width),
            _points(one.detectable_effect),
        ]
        for one in estimates
    ]
    if len(estimates) > 1:
        calls, prompt, completion = (
            sum(getattr(one, key) for one in estimates) for key in ("calls", "prompt", "completion")
        )
        usd, least, most = (added([getattr(one, key) for one in estimates]) for key in ("usd", "usd_least", "usd_most"))
        sums = [count(calls), count(prompt), _marked(count(completion), estimates), _marked(money(usd), estimates)]
        body.append(["together", "", "", "", "", *sums, _range(least, most), "", ""])
    align = ("left", "left", *["right"] * 10)
    table = tabulate(body, [*header, "half-width", "detectable"], tablefmt="github", colalign=align, disable_numparse=True)
    return "\n\n".join([table, *_notes(estimates)])


def _differing(one: Estimate, estimates: Sequence[Estimate]) -> list[tuple[str, object]]:
    """The parameters in which it differs from the other rows of its agent."""
    same = [other.params for other in estimates if other.agent == one.agent]
    return [(key, value) for key, value in one.params.items() if len({str(params.get(key)) for params in same}) > 1]


def _notes(estimates: Sequence[Estimate]) -> list[str]:
    """Each note once, with the runs it is about where it is not about all."""
    rows = {note: [one for one in estimates if note in one.notes] for one in estimates for note in one.notes}
    lines = []
    for note, about in rows.items():
        names = dict.fromkeys(f"{one.agent} on {one.task}" for one in about)
        lines.append(note if len(about) == len(estimates) else f"{', '.join(names)}: {note}")
    return ["\n".join(f"- {line}" for line in lines)] if lines else []


def _marked(number: str, estimates: Sequence[Estimate]) -> str:
    roles = [role for one in estimates for role in one.roles.values()]
    if number == "-" or not any(role.guessed for role in roles):
        return number
    return f"~{number}"


def _range(least: float | None, most: float | None) -> str:
    return "-" if least is None or most is None else f"{money(least)} to {money(most)}"


def _points(share: float | None) -> str:
    return "-" if share is None else f"{100 * share:.1f}"
