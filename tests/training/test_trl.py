"""Training by TRL: its loss is the plain loop's, padding changes nothing, and a run resumes where it was stopped."""

from __future__ import annotations

import importlib.util
import json
import math
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml
from click.testing import CliRunner

from memeval.cli import main
from memeval.errors import StopRun

torch = pytest.importorskip("torch")
pytest.importorskip("trl", reason="the extra train is not installed")

from memeval.models.completion import Row  # noqa: E402
from memeval.training import recipe as recipes  # noqa: E402
from memeval.training import tiny_model, trl_run, weights  # noqa: E402
from memeval.training.folder import TrainingFolder  # noqa: E402
from memeval.training.loss import batch, log_probabilities, loss  # noqa: E402
from memeval.training.recipe import Grpo, Trl  # noqa: E402
from memeval.training.row_trainer import RowTrainer, states  # noqa: E402

ROWS = [
    (Row((2, 3, 40, 41, 7), (30, 31, 1), (-5.0, -6.0, -5.5)), 1.5),
    (Row((2, 3, 7), (33, 1), (-5.2, -5.9)), -0.5),
    (Row((2, 9, 3, 50, 51, 52, 7), (35,), (-4.8,)), -1.0),
    (Row((2, 3, 60, 7), (36, 37, 38, 39, 1), (-5.0, -5.0, -5.0, -5.0, -6.0)), 0.75),
    (Row((2, 7), (40, 1), (-7.5, -3.0)), -2.0),
]
"""Five rows of unequal lengths whose probabilities under a random model are off by enough to be clipped."""


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random Qwen3 of two layers and a tokenizer of whole words, as a folder."""
    folder = tmp_path_factory.mktemp("qwen3")
    tiny_model.build(0).save_pretrained(folder)
    tiny_model.tokenizer().save_pretrained(folder)
    return folder


@pytest.fixture
def file(tmp_path: Path, model: Path) -> Path:
    """A recipe of three short steps with that model."""
    given: dict[str, Any] = {
        **{"model": str(model), "task": "synth-tiny@train", "validation": "synth-tiny@validation"},
        **{"test": "synth-tiny@validation", "reader": "lookup"},
        "params": {"wire": "quotes", "core": False, "episodic": False, "capacity": 30},
        "grpo": {"steps": 3, "streams": 2, "group": 4, "check": 1, "rising": 2},
        "trl": {"dtype": "float32", "window": 256, "rows": 5, "validation_streams": 2},
    }
    path = tmp_path / "mine.yaml"
    path.write_text(yaml.safe_dump(given))
    return path


def trainer(file: Path, out: Path, rows: Sequence[Any] = ROWS, *settings: str) -> RowTrainer:
    recipe = recipes.load(str(file), settings)
    loaded, tokenizer, _ = weights.load(recipe.model, recipe.trl)
    made = RowTrainer(loaded, tokenizer, recipe, out, lambda number: rows, _nothing())
    made.current_gradient_accumulation_steps = 1  # TRL sets it when training begins
    return made


def _nothing() -> Any:
    from transformers import TrainerCallback

    return TrainerCallback()


def gradient(module: Any) -> Any:
    return torch.cat([value.grad.flatten() for value in module.parameters() if value.grad is not None])


@pytest.mark.parametrize("mean", ["token", "sequence"])
@pytest.mark.parametrize(("rows", "minibatches"), [(5, 1), (2, 1), (1, 2)])
def test_the_loss_and_its_gradient_are_the_plain_loops(
    tmp_path: Path, file: Path, mean: str, rows: int, minibatches: int
) -> None:
    """rows 2 cuts five rows into passes of 2, 2 and 1; two minibatches need a row of padding."""
    changes = (f"grpo.mean={mean}", f"trl.rows={rows}", f"grpo.minibatches={minibatches}", "trl.checkpointing=false")
    made = trainer(file, tmp_path, ROWS, *changes)
    found = sum(made.training_step(made.model, None).item() for _ in range(minibatches)) / minibatches
    plain = tiny_model.build(0)
    given = batch([row for row, _ in ROWS], [value for _, value in ROWS], 0)
    logprobs, entropies = log_probabilities(plain, given)
    expected = loss(logprobs, entropies, given, Grpo(mean=mean))  # type: ignore[arg-type]
    expected.backward()
    ratio = (logprobs - given.sampled).exp()[given.weights > 0]
    assert ratio.min() < 0.8  # the clipping on either side and the dual one are at work
    assert ratio.max() > 3
    assert found == pytest.approx(expected.item(), abs=1e-5)
    assert torch.allclose(gradient(made.model) / minibatches, gradient(plain), atol=1e-5)


def test_the_distance_to_the_first_weights_is_in_the_loss(tmp_path: Path, file: Path) -> None:
    made = trainer(file, tmp_path, ROWS, "grpo.kl=0.5", "trl.checkpointing=false")
    plain, reference = tiny_model.build(0), tiny_model.build(0)
    with torch.no_grad():
        for module in (made.model, plain):
            generator = torch.Generator().manual_seed(7)
            for value in module.parameters():
                value += 0.05 * torch.randn(value.shape, generator=generator)
    found = made.training_step(made.model, None).item()
    given = batch([row for row, _ in ROWS], [value for _, value in ROWS], 0)
    logprobs, entropies = log_probabilities(plain, given)
    before, _ = log_probabilities(reference, given)
    far = loss(logprobs, entropies, given, Grpo(kl=0.5), before.detach()).item()
    assert far != pytest.approx(loss(logprobs, entropies, given, Grpo()).item(), abs=1e-3)
    assert found == pytest.approx(far, abs=1e-4)


def test_a_step_without_a_row_that_teaches_changes_nothing(tmp_path: Path, file: Path) -> None:
    made = trainer(file, tmp_path, [])
    assert made.training_step(made.model, None).item() == 0
    assert all(value.grad is None for value in made.model.parameters())


@pytest.mark.slow
def test_an_adapter_is_saved_as_the_sum_with_its_weights(tmp_path: Path, file: Path) -> None:
    made = trainer(file, tmp_path, ROWS, "trl.lora={rank: 4, alpha: 8}")
    adapted = made.model
    with torch.no_grad():
        for name, value in adapted.named_parameters():
            if "lora_B" in name:
                value += 0.1
    found = weights.whole(adapted, torch.float32)
    plain = tiny_model.build(1)
    assert found.keys() == plain.state_dict().keys()
    plain.load_state_dict(found)
    ids = torch.tensor([[2, 3, 40, 41, 7, 30]])
    assert torch.allclose(plain(ids).logits, adapted(ids).logits, atol=1e-4)
    assert not torch.allclose(plain(ids).logits, tiny_model.build(0)(ids).logits, atol=1e-2)


def run(file: Path, out: Path, *settings: str) -> list[dict[str, Any]]:
    lines = trl_run.run(recipes.load(str(file), settings), out)
    assert lines is not None
    return lines


@pytest.mark.slow
def test_three_steps_a_stopped_run_that_goes_on_and_its_evaluation(
    tmp_path: Path, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = run(file, tmp_path / "whole")
    assert [line["step"] for line in whole] == [1, 2, 3]
    assert {"accuracy", "success", "compression", "reward"} <= whole[0]["train"].keys()
    assert all(line["rows"] > 0 and math.isfinite(line["loss"]) for line in whole)
    again = tmp_path / "again"
    log = TrainingFolder.log

    def stopped(self: TrainingFolder, **facts: Any) -> None:
        log(self, **facts)
        if facts["step"] == 2:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(TrainingFolder, "log", stopped)
        with pytest.raises(KeyboardInterrupt):
            run(file, again)
    assert [path.name for path in states(again)] == ["state-1"]
    assert run(file, again) == whole
    assert (again / "log.jsonl").read_text() == (tmp_path / "whole" / "log.jsonl").read_text()
    last = [torch.load(folder / "state-3" / "optimizer.pt") for folder in (again, tmp_path / "whole")]
    pairs = zip(*(state["state"].values() for state in last), strict=True)
    assert all(torch.equal(one["exp_avg"], other["exp_avg"]) for one, other in pairs)
    logged = json.loads((again / "state-3" / "trainer_state.json").read_text())["log_history"]  # what report_to gets
    assert [entry["memeval/train/reward"] for entry in logged] == [line["train"]["reward"] for line in whole]
    assert logged[2]["memeval/validation/accuracy"] == whole[2]["validation"]["accuracy"]
    assert all(entry["tokens_per_second"] > 0 for entry in logged)
    claimed = json.loads((again / "best" / "memeval_trained_on.json").read_text())["trained_on"]
    assert (claimed[0]["family"], claimed[0]["splits"]) == ("synth-tiny", ["train"])
    assert len(claimed[0]["hashes"]) > 100
    words = recipes.evaluation(recipes.load(str(file)), again / "best").split()[1:]
    words += ["--runs-dir", str(tmp_path / "runs"), "--limit", "64", "--quiet", "--format", "json"]
    evaluated = CliRunner().invoke(main, words)
    assert evaluated.exit_code == 0, evaluated.output
    [found] = json.loads(evaluated.stdout)["runs"]
    assert found["headline"]["n"] == 64
    assert (found["trained_on"]["mark"], found["trained_on"]["known"]) == ("in-domain", 0)  # none of these questions
    control = CliRunner().invoke(main, ["run", "--agent", "write-random", *words[words.index("--task") :]])
    [chance] = json.loads(control.stdout)["runs"]
    gate = ["gate", "--baseline", chance["path"], "--candidate", found["path"], "--format", "json"]
    judged = CliRunner().invoke(main, gate)
    assert judged.exit_code == 1, judged.output  # a random writer of six words keeps less than a random third of the lines


@pytest.mark.slow
def test_what_goes_wrong_is_named_and_the_state_before_it_stays(
    tmp_path: Path, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    rows = trl_run.TrlRun.rows
    with monkeypatch.context() as patch:
        patch.setattr(
            trl_run.TrlRun,
            "rows",
            lambda self, number: [(row, value * (1 if number < 1 else math.nan)) for row, value in rows(self, number)],
        )
        with pytest.raises(StopRun, match=r"step 2: the loss is nan; lower grpo\.learning_rate"):
            run(file, out)
    assert [path.name for path in states(out)] == ["state-1"]

    def too_large(*given: Any, **named: Any) -> Any:
        raise torch.OutOfMemoryError("CUDA out of memory")

    with monkeypatch.context() as patch:
        patch.setattr(RowTrainer, "compute_loss", too_large)
        with pytest.raises(StopRun, match=r"step 2: out of memory; use fewer trl\.rows"):
            run(file, out)

    def full(self: Any, folder: str) -> None:
        (Path(folder) / "optimizer.pt").write_bytes(b"half")
        raise RuntimeError("[enforce fail at inline_container.cc:626] . unexpected pos 64 vs 0")

    with monkeypatch.context() as patch:
        patch.setattr(RowTrainer, "_save_optimizer_and_scheduler", full)
        with pytest.raises(Exception, match=r"state-2: cannot be written .*unexpected pos") as raised:
            run(file, out)
    assert type(raised.value).__name__ == "UsageError"
    assert [path.name for path in states(out)] == ["state-1"]
    assert not (out / ".state").exists()
    assert [line["step"] for line in run(file, out)] == [1, 2, 3]


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (["model=nowhere"], "nowhere"),
        (["model=weights.gguf"], "weights.gguf': no such file"),
        (["grpo.streams=700"], "has 640; use fewer"),
        (["grpo.entropy=0.1"], "grpo.entropy"),
        (["warm.steps=5"], "warm.steps"),
        (["trl.lora={rank: none}"], "rank"),
        (["trl.lora={rnk: 3}"], "did you mean 'rank'"),
        (["trl.dtype=float8"], "trl.dtype"),
        (["trl.report_to=[nowhere]"], "trl.report_to: 'nowhere'"),
        (["model=weights.gguf", "grpo.kl=0.1"], "set kl to 0"),
        (["grpo.minibatches=3"], "cannot be divided"),
        (["task=none"], "none"),
        (["task="], "task"),
    ],
)
def test_bad_recipes_are_one_line(tmp_path: Path, file: Path, monkeypatch, settings: list[str], said: str) -> None:
    monkeypatch.chdir(tmp_path)
    words = [word for setting in settings for word in ("--set", setting)]
    result = CliRunner().invoke(main, ["train", str(file), "--out", "out", *words])
    assert result.exit_code == 2, result.output
    assert said in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1


def test_a_model_without_a_chat_template_and_a_task_without_questions(tmp_path: Path, file: Path, model: Path) -> None:
    bare = tmp_path / "bare"
    tiny_model.build(0).save_pretrained(bare)
    tokenizer = tiny_model.tokenizer()
    tokenizer.chat_template = None
    tokenizer.save_pretrained(bare)
    (tmp_path / "empty.jsonl").write_text(json.dumps({"id": "a", "units": ["some text"], "questions": []}) + "\n")
    (tmp_path / "empty.yaml").write_text("source: jsonl\nparams: {file: empty.jsonl}\nmetrics: [f1]\nheadline: f1\n")
    for setting, said in ((f"model={bare}", "no chat template"), (f"task={tmp_path / 'empty.yaml'}", "question")):
        words = ["train", str(file), "--out", str(tmp_path / "out"), "--set", setting]
        result = CliRunner().invoke(main, words, env={**os.environ, "MEMEVAL_DATA": str(tmp_path)})
        assert result.exit_code == 2, result.output
        assert said in result.stderr
        assert len(result.stderr.strip().splitlines()) == 1


@pytest.mark.parametrize("variable", ["ACCELERATE_USE_FSDP", "ACCELERATE_USE_DEEPSPEED"])
def test_a_launch_that_divides_the_model_is_one_line(tmp_path: Path, file: Path, monkeypatch, variable: str) -> None:
    monkeypatch.setenv(variable, "true")
    result = CliRunner().invoke(main, ["train", str(file), "--out", str(tmp_path / "out")])
    assert result.exit_code == 2, result.output
    assert variable in result.stderr
    assert "launch without it" in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1
    assert not (tmp_path / "out").exists()


def test_a_missing_package_is_named(tmp_path: Path, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *rest: None if name == "peft" else find(name, *rest))
    result = CliRunner().invoke(main, ["train", str(file), "--out", str(tmp_path / "out")])
    assert result.exit_code == 2
    assert "peft not installed: pip install -c constraints.txt -e '.[train]'" in result.stderr


def test_the_recipes_that_come_with_memeval_can_be_read() -> None:
    found = {name: recipes.load(name) for name in recipes.names()}
    assert found["qwen3-0.6b-lora"].trl.lora is not None
    assert found["qwen3-4b"].trl.lora is None
    assert (found["qwen3-4b"].grpo.group, found["qwen3-4b"].grpo.streams) == (8, 32)
    assert msgspec.structs.asdict(found["tiny"])["trl"] == Trl()


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_a_real_model_from_a_gguf_file(tmp_path: Path) -> None:
    """Two steps of SmolLM2-135M-Instruct, from the file that SMOLLM2_GGUF names."""
    file = Path(os.environ.get("SMOLLM2_GGUF", "not-named"))
    if not file.is_file():
        pytest.skip("SMOLLM2_GGUF names no GGUF file of SmolLM2-135M-Instruct")
    settings = [f"model={file}", "grpo.steps=2", "grpo.streams=1", "grpo.group=2", "grpo.check=2", "grpo.rising=0"]
    recipe = recipes.load("smollm2-135m", [*settings, "trl.validation_streams=1"])
    lines = trl_run.run(recipe, tmp_path / "out")
    assert lines is not None
    assert [line["step"] for line in lines] == [1, 2]
    assert all(math.isfinite(line["loss"]) and 0 <= line["train"]["accuracy"] <= 1 for line in lines)
    _, tokenizer, _ = weights.load(str(file), recipe.trl)
    saved, _, claims = weights.load(str(tmp_path / "out" / "best"), recipe.trl)
    assert claims[0]["family"] == "synth-tiny"
    assert tokenizer.chat_template
    assert sum(value.numel() for value in saved.parameters()) > 134_000_000
