"""Runs that are on disk, as Python reads them: found by path or name, listed cheaply, their rows read when they are needed.

runs = load_runs("runs")            every run of a folder
run = find_run("synth-10k/bm25")    exactly one
run.values()                        question id -> score
"""

from __future__ import annotations

import glob
import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from functools import cache, cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, overload

from memeval.errors import UsageError, suggest
from memeval.judging.summary import JUDGE
from memeval.records.files import is_json
from memeval.records.folder import TASK, Key, RunFolder
from memeval.records.manifest import Manifest
from memeval.records.memory import MEMORIES
from memeval.records.rows import OperationRow, QuestionRow, SampleRow, ScoreRow
from memeval.records.summary import Summary
from memeval.results import current, lost
from memeval.results.frames import Level, frame
from memeval.results.lost import Lost
from memeval.stats import average_repeats
from memeval.typed import Positive, typed

if TYPE_CHECKING:
    import pandas

    from memeval.runs.run import Outcome

LATEST = "latest"
SHOWN = 10
"""Candidates that an error lists."""


class Value(NamedTuple):
    """One score of one answer, from 0 to 1."""

    question_id: str
    cluster: str
    repeat: int
    answer_repeat: int
    value: float


class Run:
    """A run folder, or a baseline made of one (no texts, no calls). Manifest and summary are read when the run is listed,
    rows when they are first asked for; then they are kept.

    It speaks of all finished questions of the folder, by the metrics of today (current.py). Raises UsageError, with file and
    line, where a row is damaged.
    """

    def __init__(
        self, path: Path, manifest: Manifest, asked: frozenset[str] | None = None, summary: Summary | None = None
    ) -> None:
        """asked: ids of the questions that count, None for all; summary: of these."""
        self.path: Path = path
        self.folder = RunFolder(path)
        self.manifest: Manifest = manifest
        self._asked = asked
        if summary is not None:
            self.summary = summary
        self._scores: dict[str, dict[Key, ScoreRow]] = {}

    def __repr__(self) -> str:
        return f"Run({str(self.path)!r})"

    @property
    def whole(self) -> bool:
        """Whether it speaks of all finished questions of the folder; else seconds and requests are of more than it says."""
        return self._asked is None or self._asked >= set(self.folder.questions())

    def first(self, limit: int) -> Run:
        """The run on its first so many questions, in the order of the task. Raises UsageError for none of them."""
        typed(limit, Positive, "first questions", "limit")
        ranked = sorted(self.questions.values(), key=lambda row: row.rank)
        return Run(self.path, self.manifest, frozenset(row.question_id for row in ranked[:limit]))

    # -- what the manifest says ---------------------------------------------------------------------------------------

    @property
    def task(self) -> str:
        """As typed, with its variant."""
        return self.manifest.typed.task

    @property
    def agent(self) -> str:
        """As typed."""
        return self.manifest.typed.agent

    @property
    def label(self) -> str:
        """The name that `--label` gave it, or the empty string."""
        return self.manifest.label

    @property
    def tags(self) -> dict[str, str]:
        """role -> which checkpoint its model is (`--tag`), of roles that have a tag"""
        models: Mapping[str, Mapping[str, Any]] = self.manifest.identity.get("models", {})
        return {role: str(model["tag"]) for role, model in models.items() if model.get("tag")}

    @property
    def tag(self) -> str:
        """The tag of its models: one text where they agree, else `role=text` of each."""
        tags = self.tags
        return "".join({*tags.values()}) if len({*tags.values()}) < 2 else ", ".join(f"{k}={v}" for k, v in tags.items())

    @property
    def model(self) -> str | None:
        """Of the role `memory`, else `reader`."""
        return self.manifest.models.get("memory") or self.manifest.models.get("reader")

    @property
    def when(self) -> datetime:
        """When memeval last began to fill the folder."""
        started = self.manifest.started or (self.path / "manifest.json").stat().st_mtime
        return datetime.fromtimestamp(started, UTC)

    @property
    def names(self) -> set[str]:
        """All that finds it, but for its path: task, task/agent, folder name, label, tags."""
        tasks = {self.task, self.path.parent.name}
        agents = {self.agent, self.manifest.agent, self.path.name}
        pairs = {f"{task}/{agent}" for task in tasks for agent in agents}
        return {*tasks, *pairs, self.path.name, self.label, *self.tags.values()} - {""}

    # -- numbers and rows ---------------------------------------------------------------------------------------------

    @cached_property
    def summary(self) -> Summary:
        """The run in numbers; with those of a judge, where one has scored the run."""
        stored = self.folder.summary()
        if stored is None or self._asked is not None or not current.is_current(self):
            asked = self.manifest.questions if self._asked is None else len(self._asked)
            stored = current.summary(self, asked)
        return current.judged(self.folder, stored, self.judge, self._asked)

    @property
    def scorer(self) -> str | None:
        """Digest of the rules by which the task's scores were made."""
        return current.scorer(self)

    @property
    def judge(self) -> str | None:
        """The name of a judge's scores; of several the judge that came to the run last, None where there is none."""
        known = self.folder.judges()
        return next((name for name in reversed(list(self.manifest.judges)) if name in known), None)

    @property
    def decides(self) -> str:
        """Whose scores say what is right: the judge's, where its score is the headline, else the task's."""
        return (self.summary.headline.metric == JUDGE and self.judge) or TASK

    @cached_property
    def questions(self) -> dict[str, QuestionRow]:
        """question id -> its row, of the questions that have a sample"""
        asked = {row.question_id for row in self.samples}
        return {key: row for key, row in self._known.items() if key in asked}

    @cached_property
    def samples(self) -> tuple[SampleRow, ...]:
        return tuple(row for row in self.folder.samples() if row.question_id in self._known)

    @cached_property
    def _known(self) -> dict[str, QuestionRow]:
        found = self.folder.questions()
        return found if self._asked is None else {key: row for key, row in found.items() if key in self._asked}

    def scores(self, scorer: str = TASK) -> tuple[ScoreRow, ...]:
        """What a scorer makes of the samples: the task's metrics (`task`), or a judge's file (`judge-...`)."""
        return tuple(self.score_of(scorer).values())

    def score_of(self, scorer: str = TASK) -> dict[Key, ScoreRow]:
        """(question id, repeat, answer repeat) -> its row of `scores`"""
        if scorer not in self._scores:
            stored = current.scores(self) if scorer == TASK else self.folder.scores(scorer)
            found = [row for row in stored if row.question_id in self.questions]
            self._scores[scorer] = {row.key: row for row in found}
        return self._scores[scorer]

    @cached_property
    def operations(self) -> tuple[OperationRow, ...]:
        """The steps that made the memories of these questions; none of a control or a baseline."""
        repeats = {row.repeat for row in self.samples}
        return tuple(self.folder.operations(self.questions.values(), repeats))

    @cached_property
    def steps(self) -> dict[tuple[str, int], list[OperationRow]]:
        """(context, repeat) -> the steps of its memory and of the memory's forks"""
        found: dict[tuple[str, int], list[OperationRow]] = {}
        for row in self.operations:
            found.setdefault((row.context_id, row.repeat), []).append(row)
        return found

    @cached_property
    def lost(self) -> Lost:
        """Where its wrong answers were lost (lost.py)."""
        return lost.lost(self)

    @cached_property
    def texts(self) -> dict[str, str]:
        """sha -> text of what was recalled; empty in a baseline"""
        return self.folder.texts()

    def value_rows(self, metric: str | None = None) -> tuple[Value, ...]:
        """A metric of each answer that has it (failed = 0), in the order of the scores. metric: None for the headline,
        `judge` for what a judge says. Answerable questions only, but for metrics that speak of the others too.

        Raises UsageError where no answer has the metric."""
        name = metric or self.summary.headline.metric
        judged = name == JUDGE
        if judged and self.judge is None:
            raise UsageError(f"{self.path}: no judge has scored the run; memeval score {self.path} --judge NAME")
        rows = self.scores(self.judge or JUDGE) if judged else self.scores()
        found = tuple(
            Value(row.question_id, question.cluster, row.repeat, row.answer_repeat, row.metrics[name])
            for row in rows
            if name in row.metrics and ((question := self.questions[row.question_id]).answerable or not judged)
        )
        if not found and rows:
            known = {key: None for row in rows for key in row.metrics}
            raise UsageError(f"{self.path}: no metric '{name}'{suggest(name, known)} (there are {', '.join(known)})")
        return found

    def values(self, metric: str | None = None) -> dict[str, float]:
        """question id -> the mean of its repeats; see `value_rows`"""
        return average_repeats((row.question_id, row.repeat, row.value) for row in self.value_rows(metric))


class Runs(Sequence[Run]):
    """Several runs, in an order that does not change."""

    def __init__(self, runs: Iterable[Run] = ()) -> None:
        self._runs = tuple(runs)

    @overload
    def __getitem__(self, index: int) -> Run: ...
    @overload
    def __getitem__(self, index: slice) -> Runs: ...
    def __getitem__(self, index: int | slice) -> Run | Runs:
        return Runs(self._runs[index]) if isinstance(index, slice) else self._runs[index]

    def __len__(self) -> int:
        return len(self._runs)

    def __repr__(self) -> str:
        return f"Runs({[str(run.path) for run in self._runs]})"

    def __str__(self) -> str:
        """The table that `memeval run` prints."""
        from memeval.results.run_table import runs_table

        return runs_table([run.summary for run in self._runs])

    def _repr_html_(self) -> str:
        """In a notebook: a row per run. pandas escapes what cells hold."""
        columns = ["task", "agent", "params", "label", "tag", "model", "metric", "score", "low", "high", "n", "status"]
        return str(self.to_pandas()[columns].to_html())

    def to_pandas(self, level: Level = "run") -> pandas.DataFrame:
        """A row per run, per answer (`question`) or per memory operation (`operation`); frames.COLUMNS names the columns."""
        return frame(self, level)


def of_outcome(outcome: Outcome) -> Run:
    """A run as it just ended. It speaks of the questions that were asked for."""
    path = Path(outcome.planned.spec.shown)
    manifest = RunFolder(path).known_manifest()
    return Run(path, manifest, frozenset(outcome.planned.question_ids), outcome.summary)


def load_runs(*where: str | Path, runs_dir: str | Path = "runs", limit: int | None = None) -> Runs:
    """Runs in the order in which they are named, each once; those of one name oldest first. where: a folder of runs, of one
    task or of one run; `latest`; or a name that runs of `runs_dir` have: TASK, TASK/AGENT, a folder's name, a label, a tag.
    Nothing for all runs of `runs_dir`. Folders of memories are passed over: a shell's `runs/TASK/*` names them, too. limit:
    only so many questions of each run, the first in the order of its task.

    Raises UsageError for what names no run, and for a limit below 1.
    """
    found: dict[Path, Run] = {}
    for text in [text for text in where if Path(text).name != MEMORIES] or where or (runs_dir,):
        for run in _by_time(_named(str(text), Path(runs_dir).expanduser())):
            found.setdefault(run.path.resolve(), run)
    return Runs(found.values() if limit is None else (run.first(limit) for run in found.values()))


def find_run(text: str | Path, runs_dir: str | Path = "runs") -> Run:
    """The one run that a path or a name means (`load_runs`). Raises UsageError, with the candidates, where it is several."""
    found = load_runs(text, runs_dir=runs_dir)
    if len(found) > 1:
        listed = [f"{run.path} ({run.agent} on {run.task}, {run.when:%Y-%m-%d %H:%M})" for run in reversed(found)]
        more = f" and {len(found) - SHOWN} more" if len(found) > SHOWN else ""
        raise UsageError(f"{text}: {len(found)} runs have this name; give one of: {'; '.join(listed[:SHOWN])}{more}")
    return found[0]


def _named(text: str, runs_dir: Path) -> Sequence[Run]:
    folder = Path(text).expanduser()
    here = _in_folder(folder) if folder.is_dir() else []
    if here:
        return here
    known = _in_folder(runs_dir)
    found = _by_time(known)[-1:] if text == LATEST else [run for run in known if text in run.names]
    if found:
        return found
    if folder.is_dir() and folder != runs_dir:
        RunFolder(folder).known_manifest()  # raises, with what it is
    if not known:
        raise UsageError(f"{runs_dir}: no runs here; `memeval run` makes some, --runs-dir names another folder")
    names = sorted({name for run in known for name in run.names})
    tasks = ", ".join(sorted({run.task for run in known}))
    near = suggest(text, names)
    raise UsageError(f"no run '{text}' in {runs_dir}{near} (tasks with runs: {tasks}; `memeval list runs`)")


def _in_folder(folder: Path) -> list[Run]:
    """The runs of RUNS, of RUNS/<task> or of one run's folder. Folders of memories, and what is no run, are passed over."""
    for pattern in ("manifest.json", "*/manifest.json", "*/*/manifest.json"):
        # glob.glob passes over a folder that vanishes meanwhile, as Path.glob does not, and over hidden ones
        paths = ((folder / name).parent for name in sorted(glob.glob(pattern, root_dir=folder)))
        paths = (path for path in paths if path.parent.name != MEMORIES)
        found = [Run(path, manifest) for path in paths if (manifest := _manifest(path)) is not None]
        if found:
            return found
    return []


def _manifest(path: Path) -> Manifest | None:
    """Of a run folder; None where another program wrote it. One that is no JSON at all was damaged, which a line on stderr
    says, once."""
    found = RunFolder(path).manifest()
    if found is None and (file := path / "manifest.json").is_file() and not is_json(file):
        _say(f"{file}: damaged (not JSON), so this run is left out; put the file back, or remove the folder")
    return found


@cache
def _say(line: str) -> None:
    print(f"memeval: {line}", file=sys.stderr)


def _by_time(runs: Iterable[Run]) -> list[Run]:
    return sorted(runs, key=lambda run: (run.when, str(run.path)))
