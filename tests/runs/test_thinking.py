"""Thinking models and prompts beyond the window, through whole runs: what is scored, what is counted, what is sent."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from faulty_server import FaultyServer, in_thread
from folders import read_lines, run_folders, steps
from toys import Diary, simple

from memeval import prompts
from memeval.agents.memalpha import MemAlpha
from memeval.errors import UsageError
from memeval.models.completion import ModelSpec
from memeval.records.verdicts import UNUSABLE
from memeval.runs.options import Options
from memeval.runs.plan import plan
from memeval.runs.run import run

CITIES = ("Arlen", "Borvik", "Castro", "Delmar", "Eskel", "Fenwick", "Galton", "Harrow")


def body(content: str | None, finish: str = "stop", completion: int = 100, **message: Any) -> dict[str, Any]:
    choice = {"index": 0, "message": {"role": "assistant", "content": content, **message}, "finish_reason": finish}
    return {"choices": [choice], "usage": {"prompt_tokens": 50, "completion_tokens": completion}}


def by_number(replies: dict[int, dict[str, Any]]) -> Callable[[dict[str, Any]], dict[str, Any]]:
    """The reader's reply to the question about Person<number>."""

    def reply(asked: dict[str, Any]) -> dict[str, Any]:
        question = prompts.untag("question", asked["messages"][-1]["content"]) or ""
        return next(made for number, made in replies.items() if f"Person{number} " in question)

    return reply


def results(planned: Any) -> dict[str, tuple[dict[str, Any], dict[str, Any]]]:
    """question id -> (sample, score)"""
    folder = planned.spec.folder
    scores = {line["question_id"]: line for line in read_lines(folder / "scores" / "task.jsonl")}
    return {line["question_id"]: (line, scores[line["question_id"]]) for line in read_lines(folder / "samples.jsonl")}


def test_thinking_is_counted_and_never_scored(toy: Any) -> None:
    thought = "t" * 75
    replies = {
        0: body(f"<think>{thought}</think>" + "Arlen" + " " * 20),
        1: body("<think>It is Borvik, surely Borvik", "length"),
        2: body("<think>It is Castro"),  # it says that it stopped
        3: body(None, "length", reasoning_content="It is Delmar, the answer is Delmar"),
        4: body("It is not Fenwick.\n</think>\nEskel"),  # the chat template opened the block
        5: body("<think>Fenwick</think>Harrow"),
        6: body("Galton", reasoning_content=thought),
        7: body("Harrow", "length"),
    }
    with in_thread(FaultyServer(body=by_number(replies))) as server:
        models = reader(server.url, thinking_tokens=256)  # no more than the reader has: nothing is asked for twice
        planned = toy.planned(Diary, [simple(n) for n in range(8)], models=models)
        outcome = run(planned, quiet=True)
    found = results(planned)
    assert {key: score["verdict"] for key, (_, score) in found.items()} == {
        "q0": "right", "q1": "wrong", "q2": "wrong", "q3": "wrong",
        "q4": "right", "q5": "wrong", "q6": "right", "q7": "wrong",
    }  # fmt: skip
    for key in ("q1", "q2", "q3"):
        sample, score = found[key]
        assert (sample["answer"], sample["failure"], sample["finish_reason"]) == ("", None, "unclosed_think")
        assert score["reason"] == "the reply never left its thinking"
        assert (score["metrics"]["f1"], score["metrics"]["substring"]) == (0.0, 0.0)
        assert score["metrics"]["evidence_all"] == 1.0  # what was recalled is not the reply's fault
    assert found["q7"][1]["reason"] == UNUSABLE["length"]
    assert [found[key][0]["answer"] for key in ("q0", "q4", "q5")] == ["Arlen", "Eskel", "Harrow"]
    assert found["q0"][0]["tokens"]["reader"]["reasoning"] == 94  # 75 of the reply's 80 characters, of 100 tokens
    assert found["q1"][0]["tokens"]["reader"]["reasoning"] == 100
    assert found["q6"][0]["tokens"]["reader"]["reasoning"] == 93  # 75 of 81
    assert found["q7"][0]["tokens"]["reader"]["reasoning"] == 0
    total = sum(sample["tokens"]["reader"]["reasoning"] for sample, _ in found.values())
    summary = outcome.summary
    assert summary.tokens_by_role["reader"].reasoning == total
    assert (summary.status, summary.failed, summary.verdicts) == ("complete", 0, {"right": 3, "wrong": 5})
    assert summary.reasons == {UNUSABLE["unclosed_think"]: 3, UNUSABLE["length"]: 1}


def reader(url: str, **params: Any) -> dict[str, ModelSpec]:
    return {"memory": ModelSpec("offline"), "reader": ModelSpec("tiny", url, params)}


def test_a_writer_that_never_stops_thinking_writes_nothing_and_fails_nothing(toy: Any) -> None:
    def reply(asked: dict[str, Any]) -> dict[str, Any]:
        if not asked.get("tools"):
            return body("Arlen" if "Arlen" in asked["messages"][-1]["content"] else "I don't know")
        arguments = {"memory_type": "semantic", "content": "Arlen"}
        call = json.dumps({"name": "new_memory_insert", "arguments": arguments})
        return body(f"<think>I should call <tool_call>{call}</tool_call>", "length")

    with in_thread(FaultyServer(body=reply)) as server:
        spec = ModelSpec("tiny", server.url, {"thinking_tokens": 2048})
        planned = toy.planned(MemAlpha, [simple(0)], models={"memory": spec, "reader": spec})
        outcome = run(planned, quiet=True)
    sample, score = results(planned)["q0"]
    operations = steps(planned.spec.folder)
    assert operations
    assert [line["results"] for line in operations] == [[]] * len(operations)
    assert {line["tokens"]["memory"]["reasoning"] for line in operations} == {100}
    assert (sample["failure"], sample["recall"], score["verdict"]) == (None, [], "wrong")
    assert outcome.summary.status == "complete"


def test_a_reply_that_was_cut_inside_its_thinking_is_asked_for_once_more(toy: Any) -> None:
    def reply(asked: dict[str, Any]) -> dict[str, Any]:
        cut = asked["max_tokens"] < 5000
        return body(None if cut else "Arlen", "length" if cut else "stop", reasoning_content="hm " * 30)

    with in_thread(FaultyServer(body=reply)) as server:
        outcome = run(toy.planned(Diary, [simple(0)], models=reader(server.url)), quiet=True)
    assert outcome.summary.verdicts == {"right": 1}
    assert [asked["max_tokens"] for asked in server.seen] == [256, 8192]
    assert (outcome.summary.requests, outcome.summary.calls) == (2, {"reader": 1})
    tokens = outcome.summary.tokens
    assert (tokens.prompt, tokens.completion) == (100, 200)  # the first is paid for as well


def test_an_empty_answer_from_thinking_is_no_abstention(toy: Any) -> None:
    from toys import context

    from memeval.task import Question

    unanswerable = context("c", ["Nothing is known."], [Question("q", "Where is Person0 now?", (), answerable=False)])
    with in_thread(FaultyServer(body=by_number({0: body("<think>I don't know", "length")}))) as server:
        planned = toy.planned(Diary, [unanswerable], models=reader(server.url))
        run(planned, quiet=True)
    _, score = results(planned)["q"]
    assert (score["metrics"]["abstention"], score["verdict"]) == (0.0, "wrong")


class Narrow(FaultyServer):
    """Says, as OpenAI does, that a prompt about Person1 is too long."""

    def __init__(self, **options: Any) -> None:
        super().__init__(lambda prompt, attempt: "overflow" if "Person1 " in prompt else None, **options)

    async def _fail(self, fault: str, request: web.Request, asked: dict[str, Any], prompt: str) -> web.StreamResponse:
        error = {"message": "This model's maximum context length is 50 tokens", "code": "context_length_exceeded"}
        return web.json_response({"error": error}, status=400)


def assert_overflow(planned: Any, summary: dict[str, Any]) -> None:
    sample, score = results(planned)["q1"]
    assert (sample["answer"], sample["failure"], sample["finish_reason"]) == ("", None, "overflow")
    assert (score["verdict"], score["reason"]) == ("wrong", "the prompt exceeds the model's window")
    assert score["metrics"]["f1"] == 0.0
    assert results(planned)["q0"][1]["verdict"] == "right"
    assert (summary.status, summary.failed) == ("complete", 0)


def test_a_prompt_beyond_the_window_when_the_server_says_so(toy: Any) -> None:
    with in_thread(Narrow(body=by_number({0: body("Arlen")}))) as server:
        planned = toy.planned(Diary, [simple(0), simple(1)], models=reader(server.url))
        outcome = run(planned, quiet=True)
    assert_overflow(planned, outcome.summary)
    assert server.attempts.total() == 2  # not repeated


def test_a_prompt_beyond_the_declared_window_is_not_sent(toy: Any) -> None:
    long = simple(1, sentences=400)
    with in_thread(FaultyServer(body=by_number({0: body("Arlen"), 1: body("Borvik")}))) as server:
        planned = toy.planned(Diary, [simple(0), long], models=reader(server.url, context=2000))
        outcome = run(planned, quiet=True)
        assert_overflow(planned, outcome.summary)
        assert outcome.summary.requests == len(server.seen) == 1
        assert "context" not in server.seen[0]
        wide = toy.planned(Diary, [simple(0), long], models=reader(server.url, context=20_000))
        assert run(wide, quiet=True).summary.verdicts == {"right": 2}
        assert wide.spec.folder != planned.spec.folder  # what decides results is in the run's identity


def test_what_a_card_says_of_a_model_reaches_the_wire(tmp_path: Path) -> None:
    switches = {"chat_template_kwargs": {"enable_thinking": False}, "min_p": 0.05}
    with in_thread(FaultyServer(body=lambda asked: body("Done"))) as server:
        card = tmp_path / "thinking.yaml"
        memory = {"name": f"tiny@{server.url}", "extra_body": switches, "temperature": 0.6, "context": 50_000}
        card.write_text(json.dumps({"agent": "memalpha", "models": {"memory": memory, "reader": f"tiny@{server.url}"}}))
        outcome = run(plan(options(card, tmp_path))[0], quiet=True)
    assert outcome.summary.status == "complete"
    writing = [asked for asked in server.seen if asked.get("tools")]
    reading = [asked for asked in server.seen if not asked.get("tools")]
    assert len(writing) == outcome.summary.calls["memory"]
    for asked in writing:
        assert {key: asked[key] for key in switches} == switches
        assert asked["temperature"] == 0.6  # before the agent's own 0
        assert not {"extra_body", "context"} & asked.keys()
    for asked in reading:
        assert asked.keys() == {"model", "messages", "temperature", "max_tokens"}


def options(card: Path, tmp_path: Path) -> Options:
    return Options(
        agents=[str(card)], tasks=["synth-10k"], limit=2, use_cache=False, runs_dir=tmp_path / "runs", quiet=True
    )  # fmt: skip


def test_a_window_that_is_no_number_is_found_before_anything_is_sent(tmp_path: Path) -> None:
    card = tmp_path / "wrong.yaml"
    card.write_text("agent: memalpha\nmodels: {memory: {name: tiny@http://127.0.0.1:1/v1, context: 32k}}\n")
    with pytest.raises(UsageError, match="context: '32k' is not a context window"):
        plan(options(card, tmp_path))


def test_chunks_that_were_not_read_are_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A memory that stays empty because no chunk fits the window looks like a bad agent otherwise."""
    from memeval.commands.run import run_command
    from memeval.commands.show import show_command
    from memeval.runs.options import Options

    card = tmp_path / "small.yaml"
    with in_thread(FaultyServer(body=lambda asked: body("Arlen"))) as server:
        card.write_text(f"agent: memalpha\nmodels: {{memory: {{name: tiny@{server.url}, context: 1000}}}}\n")
        chosen = Options(
            agents=[str(card)], tasks=["synth-10k"], models={"reader": "offline"}, limit=2,
            runs_dir=tmp_path / "runs", use_cache=False, quiet=True,
        )  # fmt: skip
        assert run_command(chosen, fresh=False, form="table") == 0
        assert server.seen == []
    printed = capsys.readouterr().out
    (folder,) = run_folders(tmp_path / "runs")
    unread = steps(folder)
    assert {str(line["unusable"]) for line in unread} == {"{'overflow': 1}"}
    assert f"{len(unread)} calls while reading brought nothing: the prompt exceeds the model's window" in printed
    assert f"{len(unread)} calls while reading brought nothing: the prompt exceeds the model's window" in show_command(
        [str(folder)]
    )


def modes(tmp_path: Path, thinking: dict[str, str]) -> dict[str, Any]:
    models = {"model": "m@http://127.0.0.1:1/v1", "judge": "j@http://127.0.0.1:1/v1"}
    chosen = Options(
        agents=["bm25"], tasks=["synth-10k"], models=models, limit=2, runs_dir=tmp_path, quiet=True, thinking=thinking
    )  # fmt: skip
    (planned,) = plan(chosen)
    specs = {**planned.spec.models, "judge": planned.judge}
    return {role: spec.params.get("thinking") for role, spec in specs.items() if spec and role != "embedder"}


def test_thinking_is_switched_by_role_on_the_command_line(tmp_path: Path) -> None:
    assert modes(tmp_path, {}) == {"memory": None, "reader": None, "judge": None}
    assert modes(tmp_path, {"model": "off", "judge": "on"}) == {"memory": "off", "reader": "off", "judge": "on"}
    assert modes(tmp_path, {"model": "off", "reader": "auto"}) == {"memory": "off", "reader": None, "judge": None}


def test_a_reader_may_write_as_much_as_its_task_grants_an_answer(toy: Any) -> None:
    with in_thread(FaultyServer(body=lambda asked: body("Arlen"))) as server:
        run(toy.planned(Diary, [simple(0)], models=reader(server.url)), quiet=True)
        run(toy.planned(Diary, [simple(0)], models=reader(server.url, answer_tokens=77)), quiet=True)
        run(toy.planned(Diary, [simple(0)], models=reader(server.url, max_tokens=None)), quiet=True)
    assert [asked.get("max_tokens") for asked in server.seen] == [256, 77, None]
    assert not any("answer_tokens" in asked for asked in server.seen)
