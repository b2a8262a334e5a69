"""One run on disk: its manifest and summary, and its rows when they are needed.

Numbers cover what the folder holds now, scored by today's metrics. They are read as `memeval run` stored them; if the
metrics have changed since, or the run was killed, they are computed again. Nothing is written.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

from msgspec.structs import replace

from memeval import metrics
from memeval.errors import UsageError, suggest
from memeval.judging.summary import JUDGE, judged_summary
from memeval.metrics.rules import Rules, scorer_digest
from memeval.records.folder import TASK, Key, RunFolder
from memeval.records.manifest import Manifest
from memeval.records.rows import OperationRow, QuestionRow, SampleRow, ScoreRow
from memeval.records.summary import Summary
from memeval.results import lost
from memeval.results.lost import Lost
from memeval.runs.notes import notes
from memeval.runs.score import score_samples, up_to_date
from memeval.runs.summary import as_recorded, prices_of, summarise, with_judge
from memeval.stats import average_repeats
from memeval.typed import Positive, typed

NOT_FROM_ROWS = (
    *("path", "memory", "replayable", "agent", "params", "task", "answer_budget", "model", "reader", "embedder"),
    *("judge_family", "adapted", "agent_files", "window", "recall_budget", "seconds", "build_seconds", "requests"),
    *("latency", "ingest_seconds_per_1k", "trained_on", "read_back", "service_read_back", "differing", "trouble"),
)
"""Fields of a summary that come from its command, its manifest or its events."""


class Value(NamedTuple):
    """One score of one answer, from 0 to 1."""

    question_id: str
    cluster: str
    repeat: int
    answer_repeat: int
    value: float


class Run:
    """A run folder, or a baseline made of one (no texts, no calls). The summary and the rows are read on first use, and then
    kept.

    A run covers all finished questions of the folder, scored by today's metrics. Raises UsageError, with file and line,
    where a row is damaged.
    """

    def __init__(
        self, path: Path, manifest: Manifest, asked: frozenset[str] | None = None, summary: Summary | None = None
    ) -> None:
        """asked: ids of the questions that count, None for all; summary: that of these questions, if it is known."""
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
        """Whether the run covers all finished questions of the folder; if not, seconds and requests include other
        questions."""
        return self._asked is None or self._asked >= set(self.folder.questions())

    def first(self, limit: int) -> Run:
        """The run limited to its first `limit` questions, in the order of the task. Raises UsageError for a limit below
        1."""
        typed(limit, Positive, "first questions", "limit")
        ranked = sorted(self.questions.values(), key=lambda row: row.rank)
        return Run(self.path, self.manifest, frozenset(row.question_id for row in ranked[:limit]))

    def identity(self, part: str) -> Mapping[str, Any]:
        """A part of what the run's hash covers: `task` (the card), `agent`, `models` (by role), `prompts` or `data`."""
        found: Mapping[str, Any] = self.manifest.identity.get(part, {})
        return found

    # -- what the manifest says ---------------------------------------------------------------------------------------

    @property
    def task(self) -> str:
        """The task as typed, with its variant."""
        return self.manifest.typed.task

    @property
    def agent(self) -> str:
        """The agent as typed."""
        return self.manifest.typed.agent

    @property
    def label(self) -> str:
        """The name that `--label` gave it, or the empty string."""
        return self.manifest.label

    @property
    def tags(self) -> dict[str, str]:
        """role -> the tag of its model (`--tag`), for roles that have one"""
        return {role: str(model["tag"]) for role, model in self.identity("models").items() if model.get("tag")}

    @property
    def tag(self) -> str:
        """The tag of its models: one text where they agree, else a `role=text` for each."""
        tags = self.tags
        return "".join({*tags.values()}) if len({*tags.values()}) < 2 else ", ".join(f"{k}={v}" for k, v in tags.items())

    @property
    def model(self) -> str | None:
        """The model of the role `memory`, else of `reader`."""
        return self.manifest.models.get("memory") or self.manifest.models.get("reader")

    @property
    def offline(self) -> bool:
        """Whether the run used the rule-based offline model, whose numbers say nothing about a memory system."""
        return "offline" in (self.summary.model, self.summary.reader)

    @property
    def when(self) -> datetime:
        """When memeval last started to fill the folder."""
        started = self.manifest.started or (self.path / "manifest.json").stat().st_mtime
        return datetime.fromtimestamp(started, UTC)

    @property
    def names(self) -> set[str]:
        """The names that find the run, other than its path: task, task/agent, folder name, label, tags."""
        tasks = {self.task, self.path.parent.name}
        agents = {self.agent, self.manifest.agent, self.path.name}
        pairs = {f"{task}/{agent}" for task in tasks for agent in agents}
        return {*tasks, *pairs, self.path.name, self.label, *self.tags.values()} - {""}

    # -- numbers and rows ---------------------------------------------------------------------------------------------

    @cached_property
    def summary(self) -> Summary:
        """The numbers of the run, with those of a judge where one has scored the run."""
        stored = self.folder.summary()
        found = stored if stored is not None and self._asked is None and self._is_current() else self._summarised(stored)
        if self.judge is None:
            return found
        found = with_judge(found, judged_summary(self.path, self.judge, self._asked), None)
        return replace(found, notes=notes(found))

    def _is_current(self) -> bool:
        """Whether summary.json agrees with the folder. False also while another process fills the folder."""
        whole = self.manifest.finished >= self.manifest.started
        return whole and self.folder.scored_by() in (None, self.scorer)

    def _summarised(self, stored: Summary | None) -> Summary:
        """A summary computed from the rows. Fields that do not follow from rows are taken from the stored summary, else from
        the manifest."""
        manifest, identity = self.manifest, self.manifest.identity
        judges = self.folder.judge_headers()
        asked = self.manifest.questions if self._asked is None else len(self._asked)
        found = summarise(
            questions=self.questions,
            samples=self.samples,
            scores=self.scores(),
            operations=self.operations,
            headline=manifest.headline,
            tokenizer=stored.stream_tokens.tokenizer if stored else identity["task"].get("tokenizer", ""),
            asked=asked * identity.get("repeats", 1) * identity.get("answer_repeats", 1),
            complete=True,
            prices=prices_of(manifest, judges),
            judged=judges,
        )
        known = stored or as_recorded(found, self.folder, manifest)
        found = replace(found, **{name: getattr(known, name) for name in NOT_FROM_ROWS})
        return replace(found, notes=notes(found))

    @property
    def rules(self) -> Rules:
        """The rules by which answers are scored, as the run's cards set them."""
        return Rules.of(self.identity("task"), self.manifest.headline, self.manifest.track == "native")

    @property
    def scorer(self) -> str | None:
        """Digest of the rules that made the task's scores, as `scores` gives them."""
        return self._scorer_today() or self.folder.scored_by()

    def _scorer_today(self) -> str | None:
        """Digest of the rules that would score this run today. None for a baseline, which has no texts to score, and where a
        metric of the user's own is not available here."""
        if not self.folder.has_texts:
            return None
        try:
            for name in self.rules.metrics:
                metrics.load(name, "")
        except UsageError:
            return None
        return _digest(self.rules, tuple(id(metrics.METRICS[name]) for name in self.rules.metrics))

    @property
    def judge(self) -> str | None:
        """The name of a judge's scores: those of the judge added last. None where no judge has scored the run."""
        known = self.folder.judges()
        return next((name for name in reversed(list(self.manifest.judges)) if name in known), None)

    @property
    def decides(self) -> str:
        """The name of the scores that decide which answers are right: the judge's where its score is the headline, else the
        task's."""
        return (self.summary.headline.metric == JUDGE and self.judge) or TASK

    @cached_property
    def questions(self) -> dict[str, QuestionRow]:
        """question id -> its row, for questions that have a sample"""
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
        """The scores of the samples by one scorer: the task's metrics (`task`), or a judge (`judge-...`)."""
        return tuple(self.score_of(scorer).values())

    def score_of(self, scorer: str = TASK) -> dict[Key, ScoreRow]:
        """(question id, repeat, answer repeat) -> its row of `scores`"""
        if scorer not in self._scores:
            rows = self._task_scores() if scorer == TASK else self.folder.scores(scorer)
            self._scores[scorer] = {row.key: row for row in rows if row.question_id in self.questions}
        return self._scores[scorer]

    def _task_scores(self) -> list[ScoreRow]:
        """The scores as stored; computed again where other rules made them."""
        stored, today = self.folder.scores(), self._scorer_today()
        if today is None or up_to_date(stored, self.samples, today):
            keys = {row.key for row in self.samples}
            return [row for row in stored if row.key in keys]
        return list(score_samples(self.samples, self.questions, self.texts, self.rules, today))

    @cached_property
    def operations(self) -> tuple[OperationRow, ...]:
        """The steps that built the memories of these questions; empty for a control or a baseline."""
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
        """The value of a metric for each answer that has it (failed = 0), in the order of the scores. metric: None for the
        headline, `judge` for the judge's score, which covers answerable questions only.

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
        """question id -> the value of a metric, as a mean over repeats; see `value_rows`"""
        return average_repeats((row.question_id, row.value) for row in self.value_rows(metric))


@functools.cache
def _digest(rules: Rules, functions: tuple[int, ...]) -> str:
    """The digest of the rules. functions: ids of the metrics' functions, so that a metric that is replaced is digested."""
    return scorer_digest(rules)
