"""The index of what tasks hold gives what reading would give, misses whatever has changed, and never stands in the way."""

from __future__ import annotations

import dataclasses
import gzip
import itertools
import json
import math
import os
import re
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from memeval import plugins
from memeval.cards import TaskCard
from memeval.errors import UsageError
from memeval.runs.options import Options
from memeval.runs.plan import plan
from memeval.runs.run import run
from memeval.sources import Settings, index
from memeval.sources.index import IndexedTask
from memeval.sources.twowiki import TwoWiki

CARD = TaskCard(name="2wiki-mini", source="2wiki", documents=4, questions=2)
DISTRACTOR, FULLWIKI = "hotpotqa/hotpot_dev_distractor_v1.json", "hotpotqa/hotpot_dev_fullwiki_v1.json"
DEV, CORPUS, FILLER = "2wikimultihopqa/dev.json", "2wikimultihopqa/a_corpus.json", "wiki_pool/corpus-1.jsonl"
STAMPS = itertools.count(1_600_000_000_000_000_000, 1_000_000_000)


def records(first: str = "w", number: int = 6) -> list[dict[str, Any]]:
    return [
        {
            "_id": f"{first}{n}",
            "question": f"Which town is {first}{n} from?",
            "context": [[f"Person {first}{n}", [f"Person {n} is from Town {n}."]], [f"Town {n}", [f"Town {n} has a mill."]]],
            "supporting_facts": [[f"Person {first}{n}", 0]],
            "type": "bridge",
            "answer": f"Town {n}",
        }
        for n in range(number)
    ]


def put(path: Path, rows: Any) -> Path:
    """Write a file, and give it a time stamp that no file had before: a test is quicker than a clock of files ticks."""
    path.parent.mkdir(parents=True, exist_ok=True)
    data = rows if isinstance(rows, bytes) else json.dumps(rows).encode()
    path.write_bytes(gzip.compress(data, mtime=0) if path.name.endswith(".gz") else data)
    stamp = next(STAMPS)
    os.utime(path, ns=(stamp, stamp))
    return path


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache, in which small files that were written just now are indexed too."""
    monkeypatch.setenv("MEMEVAL_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("MEMEVAL_DATA", raising=False)
    monkeypatch.setattr(index, "RACY", -math.inf)
    monkeypatch.setattr(index, "WORTH", 0)
    index._code.cache_clear()
    return tmp_path / "cache"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    put(tmp_path / "data" / DEV, records())
    return tmp_path / "data"


def load(root: Path | None, card: TaskCard = CARD, seed: int = 42, questions: int = 0, use_cache: bool = True) -> Any:
    return index.load(card, Settings(root, seed, questions), use_cache)


def hits(*words: Any, **options: Any) -> bool:
    return isinstance(load(*words, **options), IndexedTask)


def entries(cache: Path) -> list[Path]:
    return sorted((cache / "tasks").iterdir()) if (cache / "tasks").exists() else []


# -- a hit ------------------------------------------------------------------------------------------------------------


def test_an_indexed_task_is_the_task(cache: Path, root: Path) -> None:
    real, known = load(root), load(root)
    assert not isinstance(real, IndexedTask)
    assert isinstance(known, IndexedTask)
    assert (known.data, list(known.order), known.card) == (real.data, list(real.order), CARD)
    ids = known.order[:3]
    assert known.refs(ids) == real.refs(ids)
    assert list(known.golds()) == list(real.golds())
    assert known.context(known.refs(ids)[0]) == real.context(real.refs(ids)[0])


def test_a_finished_run_reads_no_data(cache: Path, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    put(tmp_path / "mini.yaml", b"source: 2wiki\ndocuments: 4\nquestions: 4\n")
    options = {"models": {"model": "offline"}, "data_dir": root, "runs_dir": tmp_path / "runs", "quiet": True}

    def planned(limit: int | None = None) -> Any:
        return plan(Options(agents=["bm25"], tasks=["mini.yaml"], limit=limit, **options))[0]  # type: ignore[arg-type]

    first = planned()
    done = run(first, quiet=True)
    assert done.summary.status == "complete"
    again = planned()
    assert (again.spec, again.question_ids) == (first.spec, first.question_ids)
    with monkeypatch.context() as without:
        without.setattr(TwoWiki, "load", None)  # to call it would fail
        assert run(again, quiet=True).summary == msgspec.structs.replace(done.summary, requests=0)
    larger = run(planned(limit=6), quiet=True)  # what is left is read after all
    assert isinstance(larger.planned.task, IndexedTask)
    assert larger.planned.spec.folder == first.spec.folder
    assert (larger.summary.n, larger.summary.status) == (6, "complete")


@pytest.mark.parametrize("name", ["notes.jsonl", "notes.jsonl.gz"])
@pytest.mark.parametrize("place", ["cards", "data"])
def test_ones_own_file_is_indexed(cache: Path, tmp_path: Path, name: str, place: str) -> None:
    path = put(tmp_path / "cards/mine.yaml", f"source: jsonl\nparams: {{file: {name.removesuffix('.gz')}}}\n".encode())
    card = plugins.find_task(str(path))
    row = {"units": ["Ann has a bike."], "questions": [{"text": "Who has a bike?", "answers": ["Ann"]}]}
    file = put(tmp_path / place / name, row)
    folder = tmp_path / "data" if place == "data" else None
    assert not hits(folder, card)
    assert hits(folder, card)
    put(file, {**row, "id": "other"})
    assert load(folder, card).order == ["other-q1"]


def test_a_task_that_makes_its_data_is_indexed(cache: Path) -> None:
    card = plugins.find_task("synth-10k")
    real, known = load(None, card), load(None, card)
    assert isinstance(known, IndexedTask)
    assert (known.data, known.order) == (real.data, tuple(real.order))
    assert hits(None, card, questions=0)
    assert not hits(None, card, questions=1441)  # another world
    assert not hits(None, plugins.find_task("synth-30k"))


# -- a miss -----------------------------------------------------------------------------------------------------------


def same_size_old_date(root: Path) -> None:
    """As a program does that puts the date back: the time of the last change remains."""
    path, was = root / DEV, (root / DEV).stat()
    while path.stat().st_ctime_ns == was.st_ctime_ns:
        path.write_bytes(path.read_bytes().replace(b"mill", b"kiln"))
        os.utime(path, ns=(was.st_atime_ns, was.st_mtime_ns))


def another_inode(root: Path) -> None:
    put(root / "new", (root / DEV).read_bytes()).replace(root / DEV)


def only_zipped(root: Path) -> None:
    put(root / f"{DEV}.gz", (root / DEV).read_bytes())
    (root / DEV).unlink()


CHANGES: dict[str, Callable[[Path], object]] = {
    "size": lambda root: put(root / DEV, records(number=7)),
    "modified": lambda root: os.utime(root / DEV, ns=(1, 1)),
    "same size, old date": same_size_old_date,
    "inode": another_inode,
    "zipped": only_zipped,
    "a corpus appears": lambda root: put(root / CORPUS, [{"title": "More", "text": "More of it."}]),
    "filler appears": lambda root: put(root / FILLER, {"title": "Filler", "text": "word " * 30}),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=list(CHANGES))
def test_a_changed_data_folder_is_read(cache: Path, root: Path, change: Callable[[Path], object]) -> None:
    load(root)
    assert hits(root)
    change(root)
    task = load(root)
    assert not isinstance(task, IndexedTask)
    real = TwoWiki().load(CARD, Settings(root))
    assert (task.data, task.order) == (real.data, real.order)
    assert hits(root)


def test_a_better_file_that_appears_is_read(cache: Path, root: Path) -> None:
    card = TaskCard(name="hotpotqa-mini", source="hotpotqa", documents=4)
    put(root / FULLWIKI, records("f"))
    load(root, card)
    assert hits(root, card)
    put(root / DISTRACTOR, records("d"))
    assert sorted(load(root, card).order) == [f"d{n}" for n in range(6)]
    (root / DISTRACTOR).unlink()
    assert sorted(load(root, card).order) == [f"f{n}" for n in range(6)]  # as it was, and known


def test_another_folder_card_or_seed_is_read(cache: Path, root: Path, tmp_path: Path) -> None:
    other = tmp_path / "other" / DEV
    other.parent.mkdir(parents=True)
    os.link(root / DEV, other)  # the same in all but its path
    load(root)
    assert not hits(tmp_path / "other")
    assert load((root / DEV).parent).data["files"][0]["name"] == "dev.json"  # the same in all but its name in the manifest
    assert not hits(root, seed=43)
    assert hits(root, questions=3)  # of the same order
    for change in ({"documents": 5}, {"shared": 2}, {"hard": True}, {"params": {"corpus": ""}}, {"version": 2}):
        assert not hits(root, dataclasses.replace(CARD, **change))
    assert hits(root)


def test_another_memeval_reads_for_itself(cache: Path, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    load(root)
    for other in ("0" * 64, "1" * 64):
        monkeypatch.setattr(index, "_code", lambda other=other: other)
        assert not hits(root)
        assert hits(root)


def test_source_text_is_told_apart_and_not_trusted_when_newer_than_the_process(
    cache: Path, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "package"
    with monkeypatch.context() as patch:
        patch.setattr(index, "cards", SimpleNamespace(__file__=str(package / "cards.py")))
        found = []
        for name, text in (("cards.py", b""), ("x/y.py", b"1"), ("x/y.py", b"2"), ("y.py", b""), ("y/x.py", b"")):
            put(package / name, text)
            found.append(index._code.__wrapped__())
        assert len({*found}) == len(found)
        patch.setattr(index, "RACY", 2.0)
        assert index._code.__wrapped__() is None
    monkeypatch.setattr(index, "_code", lambda: None)
    load(root)
    assert not entries(cache)


NAMES = st.sampled_from([DEV, f"{DEV}.gz", "dev.json", CORPUS, f"{CORPUS}.gz", FILLER])
STEPS = st.tuples(st.sampled_from(["write", "write", "remove"]), NAMES, st.integers(0, 4))


@given(steps=st.lists(STEPS, min_size=3, max_size=12))
@hypothesis_settings(max_examples=60, deadline=None)
def test_whatever_happens_to_the_folder_the_index_says_what_is_there(steps: list[tuple[str, str, int]]) -> None:
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setenv("MEMEVAL_CACHE", f"{folder}/cache")
        patch.setattr(index, "RACY", -math.inf)
        patch.setattr(index, "WORTH", 0)
        patch.setattr("memeval.datafiles.files.from_hub", lambda *_: ([], "offline"))
        root = Path(folder) / "data"
        put(root / DEV, records())
        for verb, name, number in steps:
            more = {"title": f"More {number}", "text": "word " * 30}
            if verb == "remove":
                (root / name).unlink(missing_ok=True)
            else:
                put(root / name, records("abcde"[number], 5) if "dev" in name else more if name == FILLER else [more])
            try:
                real = TwoWiki().load(CARD, Settings(root))
            except UsageError as error:
                with pytest.raises(UsageError, match=re.escape(str(error))):
                    load(root)
                continue
            for _ in range(2):
                found = load(root)
                assert (found.data, list(found.order)) == (real.data, list(real.order))
            assert isinstance(found, IndexedTask)


# -- not indexed ------------------------------------------------------------------------------------------------------


def test_a_file_changed_just_now_is_not_indexed(cache: Path, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(index, "RACY", 2.0)
    monkeypatch.setattr(index, "_code", lambda: "")
    load(root)  # its date is of 2020, but that was set just now
    assert not entries(cache)


def test_a_file_that_changes_while_it_is_read_is_not_indexed(
    cache: Path, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = TwoWiki.load

    def slow(self: TwoWiki, card: TaskCard, settings: Settings) -> Any:
        task = real(self, card, settings)
        put(root / DEV, records("x"))
        return task

    monkeypatch.setattr(TwoWiki, "load", slow)
    load(root)
    assert not entries(cache)


def test_small_files_are_not_worth_it(cache: Path, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(index, "WORTH", (root / DEV).stat().st_size + 1)
    load(root)
    assert not entries(cache)
    monkeypatch.setattr(index, "WORTH", (root / DEV).stat().st_size)
    load(root)
    assert len(entries(cache)) == 1


def test_without_the_cache_nothing_is_read_or_written(cache: Path, root: Path) -> None:
    load(root, use_cache=False)
    assert not entries(cache)
    load(root)
    assert hits(root)
    assert not hits(root, use_cache=False)


def test_ones_own_source_is_not_indexed(cache: Path, tmp_path: Path) -> None:
    path = tmp_path / "mine.py"
    path.write_text(
        "from memeval.sources.fixed import FixedTask\nfrom memeval.task import Question\n"
        "class Mine:\n    def load(self, card, settings):\n"
        "        return FixedTask(card, settings, {'c': [Question('q', 'Who?', ('Ann',))]}, None, {})\n"
    )
    for _ in range(2):
        assert not hits(None, TaskCard("mine", f"{path}:Mine"))
    assert not entries(cache)


def test_data_of_the_hub_are_not_indexed(cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("huggingface_hub")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    revision = "0123456789abcdef0123456789abcdef01234567"
    snapshot = tmp_path / "hub/datasets--voidful--2WikiMultihopQA"
    put(snapshot / "refs/main", revision.encode())
    put(snapshot / "snapshots" / revision / "dev.json", records())
    (tmp_path / "data").mkdir()
    assert load(tmp_path / "data").data["files"][0]["revision"] == revision
    assert not entries(cache)


def test_what_reads_more_than_its_files_is_not_indexed(cache: Path, tmp_path: Path) -> None:
    record = {
        "Question": "Which town?",
        "QuestionId": "t1",
        "Answer": {"Value": "Rom", "Aliases": [], "NormalizedAliases": []},
        "EntityPages": [{"Filename": "a.txt", "Title": "A"}],
        "SearchResults": [],
    }
    put(tmp_path / "triviaqa/qa/wikipedia-dev.json", {"Data": [record]})
    put(tmp_path / "triviaqa/evidence/wikipedia/a.txt", b"A was born in Rom. " * 10)
    card = TaskCard("triviaqa-mini", "triviaqa")
    for _ in range(2):
        assert load(tmp_path, card).data["files"][0]["pages"] == 1
    assert not entries(cache)


def test_what_cannot_be_read_is_an_error_each_time(cache: Path, root: Path) -> None:
    put(root / DEV, b"[")
    for _ in range(2):
        with pytest.raises(UsageError, match="dev.json: record 1: not valid JSON"):
            load(root)
    with pytest.raises(UsageError, match="personamem"):
        load(root, TaskCard("personamem", "personamem"))
    with pytest.raises(UsageError, match="does not exist"):
        load(root / "gone")
    assert not entries(cache)


# -- the cache --------------------------------------------------------------------------------------------------------


def damaged(entry: dict[str, Any]) -> Iterator[bytes]:
    yield from (b"", b"[]", b"7", b"null", b"{", b"{}", b"\x00\xff", b"[" * 200_000)
    for change in ({"order": entry["order"][::-1]}, {"data": {}}, {"sha256": "0" * 64}, {"sha256": None}, {"order": 7}):
        yield json.dumps({**entry, **change}).encode()


def test_a_damaged_entry_costs_nothing_but_time(cache: Path, root: Path, capfd: pytest.CaptureFixture[str]) -> None:
    load(root)
    (path,) = entries(cache)
    sound = path.read_bytes()
    for damage in damaged(json.loads(sound)):
        path.write_bytes(damage)
        assert not hits(root)
        assert path.read_bytes() == sound
    assert hits(root)
    assert capfd.readouterr() == ("", "")


def test_an_entry_under_the_name_of_another_is_not_taken(cache: Path, root: Path) -> None:
    load(root)
    (path,) = entries(cache)
    foreign = path.read_bytes()
    load(root, seed=7)
    (other,) = (entry for entry in entries(cache) if entry != path)
    other.write_bytes(foreign)
    assert not hits(root, seed=7)


def test_a_cache_that_cannot_be_written_is_left_alone(
    cache: Path, root: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    cache.write_text("a file where the folder would be")
    for _ in range(2):
        assert sorted(load(root).order) == [f"w{n}" for n in range(6)]
    monkeypatch.setenv("MEMEVAL_CACHE", "/dev/null/cache")
    assert not hits(root)
    assert capfd.readouterr() == ("", "")


def test_the_oldest_entries_go(cache: Path, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(index, "KEPT", 2)
    for seed in range(3):
        load(root, seed=seed)
        for path in entries(cache):  # the clock of files may not have ticked
            os.utime(path, ns=(0, path.stat().st_mtime_ns - 1_000_000_000))
    assert len(entries(cache)) == 2
    assert [hits(root, seed=seed, use_cache=True) for seed in (2, 1)] == [True, True]


def test_entries_hold_no_path_and_no_answer(cache: Path, root: Path) -> None:
    load(root)
    text = entries(cache)[0].read_text()
    assert str(root) not in text
    assert "Town" not in text
    assert len(entries(cache)[0].stem) == 64


def test_data_that_change_between_the_plan_and_the_run_stop_it(cache: Path, root: Path) -> None:
    load(root)
    known = load(root)
    put(root / DEV, records("x"))
    with pytest.raises(UsageError, match="2wiki-mini.*changed while they were in use"):
        known.refs(known.order)
    assert not entries(cache)
