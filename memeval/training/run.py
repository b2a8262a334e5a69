"""A training run from a recipe to a checkpoint, in a folder that a later command goes on from."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import msgspec

from memeval.errors import UsageError
from memeval.runs.plan import Planned
from memeval.runs.prepare import PackedContext
from memeval.training import tiny, tiny_model
from memeval.training.checkpoint import TrainingFolder, read_state
from memeval.training.loop import Training, train
from memeval.training.policy import Policy
from memeval.training.reading import packed, read
from memeval.training.recipe import Recipe, Warm
from memeval.training.verdicts import ContentJudge
from memeval.training.warm_start import WarmStart, warm_start


def run(recipe: Recipe, out: Path) -> TrainingFolder:
    """Train, or go on with it. The folder holds the checkpoints `warm` and `best` then, and in state.pt the weights of both.
    Raises UsageError for a recipe that cannot be used and a folder that cannot be written, StopRun (TrainingFailed) where
    training cannot go on."""
    import torch

    if recipe.model != "tiny":
        raise UsageError(f"model '{recipe.model}': the plain loop trains 'tiny' alone")
    torch.set_num_threads(recipe.threads)
    torch.use_deterministic_algorithms(True)
    learner = tiny.planned(recipe, recipe.task, recipe.agent, recipe.params)
    checker = tiny.planned(recipe, recipe.validation, recipe.agent, recipe.params)
    streams, checks = _streams(learner, recipe.task), _streams(checker, recipe.validation)
    for name in (recipe.test, *(tiny.at_length(recipe, times) for times in recipe.lengths)):
        tiny.planned(recipe, name, recipe.agent, recipe.params)  # what is wrong with it is said before anything is trained
    judge = ContentJudge(recipe.judge, out / "judge.sqlite") if recipe.judge else None
    tokenizer, model = tiny_model.tokenizer(), tiny_model.build(recipe.seed)
    policy = Policy(model, tokenizer, tiny_model.WINDOW, 1.0, recipe.seed)
    trained_on = [{"family": learner.task.card.family, "splits": [learner.task.card.split]}]

    def validate() -> dict[str, float]:
        found = tiny.figures(read(checker.spec, checks, policy, "validation"), checks)
        return dict(msgspec.structs.asdict(found))

    def valid(empty: bool) -> float:
        """Share of good calls, at all chunks or at the first one, which is read with an empty memory."""
        turns = [
            turn for each in read(checker.spec, checks, policy, "warm") for turn in (each.turns[:1] if empty else each.turns)
        ]
        return sum(turn.succeeded for turn in turns) / max(1, sum(turn.calls for turn in turns))

    folder = TrainingFolder(out, msgspec.to_builtins(recipe))
    try:
        state = folder.resume()
        if state is None:
            if recipe.warm.folder:
                model.load_state_dict(_warm_start_of(Path(recipe.warm.folder)))
            else:
                warm_start(model, tokenizer, recipe.seed, _settings(recipe.warm), valid, folder.log)
            folder.save("warm", model, tokenizer, trained_on)
            state = {"phase": "warm", "step": 0, "model": model.state_dict(), "warm": copy.deepcopy(model.state_dict())}
            folder.keep(state)
        model.load_state_dict(state["model"])
        reference = None
        if recipe.grpo.kl:
            reference = tiny_model.build(recipe.seed)
            reference.load_state_dict(state["warm"])
        training = Training(
            model,
            tokenizer.pad_token_id,
            recipe.seed,
            recipe.grpo,
            recipe.reward,
            streams,
            lambda some, noise, repeats: read(learner.spec, some, policy, noise, repeats),
            validate,
            folder,
            state["warm"],
            reference,
            judge,
        )
        if state["phase"] != "done":
            best = train(training, state)
            model.load_state_dict(best)
            folder.save("best", model, tokenizer, trained_on)
            folder.keep({"phase": "done", "step": recipe.grpo.steps, "model": best, "warm": state["warm"]})
    except BaseException:
        folder.close()
        raise
    return folder


def _streams(run: Planned, name: str) -> list[PackedContext]:
    """Raises UsageError where a task asks nothing: then there is no reward."""
    if not run.question_ids:
        raise UsageError(f"task '{name}' has no questions; nothing can be trained or chosen on it")
    return packed(run.task, run.question_ids)


def _settings(warm: Warm) -> WarmStart:
    return WarmStart(warm.steps, warm.rows, warm.learning_rate, warm.share, warm.valid)


def _warm_start_of(folder: Path) -> dict[str, Any]:
    """The weights that the training run in a folder began with."""
    state = read_state(folder)
    if state is None:
        raise UsageError(f"warm.folder: {folder} holds no training run with a warm start (state.pt)")
    weights: dict[str, Any] = state["warm"]
    return weights


def policies(recipe: Recipe, folder: TrainingFolder) -> dict[str, Policy]:
    """`warm` and `trained` of a folder whose training is done."""
    state = folder.resume()
    assert state is not None
    made = {}
    for name, key in (("warm", "warm"), ("trained", "model")):
        model = tiny_model.build(recipe.seed)
        model.load_state_dict(state[key])
        made[name] = Policy(model, tiny_model.tokenizer(), tiny_model.WINDOW, 1.0, recipe.seed)
    return made
