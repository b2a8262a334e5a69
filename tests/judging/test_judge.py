"""Judging samples: which are sent to the judge, what is written, and that no verdict is paid for twice."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from faulty_server import FaultyServer
from folders import read_lines
from handmade import judged_lines, question, rules, sample, write_run
from scripts import ScriptedModel

from memeval.errors import StopRun, UsageError
from memeval.judging.judge import family_of
from memeval.judging.judged_run import judge_folder
from memeval.judging.prompts import prompt_hash
from memeval.judging.scorer import judge_spec, scorer_name
from memeval.models.calls import CallSettings
from memeval.models.completion import Completion, ModelSpec, Request
from memeval.records.folder import RunFolder, RunWriter


def judged(samples: list[Any], script: Any, questions: list[Any] | None = None, **options: Any) -> tuple[Any, ScriptedModel]:
    model = ScriptedModel(script)
    known = {line["question_id"]: line for line in questions or [question(row["question_id"]) for row in samples]}
    lines = judged_lines(samples, known, options.pop("family", "generic"), model.complete, **options)
    return lines, model


def test_verdicts_in_the_order_of_the_samples() -> None:
    def by_answer(request: Request) -> str:
        return "It fits.\nVERDICT: RIGHT" if "<answer>\ngood" in request.messages[1]["content"] else "VERDICT: WRONG"

    lines, model = judged(
        [sample("a", "good"), sample("b", "bad"), sample("c", "good", repeat=1, answer_repeat=2)], by_answer
    )
    keys = {"question_id": "c", "repeat": 1, "answer_repeat": 2}
    assert lines[2] == {
        **keys,
        "metrics": {"judge": 1},
        "verdict": "right",
        "reason": None,
        "reply": "It fits.\nVERDICT: RIGHT",
    }
    assert [(line["question_id"], line["verdict"], line["metrics"]["judge"]) for line in lines] == [
        *(("a", "right", 1), ("b", "wrong", 0), ("c", "right", 1)),
    ]
    assert [request.params["temperature"] for request in model.requests] == [0.0] * 3
    assert [request.sample for request in model.requests] == [0] * 3


def test_who_is_not_asked() -> None:
    samples = [
        sample("lost", None, failure="reader: HTTP 500"),
        sample("cut", "It was the", finish_reason="length"),
        sample("thinking", "", finish_reason="unclosed_think"),
        sample("wide", "", finish_reason="overflow"),
        sample("mute", " \n"),
        sample("control", None, not_applicable="no gold evidence"),
    ]
    lines, model = judged(samples, [])
    assert model.requests == []
    assert [(line["verdict"], line["reason"], line["metrics"]) for line in lines] == [
        ("failed", "reader: HTTP 500", {"judge": 0}),
        ("wrong", "the reply was cut off at its token limit", {"judge": 0}),
        ("wrong", "the reply never left its thinking", {"judge": 0}),
        ("wrong", "the prompt exceeds the model's window", {"judge": 0}),
        ("wrong", "the reply is empty", {"judge": 0}),
        ("n/a", "no gold evidence", {}),
    ]
    assert not any("reply" in line for line in lines)


def test_an_unusable_verdict_is_asked_for_once_more() -> None:
    (line,), model = judged([sample("a", "x")], ["Well, I know.", "VERDICT: WRONG"])
    assert (line["verdict"], line["reason"]) == ("wrong", None)
    assert [request.sample for request in model.requests] == [0, 1]
    first, second = (request.messages for request in model.requests)
    assert second[:-2] == first
    assert second[-2] == {"role": "assistant", "content": "Well, I know."}
    assert second[-1]["content"].endswith(
        "end with one line that is exactly one of these two:\nVERDICT: RIGHT\nVERDICT: WRONG"
    )


def test_a_judge_that_wrote_nothing_is_reminded_in_the_same_message() -> None:
    _, model = judged([sample("a", "x")], [Completion("", "hm", finish_reason="unclosed_think"), "VERDICT: WRONG"])
    first, second = (request.messages for request in model.requests)
    assert [message["role"] for message in second] == ["system", "user"]
    assert second[1]["content"].startswith(first[1]["content"])
    assert "VERDICT: RIGHT" in second[1]["content"].removeprefix(first[1]["content"])


OFFICIAL = """parse: yes_no
I will give you a question, a correct answer, and a response from a model.

Question: {question}
Correct Answer: {gold}
Model Response: {answer}

Is the model response correct? Answer yes or no only."""


def test_an_official_prompt_is_sent_as_it_is_and_answered_by_yes_or_no() -> None:
    lines, model = judged([sample("a", "{gold} it is"), sample("b", "x")], ["Yes.", "no"], prompt=OFFICIAL)
    assert [line["verdict"] for line in lines] == ["right", "wrong"]
    (message,) = model.requests[0].messages
    assert "Correct Answer: gold of a\nModel Response: {gold} it is\n" in message["content"]
    assert "parse" not in message["content"]


def test_rules_of_ones_own_may_ask_for_yes_or_no() -> None:
    (line,), model = judged([sample("a", "x")], ["It fits.\nyes"], prompt="parse: yes_no\n- Be kind.")
    assert line["verdict"] == "right"
    assert "- Be kind." in model.requests[0].messages[0]["content"]
    assert model.requests[0].messages[0]["content"].endswith("\nyes\nno")
    with pytest.raises(UsageError, match="parse: stars: expected verdict or yes_no"):
        judged([sample("a", "x")], [], prompt="parse: stars\nBe kind")


@pytest.mark.parametrize(
    ("replies", "calls", "reason"),
    [
        (["It depends.", "Yes and no."], 2, "judge gave up: no verdict in 2 replies"),
        ([Completion("VERDICT: RIGHT", finish_reason="length")] * 2, 2, "judge gave up: no verdict in 2 replies"),
        ([Completion("", "thinking", finish_reason="unclosed_think")] * 2, 2, "judge gave up: no verdict in 2 replies"),
        ([Completion(finish_reason="overflow")], 1, "judge gave up: the prompt exceeds its window"),
        (
            [Completion(error="HTTP 500 (given up after 6 attempts)")],
            1,
            "judge gave up: HTTP 500 (given up after 6 attempts)",
        ),
    ],
)
def test_a_judge_that_gives_up_is_a_failure(replies: list[Any], calls: int, reason: str) -> None:
    (line,), model = judged([sample("a", "x")], replies)
    assert (line["verdict"], line["reason"], line["metrics"]) == ("failed", reason, {"judge": 0})
    assert len(model.requests) == calls


def test_the_rules_go_with_family_and_type() -> None:
    questions = [question("t", kind="temporal-reasoning"), question("u", kind="multi-session", answerable=False)]
    _, model = judged([sample("t", "x"), sample("u", "x")], ["VERDICT: WRONG"] * 2, questions, family="longmemeval")
    asked = {request.messages[1]["content"].split("?")[0]: request.messages[0]["content"] for request in model.requests}
    assert "off by one" in asked["<question>\nWhat about t"]
    assert "cannot be answered" in asked["<question>\nWhat about u"]


def test_the_judges_own_parameters_and_prompt() -> None:
    _, model = judged([sample("a", "x")], ["VERDICT: RIGHT"], params={"temperature": 0.3, "seed": 1}, prompt="- Be kind.")
    assert model.requests[0].params == {"temperature": 0.3, "seed": 1, "max_tokens": 512}
    assert "- Be kind." in model.requests[0].messages[0]["content"]


def test_names_of_scores_files() -> None:
    told = prompt_hash("generic")[:8]
    assert scorer_name(ModelSpec("openai/gpt-4o"), "generic") == f"judge-openai_gpt-4o-{told}"
    names = {
        scorer_name(ModelSpec("a"), "generic"),
        scorer_name(ModelSpec("a"), "locomo"),
        scorer_name(ModelSpec("a"), "generic", "own rules"),
        scorer_name(ModelSpec("a", params={"seed": 1}), "generic"),
        scorer_name(ModelSpec("x" * 300), "generic"),
        scorer_name(ModelSpec("x" * 299), "generic"),
    }
    assert len(names) == 6
    assert max(map(len, names)) < 100


def test_the_family_a_run_names() -> None:
    assert family_of("", "2wiki") == "generic"
    assert family_of("", "locomo") == "locomo"
    assert family_of("longmemeval", "jsonl") == "longmemeval"
    assert family_of("generic", "locomo") == "generic"


# -- folders ----------------------------------------------------------------------------------------------------------


def files(folder: Path, scorer: str) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    return list(read_lines(folder / "scores" / f"{scorer}.jsonl")), json.loads(
        (folder / "scores" / f"{scorer}.json").read_text()
    )


def test_a_folder_is_judged(tmp_path: Path) -> None:
    questions = [question("a"), question("b", answerable=False, answers=[])]
    folder = write_run(tmp_path / "run", questions, [sample("a", "gold of a"), sample("b", "I don't know")])
    judge = rules(
        tmp_path / "judge.jsonl", ("<answer>\ngold of a", "Same.\nVERDICT: RIGHT"), ("<explanation>", "VERDICT: WRONG")
    )
    scorer = judge_folder(folder, judge_spec(judge), settings=CallSettings(use_cache=False))
    lines, header = files(folder, scorer)
    assert [line["verdict"] for line in lines] == ["right", "wrong"]
    assert {key: header[key] for key in ("scorer", "judge", "family", "prompt_hash", "related", "calls", "requests")} == {
        "scorer": scorer,
        "judge": judge,
        "family": "generic",
        "prompt_hash": prompt_hash("generic"),
        "related": [],
        "calls": 2,
        "requests": 2,
    }
    assert header["calibration"] is None
    manifest = json.loads((folder / "manifest.json").read_text())
    assert manifest["judges"][scorer]["prompt_hash"] == prompt_hash("generic")
    assert manifest["judges"][scorer]["judge"] == judge
    assert manifest["track"] == "reader"


def test_judging_again_costs_nothing_and_judges_stand_side_by_side(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run", [question("a")], [sample("a", "x"), sample("a", "x", repeat=1)])
    yes, no = (rules(tmp_path / f"{word}.jsonl", ("", f"VERDICT: {word}")) for word in ("RIGHT", "WRONG"))
    first = judge_folder(folder, judge_spec(yes), settings=CallSettings(use_cache=False))
    before = (folder / "scores" / f"{first}.jsonl").read_bytes()
    assert files(folder, first)[1]["requests"] == 1  # the same answer twice is one call
    assert judge_folder(folder, judge_spec(yes), settings=CallSettings(use_cache=False)) == first
    assert files(folder, first)[1]["requests"] == 0
    second = judge_folder(folder, judge_spec(no), settings=CallSettings(use_cache=False))
    third = judge_folder(folder, judge_spec(yes), "locomo", settings=CallSettings(use_cache=False))
    assert len({first, second, third}) == 3
    assert (folder / "scores" / f"{first}.jsonl").read_bytes() == before
    assert [line["verdict"] for line in files(folder, second)[0]] == ["wrong", "wrong"]
    assert set(json.loads((folder / "manifest.json").read_text())["judges"]) == {first, second, third}


def test_a_judge_of_the_family_it_judges_is_noted(tmp_path: Path) -> None:
    models = {"memory": "offline", "reader": "Qwen/Qwen3-32B"}
    reader = write_run(tmp_path / "reader", [question("a")], [sample("a", "x")], models=models)
    native = write_run(tmp_path / "native", [question("a")], [sample("a", "x")], models=models, track="native")
    assert [files(run, judge_folder(run, ModelSpec("offline")))[1]["related"] for run in (reader, native)] == [
        [],
        ["memory"],
    ]


def test_bad_folders_are_one_line(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="not a run folder"):
        judge_folder(tmp_path, ModelSpec("offline"))
    empty = write_run(tmp_path / "empty", [question("a")], [])
    with pytest.raises(UsageError, match="no samples yet"):
        judge_folder(empty, ModelSpec("offline"))
    torn = write_run(tmp_path / "torn", [], [sample("a", "x")])
    with pytest.raises(UsageError, match="question 'a' is not in questions"):
        judge_folder(torn, ModelSpec("offline"))
    good = write_run(tmp_path / "good", [question("a")], [sample("a", "x")])
    with pytest.raises(UsageError, match="judge family 'lcomo' is unknown"):
        judge_folder(good, ModelSpec("offline"), "lcomo")
    with RunWriter(RunFolder(good)), pytest.raises(UsageError, match="another memeval process"):
        judge_folder(good, ModelSpec("offline"))
    with pytest.raises(UsageError, match="model 'gpt-4o' is unknown"):
        judge_spec("gpt-4o")


# -- a server ---------------------------------------------------------------------------------------------------------


def reply(text: str) -> dict[str, Any]:
    return {"choices": [{"message": {"role": "assistant", "content": text}, "finish_reason": "stop"}]}


def verdict(asked: dict[str, Any]) -> dict[str, Any]:
    return reply("VERDICT: RIGHT" if "gold" in asked["messages"][1]["content"].split("<answer>")[1] else "VERDICT: WRONG")


def serve(server: FaultyServer, work: Any) -> Any:
    async def run() -> Any:
        async with server:
            return await asyncio.to_thread(work, ModelSpec("judge", server.url))

    return asyncio.run(run())


def big_run(folder: Path, count: int = 12) -> Path:
    names = [f"q{number}" for number in range(count)]
    samples = [sample(name, f"gold of {name}" if number % 3 else "no idea") for number, name in enumerate(names)]
    return write_run(folder, [question(name) for name in names], samples)


def test_faults_of_the_server_change_no_verdict(tmp_path: Path) -> None:
    faults = ("500", "429-seconds", "not-json", "empty-choices")

    def fault(prompt: str, attempt: int) -> str | None:
        return faults[len(prompt) % 4] if attempt == 0 else None

    run = big_run(tmp_path / "run")
    server = FaultyServer(faults=fault, body=verdict)
    scorer = serve(server, lambda judge: judge_folder(run, judge))
    lines, header = files(run, scorer)
    assert [line["verdict"] for line in lines] == [("right" if number % 3 else "wrong") for number in range(12)]
    assert (header["calls"], header["requests"]) == (12, 24)
    assert set(server.served.values()) == {1}
    assert {asked["temperature"] for asked in server.seen} == {0.0}


def test_a_judgement_that_was_stopped_goes_on(tmp_path: Path) -> None:
    run = big_run(tmp_path / "run")
    served: Counter[str] = Counter()

    def until_refused(asked: dict[str, Any]) -> dict[str, Any]:
        served[asked["messages"][1]["content"]] += 1
        if len(served) == 6:
            server.key = "withdrawn"
        return verdict(asked)

    server = FaultyServer(body=until_refused)

    def twice(judge: ModelSpec) -> str:
        with pytest.raises(StopRun, match="check the key"):
            judge_folder(run, judge, settings=CallSettings(1, use_cache=False))
        assert not (run / "scores").exists()
        server.key = None
        return judge_folder(run, judge, settings=CallSettings(1, use_cache=False))

    scorer = serve(server, twice)
    lines, header = files(run, scorer)
    assert len(lines) == 12
    assert set(served.values()) == {1}
    assert header["requests"] == 6


def test_equal_answers_fly_once(tmp_path: Path) -> None:
    samples = [sample("a", "gold", repeat=repeat) for repeat in range(5)]
    run = write_run(tmp_path / "run", [question("a")], samples)
    server = FaultyServer(body=verdict, latency=0.05)
    scorer = serve(server, lambda judge: judge_folder(run, judge, settings=CallSettings(use_cache=False)))
    assert list(server.served.values()) == [1]
    assert [line["verdict"] for line in files(run, scorer)[0]] == ["right"] * 5


def test_an_answer_that_was_cut_off_is_judged_where_the_card_says_so() -> None:
    cut = [sample("cut", "It was the gold of", finish_reason="length")]
    (line,), model = judged(cut, ["VERDICT: RIGHT"], cut_off="scored")
    assert (line["verdict"], len(model.requests)) == ("right", 1)
    (line,), model = judged(cut, [])
    assert (line["verdict"], len(model.requests)) == ("wrong", 0)
