"""Judge the samples of a finished run, and write them to a scores file of the judge.

Calls go through the store of the run folder and the same gateway as a run's: judging again costs nothing for existing
verdicts, and a judgement that was stopped resumes where it was. Equal answers to one question are one call.
"""

from __future__ import annotations

from pathlib import Path

from msgspec.structs import asdict, replace

from memeval.digests import digest
from memeval.errors import UsageError
from memeval.judging.calibrate import saved
from memeval.judging.judge import Judge, Progress, family_of
from memeval.judging.prompts import prompt_hash
from memeval.judging.related import related
from memeval.judging.scorer import scorer_name, with_judge
from memeval.models.calls import CallSettings
from memeval.models.completion import ModelSpec
from memeval.records.folder import RunFolder, RunWriter
from memeval.records.judgements import JudgeHeader
from memeval.records.manifest import JudgeFacts, Manifest


def judge_folder(
    path: Path,
    judge: ModelSpec,
    family: str | None = None,
    *,
    prompt: str | None = None,
    settings: CallSettings | None = None,
    progress: Progress | None = None,
) -> str:
    """Judge every sample of a run, and return the scorer's name. `scores/<name>.jsonl` gets the verdicts,
    `scores/<name>.json` the judge, its family, prompt hash, related roles, cost, and its calibration if there is one.

    family: None for that of the task (`family_of`). Both files are replaced whole, at the end; manifest.json gets the judge
    under `judges`. In a folder that cannot be written, complete verdicts of this judge are used as they are. Raises
    UsageError (no run, locked, unknown names) and StopRun (judge again to resume).
    """
    folder = RunFolder(path)
    manifest = folder.known_manifest()
    family = family or family_of(manifest.judge, manifest.source)
    scorer = scorer_name(judge, family, prompt)
    rules = digest([judge.name, prompt_hash(family, prompt), dict(judge.params)])[:16]
    if not folder.writable and scorer in folder.judges():
        verdicts = [(row.key, row.scorer) for row in folder.scores(scorer)]
        if verdicts == [(row.key, rules) for row in folder.samples()]:
            return scorer
    with RunWriter(folder):
        questions, samples = folder.questions(), folder.samples()
        if not samples:
            raise UsageError(f"{path}: no samples yet; run its command first")
        cut_off = manifest.identity.get("task", {}).get("cut_off", "wrong")
        rows, spending = with_judge(
            judge,
            lambda call: Judge(family, call, judge.params, prompt).samples(samples, questions, progress, cut_off),
            settings or CallSettings(),
            path / "calls.sqlite",
        )
        facts = JudgeFacts(
            judge=judge.name,
            family=family,
            prompt_hash=prompt_hash(family, prompt),
            own_prompt=prompt is not None,
            params=dict(judge.params),
            related=tuple(_related_roles(judge.name, manifest)),
        )
        folder.write_scores([replace(row, scorer=rules) for row in rows], scorer)
        folder.write_judge_header(
            JudgeHeader(
                **asdict(facts),
                scorer=scorer,
                base_url=judge.base_url,
                calls=len(spending.rows),
                requests=spending.requests,
                tokens=spending.tokens,
                served=dict(spending.served),
                calibration=saved(scorer),
            )
        )
        folder.write_manifest(replace(manifest, judges={**manifest.judges, scorer: facts}))
    return scorer


def _related_roles(judge: str, manifest: Manifest) -> list[str]:
    """The role whose answers are judged (the reader, or `memory` for an agent that answers by itself), if its model is of
    the judge's family; else nothing."""
    role = "memory" if manifest.track == "native" else "reader"
    model = manifest.models.get(role)
    return [role] if model and related(judge, model) else []
