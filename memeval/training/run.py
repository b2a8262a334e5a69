"""A training run from a recipe to a checkpoint, in a folder that a later command goes on from."""

from __future__ import annotations

import copy
from pathlib import Path

import msgspec

from memeval.errors import UsageError
from memeval.training import tiny, tiny_model
from memeval.training.checkpoint import TrainingFolder
from memeval.training.loop import Training, train
from memeval.training.policy import Policy
from memeval.training.reading import packed, read
from memeval.training.recipe import Recipe
from memeval.training.warm_start import WarmStart, warm_start


def run(recipe: Recipe, out: Path) -> TrainingFolder:
    """Train, or go on with it. The folder holds the checkpoints `warm` and `best` then, and in state.pt the weights of both.
    Raises UsageError for a recipe that cannot be used and a folder that cannot be written, TrainingFailed, StopRun."""
    import torch

    if recipe.model != "tiny":
        raise UsageError(f"model '{recipe.model}': the plain loop trains 'tiny' alone")
    torch.set_num_threads(recipe.threads)
    torch.use_deterministic_algorithms(True)
    folder = TrainingFolder(out, msgspec.to_builtins(recipe))
    state = folder.resume()
    tokenizer, model = tiny_model.tokenizer(), tiny_model.build(recipe.seed)
    learner = tiny.planned(recipe, recipe.task, recipe.agent, recipe.params)
    judge = tiny.planned(recipe, recipe.validation, recipe.agent, recipe.params)
    policy = Policy(model, tokenizer, tiny_model.WINDOW, 1.0, recipe.seed)
    streams, checks = packed(learner.task, learner.question_ids), packed(judge.task, judge.question_ids)
    trained_on = [{"family": learner.task.card.family, "splits": [learner.task.card.split]}]

    def validate() -> dict[str, float]:
        found = tiny.figures(read(judge.spec, checks, policy, "validation"), checks)
        return dict(msgspec.structs.asdict(found))

    def valid(empty: bool) -> float:
        """Share of good calls, at all chunks or at the first one, which is read with an empty memory."""
        turns = [
            turn for each in read(judge.spec, checks, policy, "warm") for turn in (each.turns[:1] if empty else each.turns)
        ]
        return sum(turn.succeeded for turn in turns) / max(1, sum(turn.calls for turn in turns))

    if state is None:
        warm = WarmStart(**msgspec.structs.asdict(recipe.warm))
        warm_start(model, tokenizer, recipe.seed, warm, valid, folder.log)
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
    )
    if state["phase"] != "done":
        best = train(training, state)
        model.load_state_dict(best)
        folder.save("best", model, tokenizer, trained_on)
        folder.keep({"phase": "done", "step": recipe.grpo.steps, "model": best, "warm": state["warm"]})
    return folder


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
