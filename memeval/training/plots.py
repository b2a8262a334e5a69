"""Figures of an experiment, by matplotlib (extra `report`): what was learned, at which lengths, and the effect of each part
of the reward. Each figure contains its caption, because it may be shown without its page."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from memeval.training.experiment import Ablated, Experiment, table_4

CAPTION = (
    "A model of 165,000 parameters in a toy language: it learns a preference over words, given which of them are present. "
    "Nothing is copied, updated or deleted."
)
LENGTHS = (
    "By construction: the writer's inputs look the same at every length, and the store of 100 lines holds all lines worth "
    "keeping at every length, but from 8x on not all lines. Not by construction: what is kept, and that it carries over to "
    "unseen names and values."
)
ABLATIONS = (
    "One seed. A word that is called competes with all others, so that noise goes away at any beta: a writer that quotes by "
    "word cannot show compression against hoarding. Right: beta here and in Mem-alpha's Table 4 (a 4B model on its "
    "validation sets, gamma 0.1, row means): another model and another task."
)
_INK, _PAPER, _GRID = "#222222", "#ffffff", "#dddddd"
_BLUE, _ORANGE, _GREEN = "#0b6e99", "#c05621", "#3f7d20"
_COLOURS = {"trained": _BLUE, "warm": _ORANGE, "write-all": "#6b7280", "write-random": "#a3a3a3", "oracle writer": _GREEN}
_NAMES = {"trained": "trained", "warm": "warm start", "oracle writer": "only what is asked"}


def draw(found: Experiment, out: Path) -> list[Path]:
    """Draw learning.png, lengths.png and, if there are ablations, ablations.png in a folder. Returns their paths. Raises
    ImportError without matplotlib."""
    files = [(out / "learning.png", _learning(found)), (out / "lengths.png", _lengths(found))]
    if found.ablations:
        files.append((out / "ablations.png", _ablations(found.ablations)))
    for path, figure in files:
        figure.savefig(path, dpi=120, metadata={"Software": None})
    return [path for path, _ in files]


def _canvas(columns: int, caption: str, width: float = 9.0) -> tuple[Any, Sequence[Any]]:
    """A figure with `columns` plots side by side and its caption below, drawn without a window system."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, 4.2), facecolor=_PAPER)
    FigureCanvasAgg(figure)
    plots = figure.subplots(1, columns, squeeze=False)[0]
    for plot in plots:
        plot.grid(color=_GRID, linewidth=0.6)
        plot.set_axisbelow(True)
        plot.spines[["top", "right"]].set_visible(False)
        plot.tick_params(colors=_INK, labelsize=8)
    lines = textwrap.wrap(caption, int(width * 15))
    figure.text(0.02, 0.02, "\n".join(lines), fontsize=7.5, color=_INK, va="bottom")
    figure.subplots_adjust(left=0.07, right=0.98, top=0.9, bottom=0.16 + 0.04 * len(lines), wspace=0.22)
    return figure, plots


def _learning(found: Experiment) -> Any:
    figure, plots = _canvas(3, f"Validation streams at T = 1, a line per seed. {CAPTION}")
    measures = (("accuracy", "accuracy"), ("selectivity", "selectivity"), ("success", "share of good calls"))
    for plot, (measure, title) in zip(plots, measures, strict=True):
        for number, (seed, points) in enumerate(found.curves.items()):
            values = [getattr(point.validation, measure) for point in points]
            shade = {"color": _COLOURS["trained"], "alpha": 1 - 0.3 * (number % 3), "label": f"seed {seed}"}
            plot.plot([point.step for point in points], values, marker="o", markersize=2.5, linewidth=1.3, **shade)
        plot.set_title(title, fontsize=9, color=_INK)
        plot.set_xlabel("step of GRPO", fontsize=8)
        plot.set_ylim(-0.1, 1.03)
    plots[0].legend(fontsize=7, frameon=False, loc="lower right")
    return figure


def _lengths(found: Experiment) -> Any:
    seeds = [proof.lengths for proof in found.proofs]
    figure, plots = _canvas(2, f"50 held-out streams at each length, a line per seed. {CAPTION} {LENGTHS}")
    for plot, (measure, title) in zip(plots, (("accuracy", "accuracy"), ("memory", "memory / stream")), strict=True):
        for name, colour in _COLOURS.items():
            learned = name in ("trained", "warm")
            for number, lengths in enumerate(seeds if learned else seeds[:1]):
                times = [each.times for each in lengths]
                values = [getattr(each.figures[f"{name} T=1" if learned else name], measure) for each in lengths]
                label = _NAMES.get(name, name) if number == 0 else None
                plot.plot(times, values, marker="o", markersize=3, linewidth=1.3, color=colour, label=label)
        plot.set_title(title, fontsize=9, color=_INK)
        plot.set_xlabel("length of the stream, in training lengths", fontsize=8)
        plot.set_xscale("log")
        ticks = [length.times for length in seeds[0]]
        plot.set_xticks(ticks, [f"{times}x" for times in ticks])
        plot.set_xticks([], minor=True)
        plot.set_ylim(0, 1.05)
    plots[0].legend(fontsize=7, frameon=False, loc="center left")
    return figure


def _ablations(found: Sequence[Ablated]) -> Any:
    figure, plots = _canvas(2, f"Held-out streams at T = 1. {CAPTION} {ABLATIONS}", width=11)
    rows = list(found)[::-1]
    bars = (("accuracy", "accuracy", _BLUE), ("success", "good calls", _GREEN), ("written", "written / stream", _ORANGE))
    for number, (measure, label, colour) in enumerate(bars):
        places = [place + 0.26 * (1 - number) for place in range(len(rows))]
        plots[0].barh(places, [getattr(row.trained, measure) for row in rows], height=0.24, color=colour, label=label)
    plots[0].set_yticks(range(len(rows)), [f"{row.ablation.about}, {row.steps} steps" for row in rows], fontsize=7)
    plots[0].set_xlim(0, 1.02)
    plots[0].legend(fontsize=7, frameon=False, loc="upper center", bbox_to_anchor=(0.4, 1.12), ncols=3)
    here = {
        row.ablation.reward.get("compression", 0.05): row.trained for row in found if row.ablation.name.startswith("beta")
    }
    lines = {
        "accuracy": {beta: row.accuracy for beta, row in here.items()},
        "memory": {beta: row.memory for beta, row in here.items()},
        "Mem-alpha: performance": table_4("performance"),
        "Mem-alpha: memory": table_4("memory"),
    }
    for name, values in lines.items():
        base = values[0.0] if "memory" in name else 1.0
        style = {"color": _ORANGE if "memory" in name else _BLUE, "linestyle": "--" if "alpha" in name else "-"}
        label = f"{name} / that at beta 0" if "memory" in name else name
        plots[1].plot(list(values), [value / base for value in values.values()], marker="o", label=label, **style)
    plots[1].set_xlabel("beta, the weight of r3", fontsize=8)
    plots[1].set_ylim(0, 1.1)
    plots[1].legend(fontsize=7, frameon=False, loc="lower left", handlelength=4)
    figure.subplots_adjust(left=0.24)
    return figure
