"""What `estimate` says beforehand against what the run then uses: calls and prompt tokens within 20 %."""

from __future__ import annotations

import asyncio
import json
import zlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from faulty_server import FaultyServer, in_thread
from folders import read_json, read_lines

from memeval import Item, MemoryStats, Recall, tokens
from memeval.commands.estimate import estimate_command
from memeval.commands.run import run_command
from memeval.estimate import Estimate, estimate
from memeval.models.budget import Budget
from memeval.models.gateway import Gateway
from memeval.records.rows import OperationRow
from memeval.runs import run_context
from memeval.runs.options import Options
from memeval.runs.plan import Planned, plan
from memeval.runs.run import run
from memeval.runs.run_context import RunContext
from memeval.runs.signals import Event


def options(agents: list[str], task: str = "synth-10k", limit: int = 16, model: str = "offline", **rest: Any) -> Options:
    return Options(agents=agents, tasks=[task], models={"model": model}, limit=limit, quiet=True, use_cache=False, **rest)


def used(planned: Planned) -> tuple[dict[str, int], int]:
    """(calls by role, prompt tokens) of the run, from its own lines."""
    calls: dict[str, int] = {}
    prompt = 0
    files = [planned.spec.folder / "samples.jsonl"]
    files += [planned.spec.memory / "operations.jsonl"] if planned.spec.memory else []
    for path in files:
        for line in read_lines(path):
            for role, number in line["calls"].items():
                calls[role] = calls.get(role, 0) + number
            prompt += sum(each["prompt"] for each in line["tokens"].values())
    return calls, prompt


def check_against_run(planned: Planned, share: float = 0.2) -> Estimate:
    before = estimate(planned)
    assert not planned.spec.folder.exists()  # it leaves nothing behind
    outcome = run(planned, quiet=True)
    assert outcome.summary.status == "complete"
    calls, prompt = used(planned)
    assert {role: found.calls for role, found in before.roles.items()} == pytest.approx(calls, rel=share)
    assert before.prompt == pytest.approx(prompt, rel=share)
    return before


@pytest.mark.parametrize(
    "agent",
    [
        "memalpha",
        "bm25",
        "none",
        "oracle",
        *(pytest.param(name, marks=pytest.mark.slow) for name in ("long-context", "constant")),
    ],
)
def test_the_offline_model(project: Path, agent: str) -> None:
    (planned,) = plan(options([agent]))
    found = check_against_run(planned, 0.05)  # the model itself answers in the dry run
    assert found.questions == 16
    assert found.usd is None or agent == "constant"
    again = estimate(planned)
    assert (again.calls, again.prompt, again.streams, again.chunks, again.answers) == (0, 0, 0, 0, 0)


def test_calls_are_exact_where_all_streams_were_built(project: Path) -> None:
    (planned,) = plan(options(["memalpha"]))
    found = estimate(planned)
    chunks = 0
    for event in asyncio.run(_events(planned)):
        chunks += isinstance(event, OperationRow) and event.chunk_tokens > 0
    assert found.chunks == chunks == found.roles["memory"].calls
    assert found.streams == 16


async def _events(planned: Planned) -> list[Event]:
    found: list[Event] = []
    planned.spec.folder.mkdir(parents=True)
    work = [(ref, 0) for ref in planned.task.refs(planned.question_ids)]
    async with RunContext.of_runs([planned.spec]) as context:
        await context.engine(found.append).execute(planned.task, work)
    return found


def test_scripted_replies(project: Path) -> None:
    call = {"name": "new_memory_insert", "arguments": {"memory_type": "semantic", "content": "Rain fell all day. " * 30}}
    lines = [{"contains": "<new_chunk>", "reply": {"tool_calls": [call]}}, {"reply": "I don't know"}]
    (project / "rules.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    for planned in plan(options(["memalpha", "bm25"], model="scripted:rules.jsonl")):
        check_against_run(planned, 0.05)


class Writer:
    """A model behind a server: it writes the first sentences of a chunk to memory, and answers in a few words. Tokens are
    counted from what was asked, messages and tools as they came over the wire."""

    def __init__(self, sentences: int) -> None:
        self.sentences = sentences

    def __call__(self, asked: dict[str, Any]) -> dict[str, Any]:
        count = tokens.counter("o200k_base")
        text = "\n".join(str(message["content"]) for message in asked["messages"])
        judging = "VERDICT" in text
        message: dict[str, Any] = {"role": "assistant", "content": "VERDICT: WRONG" if judging else "In the year 1702."}
        if asked.get("tools"):
            chunk = text.split("<new_chunk>")[-1].split("</new_chunk>")[0]
            found = [part.strip() for part in chunk.replace("\n", " ").split(". ") if part.strip()]
            kinds = ["semantic_memory", "episodic_memory"] * self.sentences
            calls = [
                {"memory_type": kind, "content": sentence}
                for kind, sentence in zip(kinds[: self.sentences], found, strict=False)
            ]
            message["content"] = None if calls else "Done."
            message["tool_calls"] = [
                {"id": f"c{n}", "type": "function", "function": {"name": "new_memory_insert", "arguments": json.dumps(call)}}
                for n, call in enumerate(calls)
            ]
        prompt = count(text) + count(json.dumps(asked.get("tools", [])))
        return {
            "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
            "usage": {"prompt_tokens": prompt, "completion_tokens": count(json.dumps(message))},
        }


@pytest.fixture
def server() -> Iterator[FaultyServer]:
    with in_thread(FaultyServer(body=Writer(6))) as served:
        yield served


@pytest.mark.parametrize(("sentences", "share"), [(0, 0.35), (6, 0.2), pytest.param(40, 0.2, marks=pytest.mark.slow)])
def test_an_endpoint_however_much_it_writes(project: Path, server: FaultyServer, sentences: int, share: float) -> None:
    """What it writes is guessed: far too much for one that writes nothing, whose memory then makes no prompt longer."""
    server.body = Writer(sentences)
    (planned,) = plan(options(["memalpha"], model="wordy", limit=12, base_url=server.url))
    check_against_run(planned, share)


def test_an_endpoint_with_a_price(project: Path, server: FaultyServer) -> None:
    (project / "memeval.yaml").write_text("prices: {wordy: {prompt: 2, completion: 10}}\n")
    for planned in plan(options(["memalpha", "bm25", "none"], model="wordy", base_url=server.url)):
        sent = len(server.seen)
        before = estimate(planned)
        assert len(server.seen) == sent  # nothing is sent beforehand
        found = check_against_run(planned)
        assert found == before
        dollars = sum(role.prompt * 2 + role.completion * 10 for role in found.roles.values()) / 1_000_000
        assert found.usd == pytest.approx(dollars)
        assert any("prompts counted with o200k_base" in note for note in found.notes)


@pytest.mark.slow
def test_a_judge(project: Path, server: FaultyServer, capsys: pytest.CaptureFixture[str]) -> None:
    chosen = options(["bm25"], model="wordy", limit=12, base_url=server.url, answer_repeats=2)
    chosen = replace(chosen, models={**chosen.models, "judge": f"strict@{server.url}"})
    (planned,) = plan(chosen)
    before = estimate(planned)
    assert before.roles["judge"].calls == 24
    assert before.roles["judge"].model == "strict"
    assert run_command(chosen, fresh=False, form="json") == 0
    (header,) = [read_json(path) or {} for path in (planned.spec.folder / "scores").glob("judge-*.json")]
    assert header["calls"] == 24
    assert before.roles["judge"].prompt == pytest.approx(header["tokens"]["prompt"], rel=0.2)
    assert before.roles["judge"].completion == 24 * 64  # as long as no earlier judgement says how long they are
    assert estimate(planned).calls == 0
    for path in (planned.spec.folder / "scores").glob("judge-*"):
        path.unlink()
    assert {role: found.calls for role, found in estimate(planned).roles.items()} == {"judge": 24}


def test_replies_follow_the_stated_rule(project: Path) -> None:
    """A quarter of the limit: 2048 for a chunk, 256 for an answer."""
    (planned,) = plan(options(["memalpha"], model="wordy", limit=8, base_url="http://127.0.0.1:9/v1"))
    roles = estimate(planned).roles
    assert roles["memory"].completion == 512 * roles["memory"].calls
    assert roles["reader"].completion == 64 * 8


class Thinker(Writer):
    """Thinks before it writes, for as long as the prompt says (by its hash), behind a prefix cache that holds a third."""

    def __call__(self, asked: dict[str, Any]) -> dict[str, Any]:
        reply = super().__call__(asked)
        message, used = reply["choices"][0]["message"], reply["usage"]
        thoughts = 200 + zlib.crc32(asked["messages"][-1]["content"].encode()) % 200
        message["reasoning_content"] = "hm " * thoughts
        used["completion_tokens"] += thoughts
        used["completion_tokens_details"] = {"reasoning_tokens": thoughts}
        used["prompt_tokens_details"] = {"cached_tokens": used["prompt_tokens"] // 3}
        return reply


@pytest.mark.parametrize(
    "agent", [pytest.param("memalpha", marks=pytest.mark.slow), "bm25", pytest.param("long-context", marks=pytest.mark.slow)]
)
def test_a_few_questions_teach_how_long_the_rest_will_be(project: Path, server: FaultyServer, agent: str) -> None:
    """Calls, tokens and USD of the other 24 within 20 %, of a model that thinks, which no default can know."""
    (project / "memeval.yaml").write_text("prices: {wordy: {prompt: 2, completion: 10, cached: 0.5}}\n")
    server.body = Thinker(6)
    chosen = options([agent], model="wordy", limit=32, base_url=server.url)
    (blind,) = (estimate(planned) for planned in plan(chosen))
    assert any("are guessed (~)" in note and "--limit 8" in note for note in blind.notes)
    (few,), (all_of_them,) = plan(replace(chosen, limit=8)), plan(chosen)
    first = run(few, quiet=True).summary
    told = estimate(all_of_them)
    assert not any("are guessed" in note for note in told.notes)
    assert any(note.startswith("tokens as measured so far (") and "8 answers)" in note for note in told.notes)
    last = run(all_of_them, quiet=True).summary
    for key in ("prompt", "completion"):
        assert getattr(told, key) == pytest.approx(getattr(last.tokens, key) - getattr(first.tokens, key), rel=0.2)
    assert told.usd == pytest.approx(last.cost.usd - first.cost.usd, rel=0.2)
    assert blind.completion < 0.8 * last.tokens.completion


class OwnTokenizer(Writer):
    """Writes much to memory, and has a tokenizer of its own, and a chat template."""

    def __call__(self, asked: dict[str, Any]) -> dict[str, Any]:
        reply = super().__call__(asked)
        reply["usage"] = {key: round(1.35 * size) + 25 for key, size in reply["usage"].items()}
        return reply


@pytest.mark.parametrize("task", [pytest.param("synth-10k", marks=pytest.mark.slow), "synth-10k@shared-4"])
def test_a_few_questions_teach_how_long_prompts_are(project: Path, server: FaultyServer, task: str) -> None:
    """By role, what the server counts, and what the model wrote that is read later; a first estimate is far off in both."""
    server.body = OwnTokenizer(24)
    chosen = options(["memalpha", "none"], task, model="wordy", limit=32, base_url=server.url)
    chosen = replace(chosen, models={**chosen.models, "judge": f"strict@{server.url}"})
    assert run_command(replace(chosen, limit=8), fresh=False, form="json") == 0
    plans = plan(chosen)
    first = [read_json(planned.spec.folder / "summary.json") or {} for planned in plans]
    told = [estimate(planned) for planned in plans]
    assert run_command(chosen, fresh=False, form="json") == 0
    for planned, before, found in zip(plans, first, told, strict=True):
        last = read_json(planned.spec.folder / "summary.json") or {}
        for role, estimated in found.roles.items():
            used = {
                key: last["tokens_by_role"][role][key] - before["tokens_by_role"][role][key]
                for key in ("prompt", "completion")
            }
            assert estimated.calls == last["calls"][role] - before["calls"][role]
            assert estimated.prompt == pytest.approx(used["prompt"], rel=0.2)
            assert estimated.completion == pytest.approx(used["completion"], rel=0.2)
            assert not estimated.guessed


def test_measured_are_only_calls_of_this_run(project: Path, server: FaultyServer) -> None:
    """Another model, and too few answers, say nothing."""
    chosen = options(["bm25"], model="wordy", limit=8, base_url=server.url)
    (read,) = plan(chosen)
    run(read, quiet=True)
    (more,) = plan(replace(chosen, limit=12))
    assert not estimate(more).roles["reader"].guessed
    (other,) = plan(options(["bm25"], model="other", limit=12, base_url=server.url))
    assert estimate(other).roles["reader"].guessed
    samples = read.spec.folder / "samples.jsonl"
    samples.write_text("".join(samples.read_text().splitlines(keepends=True)[:7]))
    assert estimate(more).roles["reader"].guessed


def test_the_text_format_of_the_released_checkpoint(project: Path) -> None:
    """Its tools stand in the prompt; the stand-in writes to memory all the same, so prompts are as long as they will be."""
    chosen = options(["memalpha"], model="wordy", settings={"wire": ["native", "qwen"]}, base_url="http://127.0.0.1:9/v1")
    native, in_text = (estimate(planned) for planned in plan(chosen))
    assert in_text.roles["reader"].prompt == pytest.approx(native.roles["reader"].prompt, rel=0.02)
    assert in_text.roles["memory"].prompt == pytest.approx(native.roles["memory"].prompt, rel=0.2)


# -- what stands already ----------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_finished_work_is_deducted(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (planned,) = plan(options(["memalpha"], concurrency=4))
    whole = estimate(planned)
    budget = Budget(max_calls=40)
    with monkeypatch.context() as patch:
        patch.setattr(run_context, "Gateway", lambda settings, *rest: Gateway(replace(settings, budget=budget), *rest))
        assert run(planned, quiet=True).summary.status == "partial"
    left = estimate(planned)
    fresh = budget.calls
    assert fresh == 40
    assert left.calls == pytest.approx(whole.calls - fresh, abs=4)  # the calls of four open contexts may be under way
    assert left.prompt < whole.prompt
    done = len(list(read_lines(planned.spec.folder / "samples.jsonl")))
    assert f"{planned.spec.shown} holds {done} of 16 answers already" in left.notes
    counted = Budget()
    monkeypatch.setattr(run_context, "Gateway", lambda settings, *rest: Gateway(replace(settings, budget=counted), *rest))
    run(planned, quiet=True)
    assert left.calls == pytest.approx(counted.calls, rel=0.2)


def test_a_smaller_run_that_stands_is_deducted_from_a_larger(project: Path) -> None:
    (small,) = plan(options(["bm25"], limit=6))
    run(small, quiet=True)
    (large,) = plan(options(["bm25"], limit=16))
    assert large.spec.folder == small.spec.folder
    found = estimate(large)
    assert (found.answers, found.calls, found.questions) == (10, 10, 16)


def test_repeats_multiply(project: Path) -> None:
    (once,) = plan(options(["memalpha"], limit=6))
    (thrice,) = plan(options(["memalpha"], limit=6, repeats=3, answer_repeats=2))
    one, three = estimate(once), estimate(thrice)
    assert three.roles["memory"].calls == 3 * one.roles["memory"].calls
    assert three.roles["reader"].calls == 6 * one.roles["reader"].calls
    assert three.streams == 3 * one.streams
    assert (three.n, three.half_width) == (one.n, one.half_width)  # repeats are no more questions


@pytest.mark.slow
def test_a_memory_that_several_runs_read_is_paid_for_once(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    plans = [plan(options(["memalpha"], limit=6, answer_budgets=(budget,) if budget else ()))[0] for budget in (0, 200, 40)]
    alone = [estimate(planned) for planned in plans]
    assert [one.roles["memory"].calls for one in alone] == [alone[0].roles["memory"].calls] * 3
    together = [estimate(planned, plans[:number]) for number, planned in enumerate(plans)]
    assert together[0] == alone[0]
    for one in together[1:]:
        assert {role: found.calls for role, found in one.roles.items()} == {"reader": 6}
        assert (one.streams, one.chunks, one.answers) == (0, 0, 6)
        assert "the memories of 6 of 6 streams are another run's: read, not built and paid for again" in one.notes
    sent = [run(planned, quiet=True).summary.requests for planned in plans]
    assert sent == [one.calls for one in together]

    (other,) = plan(options(["memalpha"], limit=9, answer_budgets=(40,)))
    beyond = estimate(other)  # the folders hold the first six; the command names no other run
    assert beyond.streams == 3
    assert beyond.roles["memory"].calls == run(other, quiet=True).summary.requests - beyond.roles["reader"].calls
    card = "extends: synth-10k\nvariants: {b40: {answer_budget: 40}}\n"
    (project / "tasks").mkdir()
    (project / "tasks" / "world.yaml").write_text(card)
    chosen = replace(options(["memalpha"], limit=6, settings={"recent": [3]}), tasks=["world", "world@b40"])
    capsys.readouterr()
    assert estimate_command(chosen, "table") == 0
    assert "memalpha on world@b40: the memories of 6 of 6 streams are another run's" in capsys.readouterr().out


# -- positions --------------------------------------------------------------------------------------------------------

DIARY = """
from memeval import Item, Recall

class Diary:
    def begin(self, session):
        self.session, self.kept = session, []

    async def observe(self, chunk):
        await self.session.models["memory"].generate([{"role": "user", "content": chunk.text}])
        self.kept.append(chunk)

    def recall(self, query):
        return Recall([Item(chunk.text, (chunk.id,)) for chunk in self.kept[-1:]])

class Stiff(Diary):
    fork = None
"""


@pytest.fixture
def diary(project: Path) -> Path:
    """Two streams with 40 questions each, asked in the middle of things."""
    (project / "diary.py").write_text(DIARY)
    (project / "days.yaml").write_text(
        "source: jsonl\nparams: {file: days.jsonl}\nquestions: 0\nchunk_tokens: 64\ncluster: context\n"
    )
    lines = [
        {
            "id": f"c{stream}",
            "units": [f"On day {day} of year {stream} it rained for {day} hours in the town of Arlen." for day in range(60)],
            "questions": [
                {
                    "id": f"{stream}-{day}",
                    "text": f"How long did it rain on day {day}?",
                    "answer": str(day),
                    "position": day + 5,
                }
                for day in range(0, 55 - stream, 1)
            ][:40],
        }
        for stream in range(2)
    ]
    (project / "days.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return project


@pytest.mark.parametrize("name", ["Diary", "Stiff"])
def test_questions_in_the_middle_of_a_stream(diary: Path, name: str) -> None:
    (planned,) = plan(options([f"diary.py:{name}"], task="days.yaml", limit=0))
    found = check_against_run(planned)
    assert found.answers == 80
    assert any("cannot fork" in note for note in found.notes) is (name == "Stiff")
    assert any("several questions to a context" in note for note in found.notes)


class Moody:
    """Fails where a chunk speaks of day 7."""

    def begin(self, session: Any) -> None:
        self.session = session

    def observe(self, chunk: Any) -> None:
        if "day 7 " in chunk.text:
            raise ValueError("not that day again")

    def recall(self, query: Any) -> Recall:
        return Recall([Item("nothing")])

    def memory(self) -> MemoryStats:
        return MemoryStats()


def test_an_agent_that_fails_in_the_dry_run_is_named(diary: Path) -> None:
    (planned,) = plan(options([f"{__file__}:Moody"], task="days.yaml", limit=0))
    warning = next(note for note in estimate(planned).notes if note.startswith("WARNING"))
    assert "not that day again" in warning


def test_prompts_beyond_the_window_are_named(project: Path) -> None:
    (project / "small.yaml").write_text("agent: long-context\nmodels: {reader: {name: offline, context: 1000}}\n")
    chosen = Options(agents=["small.yaml"], tasks=["synth-10k"], limit=4, quiet=True)
    (planned,) = plan(chosen)
    found = estimate(planned)
    assert (found.calls, found.prompt) == (4, 0)
    assert any("too long for the window of offline in the dry run: 4 prompts of reader" in note for note in found.notes)


# -- the command ------------------------------------------------------------------------------------------------------


def test_planning_numbers_are_those_of_the_specification(project: Path) -> None:
    """Validity section 1: 128 questions see 11 points; half of 1 in 2 right, 1.96 * 0.5 / sqrt(128) = 8.66 points."""
    (planned,) = plan(options(["constant"], limit=128))
    found = estimate(planned)
    # one in eight of synth's questions has no answer: 112 count in the headline
    assert (found.questions, found.n) == (128, 112)
    assert found.half_width == pytest.approx(1.96 * 0.5 / 112**0.5, abs=0.0005)
    assert found.detectable_effect == pytest.approx(2.8016 * (0.2 / 112) ** 0.5, abs=0.0005)


def test_table_and_json(project: Path, capsys: pytest.CaptureFixture[str], server: FaultyServer) -> None:
    (project / "memeval.yaml").write_text("prices: {wordy: {prompt: 2, completion: 10}}\n")
    chosen = options(["memalpha", "none"], model="wordy", limit=6, base_url=server.url)
    assert estimate_command(chosen, "table") == 0
    table = capsys.readouterr().out
    assert "| memalpha " in table
    assert "| together " in table
    assert "n below 100: checks the harness, ranks nothing" in table
    assert estimate_command(chosen, "json") == 0
    found = json.loads(capsys.readouterr().out)
    rows = found["estimates"]
    assert [row["agent"] for row in rows] == ["memalpha", "none"]
    assert rows[1]["calls"] == rows[1]["roles"]["reader"]["calls"] == 6
    assert found["total"]["calls"] == rows[0]["calls"] + 6
    assert found["total"]["usd"] == pytest.approx(rows[0]["usd"] + rows[1]["usd"])
    assert rows[1]["roles"]["reader"].keys() == {
        "model", "calls", "prompt", "completion", "usd", "guessed",
    }  # fmt: skip
    assert not (project / "runs").exists()


def test_one_question_that_is_answered_already(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    chosen = options(["bm25"], limit=1)
    (planned,) = plan(chosen)
    run(planned, quiet=True)
    estimate_command(chosen, "table")
    table = capsys.readouterr().out
    row = [cell.strip() for cell in table.splitlines()[2].strip("|").split("|")]
    assert row[2:6] == ["1", "0", "0", "0"]
    assert row[-2:] == ["98.0", "-"]  # no difference of at most 100 points shows
    assert f"{planned.spec.shown} holds 1 of 1 answer already" in table


def test_unknown_prices_stay_blank(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    chosen = options(["none"], model="wordy", limit=6, base_url="http://127.0.0.1:9/v1")
    estimate_command(chosen, "table")
    table = capsys.readouterr().out
    assert "no price known for wordy: USD stays blank" in table
    row = [cell.strip() for cell in table.splitlines()[2].strip("|").split("|")]
    assert row[8] == "-"
