"""`memeval list`: the names that can be used, one per line; the parameters of one agent; the runs of a folder."""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from memeval import cards, plugins
from memeval.cards import AgentCard, SuiteCard, TaskCard
from memeval.errors import UsageError, suggest

VARIANTS = """\
Written behind a name: @documents-N, @tokens-N (streams of N), @hard (nearest distractors), @shared-K (K
questions a stream), @visible (the question is shown while reading), and the protocols that a card has:
@memocr (-b256, -b64, -b16), @memagent, @memalpha (-as-published)."""
WHAT = ("tasks", "agents", "models", "metrics", "memories", "runs")
_JUDGE = "1 when a judge calls the answer right (`--judge NAME` of run and score; scores of its own, never a card's metric)."


@dataclass(frozen=True)
class Listing:
    """A table of things of one kind. above, below: text around the table; empty: the text where there are no rows."""

    columns: tuple[str, ...]
    rows: Sequence[Sequence[Any]]
    above: str = ""
    below: str = ""
    empty: str = ""


def list_command(
    what: str,
    names: tuple[str, ...] = (),
    tasks_dir: tuple[str, ...] = (),
    agents_dir: tuple[str, ...] = (),
    runs_dir: Path = Path("runs"),
    form: str = "table",
) -> str:
    """What `memeval list WHAT [NAME...]` prints."""
    if what == "runs":
        return _runs(names, runs_dir, form)
    if len(names) > (what == "agents"):
        takes = "takes one name" if what == "agents" else "takes no name"
        raise UsageError(f"memeval list {what} {' '.join(names)}: memeval list {what} {takes}")
    found = listing(what, *names, tasks_dir=tasks_dir, agents_dir=agents_dir, runs_dir=runs_dir)
    if form == "json":
        return json.dumps({what: [dict(zip(found.columns, row, strict=True)) for row in found.rows]}, ensure_ascii=False)
    texts = [tuple(map(_text, row)) for row in found.rows]
    table = _columns([tuple(name.upper().replace("_", " ") for name in found.columns), *texts]) if texts else found.empty
    return "\n\n".join(part for part in (found.above, table, found.below) if part)


def listing(
    what: str,
    name: str | None = None,
    *,
    tasks_dir: tuple[str, ...] = (),
    agents_dir: tuple[str, ...] = (),
    runs_dir: Path = Path("runs"),
) -> Listing:
    """The tasks, agents, models, metrics or memories; with a name, the parameters of that agent."""
    if what == "tasks":
        return Listing(("task", "headline", "description"), _tasks(tasks_dir), below=VARIANTS)
    if what == "agents":
        return _agents(agents_dir) if name is None else _agent(name, agents_dir)
    if what == "memories":
        from memeval.commands.memories import memories

        return Listing(("memory", "size", "read_by"), memories(runs_dir), empty=f"no memories in {runs_dir}")
    if what == "models":
        from memeval.models.registry import known

        return Listing(("model", "description"), list(known().items()))
    if what == "metrics":
        from memeval.metrics import METRICS

        about = [(metric, _sentence(function.__doc__ or "")) for metric, function in METRICS.items()]
        return Listing(("metric", "description"), [*about, ("judge", _JUDGE)])
    raise UsageError(f"memeval list {what}: unknown kind{suggest(what, WHAT)} (one of {', '.join(WHAT)})")


def _runs(names: tuple[str, ...], runs_dir: Path, form: str) -> str:
    """The runs, newest last, so that it stands next to the shell's prompt."""
    from memeval.records.clean import encode
    from memeval.records.numbers import percent
    from memeval.results.frames import rows
    from memeval.results.load import Runs, load_runs, readable
    from memeval.results.run_table import label

    some = names or any(runs_dir.glob("*/*/manifest.json"))
    runs = readable(load_runs(*names, runs_dir=runs_dir)) if some else Runs()
    if form == "json":
        return encode({"runs": rows(runs, "run")}).decode()
    if not runs:
        return f"no runs in {runs_dir}; `memeval run` makes some"
    summaries = [run.summary for run in runs]
    header = ("TASK", "AGENT", "LABEL", "TAG", "MODEL", "METRIC", "SCORE", "N", "STATUS", "WHEN (UTC)", "FOLDER")
    lines = [
        (
            *(run.task, label(found, summaries), run.label, run.tag, run.model or "-", found.headline.metric),
            *(
                percent(found.headline.value),
                str(found.headline.n),
                found.status,
                f"{run.when:%Y-%m-%d %H:%M}",
                str(run.path),
            ),
        )
        for run, found in zip(runs, summaries, strict=True)
    ]
    shown = [number for number, name in enumerate(header) if name not in ("LABEL", "TAG") or any(r[number] for r in lines)]
    table = _columns([tuple(row[number] for number in shown) for row in (header, *lines)])
    return f"{table}\n\nNewest last: `memeval show latest`. Names of a run: its folder, TASK/AGENT, a label, a tag."


def _tasks(tasks_dir: tuple[str, ...]) -> list[tuple[str, ...]]:
    rows: list[tuple[str, ...]] = []
    for name in cards.listing(TaskCard, tasks_dir):
        card = cards.find(TaskCard, name, tasks_dir)
        suite = None if card else cards.find(SuiteCard, name, tasks_dir)
        if card and not card.abstract:
            rows.append((card.name, card.headline, card.description))
        elif suite:
            rows.append((suite.name, "mean", f"{suite.description} ({', '.join(suite.tasks)})"))
    return rows


def _agents(agents_dir: tuple[str, ...]) -> Listing:
    found = (cards.find(AgentCard, name, agents_dir) for name in cards.listing(AgentCard, agents_dir))
    rows: list[tuple[str, ...]] = [(card.name, card.track, card.description) for card in found if card and not card.abstract]
    rows += [(name, "control", description) for name, description in plugins.CONTROLS.items()]
    return Listing(
        ("agent", "track", "description"),
        rows,
        below="memeval list agents NAME shows the parameters of one. Others: file.py:Class, cmd:PROGRAM, http:URL.",
    )


def _agent(name: str, agents_dir: tuple[str, ...]) -> Listing:
    """An agent with its parameters: the value in its card, else the default, and the meaning from the class's docstring."""
    columns = ("parameter", "default", "meaning")
    card = plugins.find_agent(name, agents_dir)
    if card.agent in plugins.CONTROLS:
        return Listing(columns, (), f"{name} (control): {card.description}. It has no parameters.")
    made = plugins.agent_class(card)
    kinds = [kind for kind in getattr(made, "__mro__", (made,)) if kind is not object]
    said = (text for kind in kinds for text in (kind.__doc__, getattr(kind.__dict__.get("__init__"), "__doc__", None)))
    text = " ".join(" ".join(filter(None, said)).split())
    about = [f"{name} ({card.track}): {card.description or _sentence(text) or 'no description'}"]
    about += [f"Reproduces {row}" for row in card.reproduces] + [f"Deviates: {how}" for how in card.deviations]
    above = "\n".join(about)
    rows = []
    for key, parameter in inspect.signature(made).parameters.items():
        if parameter.kind not in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            value: Any = card.params.get(key, parameter.default)
            rows.append((key, "required" if value is parameter.empty else repr(value), _help(key, text)))
    if not rows:
        return Listing(columns, (), f"{above}\nIt has no parameters.")
    return Listing(columns, rows, above, "Set with --set PARAMETER=VALUE; several values (VALUE,VALUE) make a grid.")


def _help(name: str, text: str) -> str:
    """What a docstring says about a parameter: the text after `name:` or `name, other:`, else the sentence that has `name`
    in backticks."""
    found = re.search(rf"(?<![\w`]){re.escape(name)}(?:, \w+)*: (.+?)(?:\.(?=\s|$)|$)", text)
    if found:
        return found[1]
    return next((part for part in re.split(r"(?<=[a-z)`\"]\.)\s", text) if f"`{name}`" in part), "")


def _sentence(text: str) -> str:
    """The first sentence of a docstring, on one line."""
    return re.split(r"(?<=[a-z)`\"]\.)\s", " ".join(text.split()), maxsplit=1)[0]


def _text(value: Any) -> str:
    return "\n".join(value) or "none" if isinstance(value, list) else str(value)


def _columns(rows: list[tuple[str, ...]]) -> str:
    """Align rows in columns. Only cells of the last column may have several lines."""
    from tabulate import tabulate

    return "\n".join(map(str.rstrip, tabulate(rows, tablefmt="plain", disable_numparse=True).splitlines()))
