"""Agents as people write them: bound to a thread, with loops of their own, blocking, leaving things behind."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextvars
import json
import queue
import sqlite3
import subprocess
import sys
import threading
from pathlib import Path
from types import FrameType, SimpleNamespace
from typing import Any

import preloaded
import pytest
from toys import Diary, context, simple

from memeval import Item, Recall
from memeval.agent import ToolResult
from memeval.check import GOLD, reachable
from memeval.runs import agent_runner, engine
from memeval.task import Question


def samples(events: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    return {event["question_id"]: event for event in events if event["event"] == "sample"}


def failures(events: list[dict[str, Any]]) -> set[str | None]:
    return {sample["failure"] for sample in samples(events).values()}


class Sqlite(Diary):
    """The connection refuses every other thread."""

    def begin(self, session: Any) -> None:
        self.db = sqlite3.connect(":memory:")
        self.db.execute("create table notes(id text, text text)")

    def observe(self, chunk: Any) -> None:
        self.db.execute("insert into notes values(?, ?)", (chunk.id, chunk.text))

    def finish(self) -> None:
        self.db.commit()

    def recall(self, query: Any) -> Recall:
        return Recall([Item(text, (name,)) for name, text in self.db.execute("select id, text from notes order by id")])

    def close(self) -> None:
        self.db.close()


class RunsTheLoop(Diary):
    def observe(self, chunk: Any) -> None:
        asyncio.get_event_loop().run_until_complete(self.store(chunk))

    async def store(self, chunk: Any) -> None:
        await asyncio.sleep(0)
        await self.session.models["memory"].generate([{"role": "user", "content": chunk.text}])
        self.chunks.append(chunk)


class AsyncioRun(RunsTheLoop):
    def observe(self, chunk: Any) -> None:
        asyncio.run(self.store(chunk))


class ClosesTheLoop(RunsTheLoop):
    def observe(self, chunk: Any) -> None:
        super().observe(chunk)
        asyncio.get_event_loop().close()


class Mixed(Diary):
    """Plain and async methods share a lock, which belongs to one loop."""

    async def begin(self, session: Any) -> None:
        super().begin(session)
        self.lock, self.loop = asyncio.Lock(), asyncio.get_running_loop()

    async def observe(self, chunk: Any) -> None:
        async with self.lock:
            await self.session.models["memory"].generate([{"role": "user", "content": chunk.text}])
            self.chunks.append(chunk)

    def recall(self, query: Any) -> Recall:
        assert asyncio.get_event_loop() is self.loop
        return super().recall(query)


class OwnLoop(Diary):
    """A loop that runs in a thread of the agent's own."""

    def begin(self, session: Any) -> None:
        super().begin(session)
        self.loop = asyncio.new_event_loop()
        threading.Thread(target=self.loop.run_forever).start()

    def observe(self, chunk: Any) -> None:
        call = self.session.models["memory"].generate([{"role": "user", "content": chunk.text}])
        assert asyncio.run_coroutine_threadsafe(call, self.loop).result().error is None
        self.chunks.append(chunk)

    def close(self) -> None:
        self.loop.call_soon_threadsafe(self.loop.stop)


class Pool(Diary):
    """Threads of the agent's own, which carry no context variables."""

    def begin(self, session: Any) -> None:
        super().begin(session)
        self.pool = concurrent.futures.ThreadPoolExecutor(2)

    def observe(self, chunk: Any) -> None:
        self.pool.submit(self.store, chunk).result()

    def store(self, chunk: Any) -> None:
        assert self.session.models["memory"].generate_sync([{"role": "user", "content": chunk.text}]).error is None
        self.session.record(ToolResult("store", {"chunk": chunk.id}, "ok"))
        self.chunks.append(chunk)


class Executor(Pool):
    """`run_in_executor` hands on no context variables either."""

    async def observe(self, chunk: Any) -> None:
        await asyncio.get_running_loop().run_in_executor(None, self.store, chunk)


class PoolWithLoops(Pool):
    def store(self, chunk: Any) -> None:
        reply = asyncio.run(self.session.models["memory"].generate([{"role": "user", "content": chunk.text}]))
        assert reply.error is None
        self.chunks.append(chunk)


class Timer(Pool):
    def observe(self, chunk: Any) -> None:
        thread = threading.Timer(0, self.store, (chunk,))
        thread.start()
        thread.join()


class Later(Diary):
    """A thread goes on after `begin`, with the context of `begin`: its calls belong to the method that is running."""

    def begin(self, session: Any) -> None:
        super().begin(session)
        self.inbox: queue.Queue[Any] = queue.Queue()
        context = contextvars.copy_context()
        threading.Thread(target=context.run, args=(self.work,), daemon=True).start()

    def work(self) -> None:
        while (chunk := self.inbox.get()) is not None:
            self.session.models["memory"].generate_sync([{"role": "user", "content": chunk.text}])
            self.chunks.append(chunk)
            self.inbox.task_done()

    def observe(self, chunk: Any) -> None:
        self.inbox.put(chunk)
        self.inbox.join()

    def close(self) -> None:
        self.inbox.put(None)


class OneThread(Diary):
    def __init__(self) -> None:
        self.thread = threading.get_ident()

    def observe(self, chunk: Any) -> None:
        assert threading.get_ident() == self.thread
        super().observe(chunk)

    async def finish(self) -> None:
        assert threading.get_ident() == self.thread

    def recall(self, query: Any) -> Recall:
        assert threading.get_ident() == self.thread
        return super().recall(query)

    def close(self) -> None:
        assert threading.get_ident() == self.thread

    def __deepcopy__(self, memo: Any) -> OneThread:
        assert threading.get_ident() == self.thread
        twin = OneThread()
        twin.__dict__ = {**self.__dict__, "chunks": list(self.chunks)}
        return twin


CALLING = [RunsTheLoop, AsyncioRun, ClosesTheLoop, Mixed, OwnLoop, Pool, Executor, PoolWithLoops, Timer, Later]


@pytest.mark.parametrize("agent", [Sqlite, *CALLING])
def test_libraries_bound_to_a_thread_or_a_loop_work(toy: Any, agent: type) -> None:
    events = toy.events(toy.planned(agent, [simple(0), simple(1), simple(2)]))
    assert failures(events) == {None}
    assert {len(sample["recall"]) for sample in samples(events).values()} == {4}
    if agent is not Sqlite:
        steps = [event for event in events if event["event"] == "operation" and event["chunk_tokens"]]
        assert [step["calls"] for step in steps] == [{"memory": 1}] * 12


def test_a_call_that_belongs_to_no_single_method_is_one_clear_line(toy: Any) -> None:
    """Two recalls at once, each with a thread that carries no context: which of them pays cannot be known."""
    meet = threading.Barrier(2, timeout=300)

    class Both(Pool):
        concurrent = True

        def recall(self, query: Any) -> Recall:
            meet.wait()
            try:
                self.pool.submit(self.session.models["memory"].generate_sync, [{"role": "user", "content": "?"}]).result()
            finally:
                meet.wait()
            return super().recall(query)

    questions = [Question(f"q{n}", "What?", ("x",)) for n in range(2)]
    (failure,) = failures(toy.events(toy.planned(Both, [context("c", ["A text."], questions)])))
    assert failure is not None
    assert "2 of its methods were running" in failure
    assert "pool.submit(contextvars.copy_context().run, function)" in failure
    assert "in recall at test_threads.py:" in failure


POSITIONS = [Question(name, "What?", ("x",), position=end) for name, end in (("a", 1), ("b", 3), ("c", 5), ("d", None))]
UNITS = [f"Sentence number {n} of a stream that is long enough to make chunks." for n in range(6)]


def test_an_agent_and_its_forks_stay_in_one_thread(toy: Any) -> None:
    run = toy.planned(OneThread, [context("c", UNITS, POSITIONS)])
    assert failures(toy.events(run)) == {None}


def test_an_agent_that_cannot_be_copied_is_rebuilt_and_its_rows_say_why(toy: Any) -> None:
    events = toy.events(toy.planned(Sqlite, [context("c", UNITS, POSITIONS)]))
    assert failures(events) == {None}
    rows = [event for event in events if event["event"] == "operation"]
    assert {row["rebuilt"] for row in rows if row["position"] is None} == {""}
    reasons = {row["rebuilt"] for row in rows if row["position"] is not None}
    assert reasons == {"Sqlite.db: cannot pickle 'sqlite3.Connection' object"}
    own = {event["position"]: event["own_chunks"] for event in events if event["event"] == "question"}
    shared = sum(not row["rebuilt"] for row in rows) + sum(own[row] for row in {1, 3, 5})
    assert len(rows) > shared


def test_blocking_slows_down_its_own_context_alone(toy: Any) -> None:
    """Two contexts meet at a barrier: they get there only when neither waits for the other."""
    barrier = threading.Barrier(2, timeout=300)

    class Blocks(Diary):
        def finish(self) -> None:
            barrier.wait()

    assert failures(toy.events(toy.planned(Blocks, [simple(0), simple(1)], concurrency=2))) == {None}


def test_contexts_that_take_long_to_build_hold_the_others_up_once(toy: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    run = toy.planned("none", [simple(number) for number in range(6)])
    task, built, now = run.task, [], [0.0]
    build = type(task).context

    def slow(ref: Any) -> Any:
        if len(built) != 1:
            now[0] += 0.1
        built.append(threading.current_thread() is threading.main_thread())
        return build(task, ref)

    monkeypatch.setattr(task, "context", slow)
    monkeypatch.setattr(engine, "time", SimpleNamespace(monotonic=lambda: now[0]))  # also on a busy machine
    assert len(samples(toy.events(run))) == 6
    assert built == [False, True, True, False, False, False]  # the first one reads the data


@pytest.mark.parametrize("concurrent", [True, False])
def test_questions_of_a_position_run_side_by_side_where_the_class_promises_it(toy: Any, concurrent: bool) -> None:
    barrier = threading.Barrier(4, timeout=300 if concurrent else 0.05)

    class Meets(Diary):
        def recall(self, query: Any) -> Recall:
            barrier.wait()
            return super().recall(query)

    Meets.concurrent = concurrent
    questions = [Question(f"q{n}", "What?", ("x",)) for n in range(4)]
    failed = failures(toy.events(toy.planned(Meets, [context("c", ["A text."], questions)])))
    assert (failed == {None}) == concurrent


def test_the_agent_reads_on_while_the_reader_answers(toy: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The reader's first answer comes when the agent has read the whole stream: waiting for it would never end."""
    from memeval.runs.reader import AnswerStage

    whole = asyncio.Event()
    read = AnswerStage.read

    async def waits(self: Any, question: Any, *args: Any) -> str:
        if question.id == "a":
            async with asyncio.timeout(300):
                await whole.wait()
        return await read(self, question, *args)

    monkeypatch.setattr(AnswerStage, "read", waits)
    loops: list[asyncio.AbstractEventLoop] = []
    forks: list[int] = []

    class Counts(Diary):
        def fork(self, session: Any) -> Counts:
            twin = Counts()
            twin.session, twin.chunks, twin.finished = session, list(self.chunks), False
            forks.append(1)
            twin.forked = True
            return twin

        def close(self) -> None:
            if getattr(self, "forked", False):
                forks.append(-1)
            else:
                loops[0].call_soon_threadsafe(whole.set)

    run = toy.planned(Counts, [context("c", UNITS, POSITIONS)])
    asyncio_run = asyncio.run

    def running(main: Any) -> Any:
        async def noted() -> Any:
            loops.append(asyncio.get_running_loop())
            return await main

        return asyncio_run(noted())

    monkeypatch.setattr(asyncio, "run", running)
    assert failures(toy.events(run)) == {None}
    assert forks == [1, -1] * 3  # each fork is dropped before the next is made


def test_native_agents_keep_at_most_four_forks_until_they_have_answered(toy: Any) -> None:
    open_forks: list[int] = [0]
    most: list[int] = []

    class Native(Diary):
        track = "native"

        def fork(self, session: Any) -> Native:
            twin = Native()
            twin.session, twin.chunks, twin.finished = session, list(self.chunks), False
            open_forks[0] += 1
            most.append(open_forks[0])
            return twin

        async def answer(self, query: Any, recall: Recall) -> str:
            await asyncio.sleep(0.02)
            return f"{len(recall.items)} {len(self.chunks)}"

        def close(self) -> None:
            open_forks[0] -= 1

    units = [f"Sentence number {n} of a stream that is long enough to make chunks." for n in range(12)]
    questions = [Question(f"q{n:02}", "What?", ("x",), position=n) for n in range(1, 13)]
    found = samples(toy.events(toy.planned(Native, [context("c", units, questions)])))
    assert {sample["failure"] for sample in found.values()} == {None}
    assert max(most) == 4
    for sample in found.values():
        items, chunks = sample["answer"].split()
        assert items == chunks == str(len(sample["recall"]))  # the fork saw its prefix only, though its agent read on


@pytest.mark.parametrize("kind", ["plain", "async"])
def test_a_method_that_does_not_return_in_time_fails_its_context(toy: Any, kind: str) -> None:
    never = threading.Event()

    class Stuck(Diary):
        def observe(self, chunk: Any) -> None:
            super().observe(chunk)
            if "Person1" in chunk.text:
                never.wait(30)

        def close(self) -> None:
            assert "Person1" not in self.chunks[0].text

    class AsyncStuck(Diary):
        async def observe(self, chunk: Any) -> None:
            super().observe(chunk)
            if "Person1" in chunk.text:
                await asyncio.sleep(30)

    agent = Stuck if kind == "plain" else AsyncStuck
    found = samples(toy.events(toy.planned(agent, [simple(0), simple(1), simple(2)], agent_timeout=1.5)))
    never.set()
    assert found["q0"]["failure"] is found["q2"]["failure"] is None
    assert found["q1"]["failure"] == "ingest: agent's observe had not returned after 1.5 s (--agent-timeout)"


def test_a_method_that_takes_long_is_reported(toy: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from memeval.runs.run_context import RunContext
    from memeval.runs.signals import AgentSlow, Event

    monkeypatch.setattr(agent_runner, "SLOW", 0.01)
    reported = threading.Event()

    class Slow(Diary):
        def finish(self) -> None:
            reported.wait(60)  # in vain where it is not reported

    def see(event: Event) -> None:
        if event == AgentSlow("ctx0", "finish"):  # on a busy machine other methods may take long, too
            reported.set()

    async def collect() -> None:
        run = toy.planned(Slow, [simple(0)])
        run.spec.folder.mkdir(parents=True)
        work = [(ref, 0) for ref in run.task.refs(["q0"])]
        async with RunContext.of_runs([run.spec]) as context:
            await context.engine(see).execute(run.task, work)

    asyncio.run(collect())
    assert reported.is_set()


def test_what_services_cost_is_booked_and_the_unknown_stays_unknown(toy: Any) -> None:
    class Service(Diary):
        def observe(self, chunk: Any) -> None:
            super().observe(chunk)
            self.session.spend(tokens=10, usd=0.25, role="zep")
            self.session.spend(tokens=3)

        def recall(self, query: Any) -> Recall:
            self.session.spend(usd=0.5, role="zep")
            return super().recall(query)

    events = toy.events(toy.planned(Service, [simple(0)], answer_repeats=2))
    step = next(event for event in events if event["event"] == "operation")
    assert step["services"] == {
        "service": {"calls": 1, "tokens": 3, "usd": None},
        "zep": {"calls": 1, "tokens": 10, "usd": 0.25},
    }
    one, two = (event for event in events if event["event"] == "sample")
    assert one["services"] == one["recalling"]["services"] == {"zep": {"calls": 1, "tokens": 0, "usd": 0.5}}
    assert two["services"] == {}  # recalling is paid once


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"tokens": -1}, "spend was given tokens=-1, expected a whole number, 0 or more"),
        ({"usd": float("nan")}, "spend was given usd=nan, expected USD, 0 or more, or None where it is unknown"),
        ({"role": ""}, "spend was given role='', expected a name"),
    ],
)
def test_what_cannot_be_a_price_is_named(toy: Any, given: dict[str, Any], message: str) -> None:
    class Odd(Diary):
        def begin(self, session: Any) -> None:
            session.spend(**given)

    assert message in samples(toy.events(toy.planned(Odd, [simple(0)])))["q0"]["failure"]


@pytest.mark.parametrize("kind", ["plain", "async"])
def test_no_gold_is_within_reach_of_the_agents_thread(toy: Any, kind: str) -> None:
    found: list[str] = []

    def walk(agent: Any) -> None:
        frame: FrameType | None = sys._getframe()
        roots: dict[str, Any] = {"thread": threading.current_thread(), "agent": agent, "session": agent.session}
        while frame is not None and "site-packages" not in frame.f_code.co_filename:
            for name, value in frame.f_locals.items():
                if value is not found:
                    roots[f"{frame.f_code.co_qualname}.{name}"] = value
            frame = frame.f_back
        found.extend(path for thing, path in reachable(roots) if isinstance(thing, GOLD))
        found.append(f"walked {len(roots)}")

    class Walks(Diary):
        def recall(self, query: Any) -> Recall:
            walk(self)
            return super().recall(query)

    class AsyncWalks(Diary):
        async def recall(self, query: Any) -> Recall:
            walk(self)
            return super().recall(query)

    assert failures(toy.events(toy.planned(Walks if kind == "plain" else AsyncWalks, [simple(0)]))) == {None}
    assert [path for path in found if not path.startswith("walked")] == []
    assert len(found) == 1


LEAVES = """
import atexit, concurrent.futures, os, subprocess, sys, threading, time
from memeval import Item, Recall

def later():
    while True:
        print("from a thread"); os.write(1, b"from a thread\\n"); time.sleep(0.001)

threading.Thread(target=later, daemon=True).start()
if "json" in sys.argv:
    threading.Thread(target=time.sleep, args=(600,)).start()
atexit.register(lambda: (print("at exit"), os.write(1, b"at exit\\n"), time.sleep(600)))

class Leaves:
    def begin(self, session):
        self.notes = []
        os.environ["MEMEVAL_CACHE"] = "/nowhere/at/all"
        if "json" in sys.argv:
            concurrent.futures.ThreadPoolExecutor(2).submit(time.sleep, 600)
        subprocess.run([sys.executable, "-c", "print('from a child')"])
    def observe(self, chunk):
        os.write(1, b"to descriptor 1\\n")
        self.notes.append(chunk)
    def recall(self, query): return Recall([Item(c.text, (c.id,)) for c in self.notes])
"""


@pytest.mark.parametrize("verb", ["run", "check", "estimate"])
@pytest.mark.slow
def test_what_an_agent_leaves_behind_harms_neither_the_results_nor_the_end(tmp_path: Path, verb: str) -> None:
    (tmp_path / "leaves.py").write_text(LEAVES)
    words = [verb, "--agent", "leaves.py:Leaves"]
    if verb != "check":
        words += ["--task", "synth-10k", "--limit", "1", "--model", "offline", "--format", "json"]
    done = preloaded.run(words, tmp_path)
    assert done.returncode == 0
    if verb == "check":
        assert done.stdout.startswith("leaves.py:Leaves\n  runs ")
        assert "from a" not in done.stdout
        assert "at exit" not in done.stdout
    else:
        assert json.loads(done.stdout)
    for text in ("to descriptor 1", "from a child", "from a thread", *(["at exit"] if verb == "check" else [])):
        assert text in done.stderr


NOTEBOOK = """
import asyncio, os
from memeval.cli import main

async def cell():
    for verb in (["check"], ["estimate", "--task", "synth-10k"], ["run", "--task", "synth-10k", "--limit", "1"]):
        try:
            main([*verb, "--agent", "bm25", *([] if verb == ["check"] else ["--model", "offline"])], standalone_mode=False)
        except SystemExit as end:
            print(verb[0], end.code)

asyncio.run(cell())
os.write(1, b"descriptor 1 is back")
"""


@pytest.mark.slow
def test_commands_work_inside_a_running_event_loop(tmp_path: Path) -> None:
    command = [sys.executable, "-c", NOTEBOOK]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    lines = done.stdout.splitlines()
    assert [line for line in lines if line in ("check 0", "estimate 0", "run 0")] == ["check 0", "estimate 0", "run 0"]
    assert "descriptor 1 is back" in done.stdout
    assert done.stderr.count("Traceback") == 0
