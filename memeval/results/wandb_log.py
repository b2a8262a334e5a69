"""Log runs to Weights & Biases: the config has the conditions of the run, the summary the numbers with n and interval, and
there are notes and a table of questions. `WANDB_MODE`, `WANDB_PROJECT` and the like work as usual.

Nothing else is sent: not the command line, the environment, the console or the source.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator
from typing import Any

from memeval.errors import UsageError, install_hint
from memeval.records.averages import Average
from memeval.results.escape import plain
from memeval.results.load import of_outcome
from memeval.results.run import Run
from memeval.runs.run import Outcome

PROJECT = "memeval"
COLUMNS = ("question", "kind", "text", "golds", "answer", "verdict", "reason", "score", "recall tokens", "memory tokens")


def require() -> None:
    """Check, before a run, that wandb can log it. Raises UsageError where the package or a login is missing."""
    try:
        import wandb
    except ImportError as error:
        raise UsageError(f"--log wandb: {error}; {install_hint('wandb')}") from None
    try:
        if os.environ.get("WANDB_MODE") not in ("offline", "disabled"):
            wandb.login()
    except wandb.Error as error:
        raise UsageError(f"--log wandb: {error} WANDB_MODE=offline keeps everything on this machine.") from None


def send(outcomes: Iterable[Outcome]) -> None:
    """Log runs that just ended. A failure only prints a line on stderr: the results are safe in their folders."""
    for outcome in outcomes:
        run = of_outcome(outcome)
        try:
            log(run)
        except Exception as error:  # wandb and its server may raise anything
            fault = " ".join(f"{type(error).__name__}: {error}".split())
            print(f"memeval: wandb: {run.path} was not logged ({fault}); the same command logs it again", file=sys.stderr)


def log(run: Run) -> None:
    """Log one run. Logging it again updates the same run there. Raises what wandb raises."""
    import wandb

    session = wandb.init(
        project=os.environ.get("WANDB_PROJECT") or PROJECT,
        id=run.manifest.hash[:16],
        resume="allow",
        name=run.label or f"{run.agent} on {run.task}",
        group=run.task,
        tags=[tag[:64] for tag in (run.agent, run.task, run.tag) if tag],
        notes="\n".join(note.text for note in run.summary.notes),
        config=config(run),
        settings=wandb.Settings(
            console="off",
            disable_git=True,
            save_code=False,
            x_disable_meta=True,
            x_disable_stats=True,
            x_save_requirements=False,
        ),
    )
    try:
        session.log({"questions": wandb.Table(columns=list(COLUMNS), data=[list(row) for row in questions(run)])})
        session.summary.update(numbers(run))
    finally:
        session.finish()


def config(run: Run) -> dict[str, Any]:
    """The conditions of the run: everything that its hash covers, and names to find it by."""
    manifest = run.manifest
    return {
        "agent": manifest.agent,
        "task": run.task,
        "label": run.label,
        "models": manifest.models,
        "track": manifest.track,
        "protocol": manifest.protocol,
        "deviations": list(manifest.deviations),
        "memeval": manifest.versions.get("memeval", ""),
        "hash": manifest.hash,
        "identity": manifest.identity,
    }


def numbers(run: Run) -> dict[str, Any]:
    """Every metric with its interval and n, and what the run took. Names have slashes, by which wandb groups them."""
    summary = run.summary
    found: dict[str, Any] = {}
    for name, average in {"headline": summary.headline, **summary.metrics}.items():
        found |= _average(name, average)
    for kind, average in summary.kinds.items():
        found |= _average(f"kind/{kind}", average)
    return found | {
        "headline/metric": summary.headline.metric,
        "status": summary.status,
        "failed": summary.failed,
        "questions": summary.n,
        "memory_tokens": summary.memory_tokens.mean,
        "calls": sum(summary.calls.values()),
        "prompt_tokens": summary.tokens.prompt,
        "completion_tokens": summary.tokens.completion,
        "usd": summary.cost.usd,
        "seconds": summary.seconds,
        "trained_on": summary.trained_on.mark if summary.trained_on else None,
        "notes": [note.text for note in summary.notes],
    }


def _average(name: str, average: Average) -> dict[str, float | None]:
    return {f"{name}/{part}": getattr(average, part) for part in ("value", "low", "high", "n")}


def questions(run: Run) -> Iterator[tuple[Any, ...]]:
    """A row per answer (COLUMNS), with each text in one line."""
    scores = run.score_of()
    headline = run.summary.headline.metric
    for sample in run.samples:
        question, score = run.questions[sample.question_id], scores.get(sample.key)
        yield (
            sample.question_id,
            question.kind,
            plain(question.text),
            plain(" | ".join(question.answers)),
            plain(sample.answer or ""),
            score.verdict if score else "",
            plain(score.reason or "") if score else "",
            score.metrics.get(headline) if score else None,
            sample.recall_tokens,
            sample.memory_tokens,
        )
