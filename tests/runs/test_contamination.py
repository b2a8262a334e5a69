"""Which runs are marked: the models that ran, not the agent's code, and the questions that were asked."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
from folders import read_json, read_lines
from toys import Diary, simple

from memeval.cards import AgentCard, TaskCard
from memeval.commands.show import show_command
from memeval.contamination import claims, contamination, runs_its_own_model, trained_questions
from memeval.errors import UsageError
from memeval.judging.judged_run import judge_folder
from memeval.judging.summary import judged_summary
from memeval.models.completion import ModelSpec
from memeval.plugins import find_agent, find_task
from memeval.records.averages import named
from memeval.records.summary import Contamination, Summary
from memeval.results.run_table import runs_table
from memeval.runs.notes import notes
from memeval.runs.run import run
from memeval.runs.summary import with_judge
from memeval.trained import CHECKPOINT_FILE, TrainedOn, content_hash

URL = "http://127.0.0.1:1/v1"
TASK = TaskCard(name="hotpotqa-10k", source="toy", family="hotpotqa", split="dev")
ASKED = {"q0": "Who is Ann?", "q1": "Where does Bob live?", "q2": "When was Cy born?"}


def _claims(spec: Any) -> Any:
    return claims(spec.task, spec.agent.card, spec.models)


def found(mark: Any, by: str, known: int | None = None, notes: tuple[str, ...] = ()) -> Contamination:
    return Contamination(mark=mark, by=(by,), notes=notes, asked=3, known=known)


@pytest.mark.parametrize(
    ("known", "expected"),
    [
        ({}, None),
        ({"M": (TrainedOn("nq", ("dev",)),)}, None),
        ({"M": (TrainedOn("hotpotqa"),)}, found("in-domain", "M")),
        ({"M": (TrainedOn("hotpotqa", ("train",), note="paper"),)}, found("in-domain", "M", notes=("paper",))),
        ({"M": (TrainedOn("hotpotqa", ("dev",)),)}, found("leaked", "M")),
        ({"M": (TrainedOn("hotpotqa"),), "R": (TrainedOn("hotpotqa", ("dev",)),)}, found("leaked", "R")),
        # hashes: a question in other blanks and letters is the same; its family need not be named alike
        (
            {"M": (TrainedOn("mix", (), frozenset({content_hash("where does  BOB live?"), "c" * 64})),)},
            found("leaked", "M", 1),
        ),
        ({"M": (TrainedOn("mix", (), frozenset({"c" * 64})),)}, None),
        ({"M": (TrainedOn("hotpotqa", ("train",), frozenset({"c" * 64})),)}, found("in-domain", "M", 0)),
        ({"M": (TrainedOn("hotpotqa", ("dev",), frozenset({"c" * 64})),)}, found("leaked", "M", 0)),
    ],
)
def test_the_look_up(known: dict[str, tuple[TrainedOn, ...]], expected: Contamination | None) -> None:
    assert contamination(TASK, known, ASKED) == expected
    assert trained_questions(known, ASKED) == ({"q1"} if expected and expected.known else set())


@pytest.mark.parametrize(
    ("own", "memory", "holds"),
    [
        ({}, ModelSpec("offline"), True),
        ({"memory": "vllm/org/Own-4B"}, ModelSpec("vllm/org/Own-4B"), True),
        ({"memory": {"name": "Own-4B@http://h/v1"}}, ModelSpec("org/own_4b", URL), True),
        ({"memory": "vllm/org/Own-4B"}, ModelSpec("vllm/org/Own-14B"), False),
        ({"memory": "vllm/org/Own-4B"}, ModelSpec("offline"), False),
        ({"reader": "org/Reader"}, ModelSpec("org/Own-4B", URL), False),
    ],
)
def test_a_card_speaks_of_its_own_model(own: dict[str, Any], memory: ModelSpec, holds: bool) -> None:
    card = AgentCard(name="a", agent="a", models=own, trained_on=(TrainedOn("x"),))
    assert runs_its_own_model(card, {"memory": memory, "reader": ModelSpec("offline")}) is holds


@pytest.mark.parametrize(
    ("entry", "model", "mark"),
    [
        ("Memalpha-4B", "YuWangX/Memalpha-4B", "in-domain"),
        ("Memalpha-4B: leaked, these questions", "memalpha_4b", "leaked"),
        ("Memalpha-4B", "Qwen/Qwen3-4B", None),
        ("MEM1", "org/MyMem-14B", None),
        ("Diary", "offline", None),  # the agent's name says nothing of the model
    ],
)
def test_a_task_s_warning_is_of_a_model(toy: Any, entry: str, model: str, mark: str | None) -> None:
    models = {"memory": ModelSpec(model, URL), "reader": ModelSpec("offline")}
    planned = toy.planned(Diary, [simple(0)], card={"trained_on": (entry,)}, models=models)
    marked = contamination(planned.spec.task, planned.claims, {})
    assert (marked.mark if marked else None) == mark


def test_a_checkpoint_says_what_it_was_trained_on(toy: Any, tmp_path: Path) -> None:
    (tmp_path / CHECKPOINT_FILE).write_text(json.dumps({"trained_on": [{"family": "toy", "splits": ["all"]}]}))
    spec = toy.planned(Diary, [simple(0)]).spec
    for name, models in (
        ("here", {"memory": ModelSpec(f"hf/{tmp_path}")}),
        ("served", {"memory": ModelSpec(str(tmp_path), URL)}),  # a server's name is not a path of this machine
        ("hub", {"memory": ModelSpec("hf/nobody/nothing")}),
    ):
        known = _claims(_with(spec, models))
        assert known == ({f"hf/{tmp_path}": (TrainedOn("toy", ("all",)),)} if name == "here" else {})


def _with(spec: Any, models: dict[str, ModelSpec]) -> Any:
    return dataclasses.replace(spec, models=models)


def test_where_the_mark_stands(toy: Any) -> None:
    contexts = [simple(number) for number in range(4)]
    texts = [context.questions[0].text for context in contexts]
    entry = TrainedOn("mine", ("train",), frozenset(map(content_hash, texts[:1])), "a test")
    planned = toy.planned(Diary, contexts, agent_card={"trained_on": (entry,)})
    printed = msgspec.to_builtins(run(planned, quiet=True).summary)
    scores = {line["question_id"]: line["metrics"]["f1"] for line in _scores(planned)}
    mean = sum(scores[key] for key in ("q1", "q2", "q3")) / 3
    others = printed["trained_on"].pop("others")
    assert printed["trained_on"] == {"mark": "leaked", "by": ("Diary",), "notes": ("a test",), "asked": 4, "known": 1}
    assert (others["metric"], others["value"], others["n"]) == ("f1", pytest.approx(mean), 3)
    assert others["low"] <= mean <= others["high"]

    printed["trained_on"]["others"] = {"metric": "f1", "value": 0.5, "low": 0.25, "high": 0.75, "n": 3}
    shown = msgspec.convert(printed, Summary)
    table = runs_table([msgspec.structs.replace(shown, notes=notes(shown))])
    assert f"{100 * printed['headline']['value']:.1f} †" in table
    assert "† leaked: a model of the row was trained on this split" in table
    told = "leaked (Diary: a test); 1 of 4 asked questions were trained on"
    assert f"Diary on toy: {told}; f1 on the others 50.0, 25.0 to 75.0, n 3" in table
    assert f"note: {told}; f1 on the others " in show_command([str(planned.spec.folder)])

    manifest = read_json(planned.spec.folder / "manifest.json")
    assert manifest is not None
    stated = manifest["trained_on"]
    assert (stated["family"], stated["split"], stated["mark"]["mark"]) == ("toy", "all", "leaked")
    assert [(row["of"], row["splits"], row["hashes"]) for row in stated["claims"]] == [("Diary", ["train"], 1)]


def _scores(planned: Any, scorer: str = "task") -> list[dict[str, Any]]:
    return list(read_lines(planned.spec.folder / "scores" / f"{scorer}.jsonl"))


def test_a_finished_run_is_marked_when_more_is_known(toy: Any) -> None:
    contexts = [simple(0)]
    first = run(toy.planned(Diary, contexts), quiet=True)
    assert msgspec.to_builtins(first.summary)["trained_on"] is None
    later = toy.planned(Diary, contexts, agent_card={"trained_on": (TrainedOn("toy"),)})
    assert later.spec.folder == first.planned.spec.folder
    again = msgspec.to_builtins(run(later, quiet=True).summary)
    assert (again["trained_on"]["mark"], again["trained_on"]["known"], again["trained_on"]["others"]) == (
        "in-domain",
        None,
        None,
    )
    assert again["requests"] == 0
    assert msgspec.to_builtins(run(toy.planned(Diary, contexts), quiet=True).summary)["trained_on"] is None


@pytest.mark.parametrize(
    ("task", "model", "mark"),
    [
        ("hotpotqa-10k", "YuWangX/Memalpha-4B", "in-domain"),
        ("hotpotqa-10k@memocr", "BytedTsinghua-SIA/RL-MemoryAgent-14B", "in-domain"),
        ("hotpotqa-10k", "Mem-Lab/Qwen2.5-7B-RL-RAG-Q2-EM-Release", "in-domain"),
        ("nq-10k", "Mem-Lab/Qwen2.5-7B-RL-RAG-Q2-EM-Release", "in-domain"),
        ("memalpha-squad", "YuWangX/Memalpha-4B", "in-domain"),
        ("memalpha-squad@train", "YuWangX/Memalpha-4B", "leaked"),
        ("memalpha-perltqa", "YuWangX/Memalpha-4B", "in-domain"),
        ("memalpha-mab-nlu", "YuWangX/Memalpha-4B", "leaked"),
        ("mab-icl_trec_coarse_6600shot_balance", "YuWangX/Memalpha-4B", "leaked"),
        ("mab-icl_trec_fine_6400shot_balance", "YuWangX/Memalpha-4B", None),
        ("longmemeval-s", "YuWangX/Memalpha-4B", "leaked"),
        ("mab-longmemeval_s", "YuWangX/Memalpha-4B", "in-domain"),
        ("2wiki-10k", "YuWangX/Memalpha-4B", None),
        ("hotpotqa-10k", "Qwen/Qwen3-4B", None),
        ("synth-10k", "YuWangX/Memalpha-4B", None),
    ],
)
def test_the_bundled_cards(toy: Any, task: str, model: str, mark: str | None) -> None:
    """memeval's agent `memalpha` is code: what was trained is the checkpoint it runs."""
    assert find_agent("memalpha").trained_on == ()
    card = find_task(task)
    spec = toy.planned(Diary, [simple(0)]).spec
    models = {"memory": ModelSpec(model, URL), "reader": ModelSpec("offline")}
    known = claims(card, spec.agent.card, models)
    marked = contamination(card, known, {})
    assert (marked.mark if marked else None) == mark


@pytest.mark.parametrize(
    ("task", "family"),
    [
        ("hotpotqa-100k@memocr", ("hotpotqa", "dev")),
        ("synth-10k", ("synth", "test")),
        ("synth-10k@train", ("synth", "train")),
        ("personamem-32k", ("personamem", "")),
        ("mab-ruler_qa2_421K", ("hotpotqa", "dev")),
        ("memalpha-mab-single-doc", ("squad", "dev")),
    ],
)
def test_family_and_split_of_bundled_tasks(task: str, family: tuple[str, str]) -> None:
    card = find_task(task)
    assert (card.family, card.split) == family


def test_a_damaged_checkpoint_file_is_refused(toy: Any, tmp_path: Path) -> None:
    spec = toy.planned(Diary, [simple(0)]).spec
    (tmp_path / CHECKPOINT_FILE).write_text("{}")
    with pytest.raises(UsageError, match=f"{CHECKPOINT_FILE}: expected"):
        _claims(_with(spec, {"reader": ModelSpec(f"vllm/{tmp_path}")}))


def test_a_judged_headline_is_given_on_the_others_too(toy: Any) -> None:
    contexts = [simple(number) for number in range(4)]
    hashes = frozenset(content_hash(context.questions[0].text) for context in contexts[:3])
    known = {"trained_on": (TrainedOn("mine", (), hashes),)}
    planned = toy.planned(Diary, contexts, card={"judge": "generic"}, agent_card=known)
    outcome = run(planned, quiet=True)
    scorer = judge_folder(planned.spec.folder, ModelSpec("offline"))
    judged = judged_summary(planned.spec.folder, scorer, planned.question_ids)
    others = named("judge", judged_summary(planned.spec.folder, scorer, ["q3"]))
    printed = msgspec.to_builtins(with_judge(outcome.summary, judged, others))
    verdicts = {line["question_id"]: line["metrics"]["judge"] for line in _scores(planned, scorer)}
    assert printed["trained_on"]["others"]["metric"] == printed["headline"]["metric"] == "judge"
    assert (printed["trained_on"]["others"]["value"], printed["trained_on"]["others"]["n"]) == (verdicts["q3"], 1)
