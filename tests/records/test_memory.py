"""The memory folder: what is appended, who may append, and what another process sees meanwhile."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from memeval.errors import UsageError
from memeval.records import lock, memory
from memeval.records.files import read_rows
from memeval.records.folder import RunFolder
from memeval.records.manifest import MemoryManifest, Origin
from memeval.records.memory import Built, MemoryFolder, MemoryWriter, first_generation, generations, new_generation
from memeval.records.rows import FINISH, READ, OperationRow

STEP = OperationRow(context_id="c", digest="d", repeat=0, chunk="c00000", units=(0, 1), held={"notes": 3})
END = OperationRow(context_id="c", digest="d", repeat=0, chunk=FINISH)
THROUGH = OperationRow(context_id="c", digest="d", repeat=0, chunk=READ)
MANIFEST = MemoryManifest(format=0, memory_hash="h", agent="a", task="t", created=0.0)


def write(path: Path, *rows: OperationRow) -> None:
    writer = MemoryWriter(MemoryFolder(path), MANIFEST)
    assert writer.take()
    for row in rows:
        writer.append(row)
    writer.release()


def test_it_only_grows_and_the_last_attempt_counts(tmp_path: Path) -> None:
    write(tmp_path, STEP, END)
    before = (tmp_path / "operations.jsonl").read_bytes()
    write(tmp_path, STEP, END)  # made again from stored replies: the same
    assert (tmp_path / "operations.jsonl").read_bytes() == before
    other, third = (msgspec.structs.replace(STEP, held={"notes": held}) for held in (4, 5))
    write(tmp_path, other, third)
    assert (tmp_path / "operations.jsonl").read_bytes().startswith(before)
    assert [row.attempt for row in read_rows(tmp_path / "operations.jsonl", OperationRow)] == [0, 0, 1, 2]
    assert MemoryFolder(tmp_path).operations() == [msgspec.structs.replace(third, attempt=2), END]


def test_a_step_is_known_whether_the_agent_or_a_rebuilt_one_took_it(tmp_path: Path) -> None:
    """Which of them reads a prefix depends on what else is asked."""
    write(tmp_path, STEP, msgspec.structs.replace(STEP, rebuilt="it holds a socket"))
    assert MemoryFolder(tmp_path).operations() == [STEP]


def test_steps_of_an_edited_context_lie_side_by_side(tmp_path: Path) -> None:
    edited = msgspec.structs.replace(STEP, digest="e")
    write(tmp_path, STEP, edited)
    folder = MemoryFolder(tmp_path)
    assert folder.operations() == [edited]
    assert folder.operations({"c": "d"}) == [STEP]


def test_without_the_lock_nothing_is_kept(tmp_path: Path) -> None:
    builder, other = (MemoryWriter(MemoryFolder(tmp_path), MANIFEST) for _ in range(2))
    assert builder.take()
    assert builder.take()  # it has it already
    assert not other.take()
    builder.append(STEP)
    other.append(END)
    builder.release()
    assert other.take()
    other.append(STEP)
    other.release()
    assert MemoryFolder(tmp_path).operations() == [STEP]
    assert MemoryFolder(tmp_path).manifest() == MANIFEST


def test_the_lock_is_let_go_when_the_last_reading_has_ended(tmp_path: Path) -> None:
    builder = MemoryWriter(MemoryFolder(tmp_path), MANIFEST, readings=2)
    assert builder.take()
    builder.reading_ended()
    assert builder.held
    builder.reading_ended()
    assert not builder.held
    other = MemoryWriter(MemoryFolder(tmp_path), MANIFEST)
    assert other.take()
    other.release()


@pytest.mark.parametrize("replayable", [True, False])
def test_what_another_process_has_built_is_waited_for_and_built_again_only_if_it_cannot_be_made_from_replies(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], replayable: bool
) -> None:
    monkeypatch.setattr(memory, "POLL", 0.0)
    builder = MemoryWriter(MemoryFolder(tmp_path), MANIFEST)
    other = MemoryWriter(MemoryFolder(tmp_path), msgspec.structs.replace(MANIFEST, replayable=replayable))
    assert builder.take()

    async def main() -> None:
        waiting = asyncio.create_task(other.wait({("c", "d", 0, None)}))
        for row in (STEP, END, THROUGH):
            for _ in range(10):
                await asyncio.sleep(0)
            assert not waiting.done()
            builder.append(row)
        if replayable:
            await waiting
            assert not other.held
        else:
            for _ in range(10):
                await asyncio.sleep(0)
            assert not waiting.done()
        builder.release()
        await waiting

    asyncio.run(main())
    assert other.held is not replayable
    other.release()
    assert capsys.readouterr().err.count("waiting for another process, which builds the memory") == 1


def test_steps_that_came_out_otherwise_are_counted_also_by_a_process_that_keeps_none(tmp_path: Path) -> None:
    write(tmp_path, STEP, END)
    reader = MemoryWriter(MemoryFolder(tmp_path), MANIFEST)
    for row in (STEP, msgspec.structs.replace(END, held={"notes": 9}), THROUGH):  # as before, otherwise, and new
        reader.append(row)
    assert reader.differing == 1
    assert MemoryFolder(tmp_path).operations() == [STEP, END]


def test_the_servers_of_all_runs_are_kept_each_once(tmp_path: Path) -> None:
    one, two = Origin(url="http://one/v1"), Origin(url="http://two/v1")
    folder = MemoryFolder(tmp_path)
    for origins in ({"memory": (one,)}, {"memory": (two, one), "embedder": (two,)}, {"memory": (one,)}):
        folder.add_origins(msgspec.structs.replace(MANIFEST, origins=origins, created=len(origins)))
    manifest = folder.manifest()
    assert manifest is not None
    assert manifest.origins == {"memory": (one, two), "embedder": (two,)}
    assert manifest.created == 1  # the first one made it


def test_what_another_process_has_built_is_seen_as_it_grows(tmp_path: Path) -> None:
    wanted = {("c", "d", 0, None)}
    built = Built(MemoryFolder(tmp_path))
    assert not built.through(wanted)  # there is no file yet
    path = tmp_path / "operations.jsonl"
    write(tmp_path, STEP)
    with path.open("ab") as file:
        half, rest = msgspec.json.encode(END)[:20], msgspec.json.encode(END)[20:] + b"\n"
        file.write(half)
        file.flush()
        assert built.finished() == set()
        file.write(rest)
        file.flush()
        assert built.finished() == wanted
        assert not built.through(wanted)  # not all is recalled yet
        file.write(msgspec.json.encode(THROUGH) + b"\n")
        file.flush()
        assert built.through(wanted)
        assert not built.through({*wanted, ("c", "d", 0, 4)})
        file.write(b"{}\n" + msgspec.json.encode(msgspec.structs.replace(END, position=4)) + b"\n")
        file.flush()
        assert built.through({*wanted, ("c", "d", 0, 4)})  # a damaged line is named by who reads the operations


def test_a_half_line_is_cut_by_the_one_that_may_write(tmp_path: Path) -> None:
    write(tmp_path, STEP)
    path = tmp_path / "operations.jsonl"
    whole = path.read_bytes()
    path.write_bytes(whole + b'{"context_id":"c"')
    assert MemoryFolder(tmp_path).operations() == [STEP]
    write(tmp_path)
    assert path.read_bytes() == whole


def test_a_damaged_line_is_named(tmp_path: Path) -> None:
    write(tmp_path, STEP)
    path = tmp_path / "operations.jsonl"
    path.write_bytes(b"{}\n" + path.read_bytes())
    with pytest.raises(UsageError, match=r"operations\.jsonl:1: damaged line; delete the file"):
        MemoryFolder(tmp_path).operations()
    writer = MemoryWriter(MemoryFolder(tmp_path), MANIFEST)
    with pytest.raises(UsageError, match="damaged line"):
        writer.take()
    path.unlink()
    write(tmp_path, STEP)  # the folder is free again


def test_generations(tmp_path: Path) -> None:
    first = tmp_path / "memories" / "agent-12345678"
    assert generations(first) == []
    made = [new_generation(first) for _ in range(11)]
    assert [path.name for path in made[:3]] == ["agent-12345678", "agent-12345678.2", "agent-12345678.3"]
    for name in ("agent-12345678.x", "agent-123456789", "other-12345678.7"):
        (tmp_path / "memories" / name).mkdir()
    assert generations(first) == made  # .10 after .9
    made[1].rmdir()
    assert new_generation(first).name == "agent-12345678.12"  # a number is not given twice
    assert {first_generation(path) for path in made} == {first}


def test_a_memory_is_no_run_and_a_run_no_memory(tmp_path: Path) -> None:
    write(tmp_path, STEP)
    assert RunFolder(tmp_path).manifest() is None
    with pytest.raises(UsageError, match=r"not a run folder \(a memory folder\)"):
        RunFolder(tmp_path).known_manifest()
    (tmp_path / "manifest.json").write_text('{"format": 1, "hash": "", "typed": {}, "agent": "a"}')
    assert RunFolder(tmp_path).manifest() is not None
    assert MemoryFolder(tmp_path).manifest() is None


def test_a_process_that_dies_leaves_the_lock(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path\n"
        "from memeval.records.memory import MemoryFolder, MemoryWriter\n"
        "from memeval.records.manifest import MemoryManifest\n"
        f"writer = MemoryWriter(MemoryFolder(Path({str(tmp_path)!r})), MemoryManifest("
        "format=0, memory_hash='h', agent='a', task='t', created=0.0))\n"
        "print(writer.take(), flush=True); sys.stdin.readline()"
    )
    writer = MemoryWriter(MemoryFolder(tmp_path), MANIFEST)
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "True\n"
        assert not writer.take()
        holder.kill()
        holder.wait()
    assert writer.take()
    writer.release()


def test_without_locks_two_may_build(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(descriptor: int) -> None:
        raise ImportError("fcntl")

    monkeypatch.setattr(lock, "_take", refuse)
    writers = [MemoryWriter(MemoryFolder(tmp_path), MANIFEST) for _ in range(2)]
    assert all(writer.take() for writer in writers)
    for writer in writers:
        writer.append(STEP)
        writer.release()
    assert MemoryFolder(tmp_path).operations() == [STEP]
