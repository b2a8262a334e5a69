"""The page: one self-contained HTML file. Data are embedded as JSON; only the scripts turn them into elements."""

from __future__ import annotations

import base64
import hashlib
import html
from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from string import Template
from typing import Any

import msgspec

from memeval import __version__
from memeval.errors import UsageError
from memeval.records.clean import encode
from memeval.results.lost import ASKED_WORDS
from memeval.results.report.overview import Overview, overview
from memeval.results.report.pack import Pack, compressed
from memeval.results.report.stories import LEFT_OUT, LIMIT, rows_and_stories
from memeval.results.run import Run
from memeval.results.run_table import RETRIEVAL

SCRIPTS = (
    "vendor/d3.min.js",
    "vendor/plot.min.js",
    "vendor/tabulator.min.js",
    "elements.js",
    "figures.js",
    "tables.js",
    "answers.js",
    "story.js",
    "page.js",
)


class Written(msgspec.Struct, frozen=True):
    """What `report` wrote. size: bytes of the file; stories: how many of the `answers` have their story in it."""

    path: str
    size: int
    runs: int
    answers: int
    stories: int


class _Data(msgspec.Struct, frozen=True, kw_only=True):
    """The data that the page reads when it is opened; rows and stories are packed. starts: the number of the first value of
    each block; words: where an answer was lost -> words for people; retrieval: metric -> its heading."""

    title: str
    version: str
    overview: Overview
    answers: int
    stories: int
    starts: list[int]
    words: dict[str, str]
    retrieval: dict[str, str]


def report(runs: Sequence[Run], path: str | Path, *, title: str = "memeval report", all_stories: bool = False) -> Written:
    """Write a self-contained page about runs, which any recent browser opens from disk.

    all_stories: include all stories even if they exceed LIMIT characters; otherwise those of wrong answers go first, and the
    page says how many are left out. Raises UsageError without runs, where a run has no summary yet, or where the file cannot
    be written.
    """
    if not runs:
        raise UsageError("report: no runs; name some that `memeval list runs` shows")
    pack = Pack()
    rows = rows_and_stories(runs, pack, None if all_stories else LIMIT)
    starts, blocks = pack.blocks()
    stories = sum(answer.story != LEFT_OUT for answer in rows.answers)
    data = _Data(
        title=title,
        version=__version__,
        overview=overview(runs),
        answers=len(rows.answers),
        stories=stories,
        starts=starts,
        words=ASKED_WORDS,
        retrieval=RETRIEVAL,
    )
    text = _page(data, compressed(encode(rows)), blocks).encode("utf-8", "replace")
    try:
        Path(path).write_bytes(text)
    except OSError as error:
        raise UsageError(f"{path}: cannot be written ({error.strerror})") from None
    return Written(str(path), len(text), len(runs), len(rows.answers), stories)


def _page(data: _Data, rows: str, blocks: list[str]) -> str:
    scripts = [_part(name) for name in SCRIPTS]
    return Template(_part("page.html")).substitute(
        title=html.escape(data.title),
        version=data.version,
        licences=_part("vendor/LICENSES.txt").replace("--", "- -"),
        scripts=" ".join(f"'sha256-{_digest(script)}'" for script in scripts),
        table_style=_part("vendor/tabulator.min.css"),
        style=_part("page.css"),
        overview=json_for_script(data),
        rows=rows,
        blocks="\n".join(f'<script type="text/plain" class="block">{block}</script>' for block in blocks),
        code="\n".join(f"<script>{script}</script>" for script in scripts),
    )


def json_for_script(value: Any) -> str:
    """JSON that can neither end the script element that contains it nor begin a comment in it."""
    return encode(value).decode().replace("<", "\\u003c")


def _digest(script: str) -> str:
    """The digest by which the Content-Security-Policy allows a script; it blocks all others."""
    return base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()


def _part(name: str) -> str:
    return resources.files(__package__).joinpath(name).read_text(encoding="utf-8")
