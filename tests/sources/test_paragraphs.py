"""What every question set over paragraphs must do alike: read folder and hub to the same tasks, name remedies, nest."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import records
from hubcache import REVISION, placed

from memeval import plugins
from memeval.cards import TaskCard
from memeval.errors import UsageError
from memeval.sources import Settings
from memeval.sources.hotpotqa import HotpotQA
from memeval.sources.nq import NQ
from memeval.sources.paragraphs import ParagraphQA
from memeval.sources.triviaqa import TriviaQA
from memeval.sources.twowiki import TwoWiki
from memeval.streams import PackedTask

Row = dict[str, Any]


@dataclass(frozen=True)
class Family:
    """file: in the data folder, records in upstream's schema. hub: data set and file of it. rows: names in the folder under
    which rows of the hub are read, too. trained_on: an agent whose training the cards must name."""

    source: type[ParagraphQA]
    record: Callable[[int], Row]
    row: Callable[[Row], Row]
    file: str
    hub: tuple[str, str]
    rows: tuple[str, ...] = ()
    write: Callable[[Path, Any, str], Path] = lambda root, rows, name: records.write(root, name, rows)
    trained_on: str = ""


FAMILIES = {
    "2wiki": Family(
        *(TwoWiki, records.multihop, records.multihop_row, "2wikimultihopqa/dev.json"),
        hub=("voidful/2WikiMultihopQA", "dev.json"),
        rows=("2wikimultihopqa/dev.json",),
    ),
    "hotpotqa": Family(
        *(HotpotQA, records.multihop, records.multihop_row, "hotpotqa/hotpot_dev_distractor_v1.json"),
        hub=("hotpotqa/hotpot_qa", "distractor/validation-00000-of-00001.parquet"),
        rows=("hotpotqa/hotpot_dev_distractor_v1.json",),
        trained_on="MemAgent",
    ),
    "nq": Family(
        *(NQ, records.nq, records.nq_row, "nq/nq-open-oracle.jsonl"), hub=("florin-hf/nq_open_gold", "test_dataset.json")
    ),
    "triviaqa": Family(
        *(TriviaQA, records.triviaqa, records.triviaqa_row, "triviaqa/qa/wikipedia-dev.json"),
        hub=("mandarjoshi/trivia_qa", "rc.wikipedia/validation-00000-of-00001.parquet"),
        rows=("triviaqa/validation-00000-of-00002.parquet", "triviaqa/validation-00001-of-00002.parquet"),
        write=records.write_triviaqa,
    ),
}


def made(family: Family) -> list[Row]:
    return [family.record(n) for n in range(14)]


def load(family: str, root: Path | None, **card: Any) -> PackedTask:
    card = {"name": f"{family}-10k", "source": family, **card}
    return FAMILIES[family].source().load(TaskCard(**card), Settings(data_dir=root))


def everything(task: PackedTask) -> list[Any]:
    return [task.context(ref) for ref in task.refs(task.order)]


def shares(rows: Sequence[Row], parts: int) -> list[Sequence[Row]]:
    size = -(-len(rows) // parts)
    return [rows[at : at + size] for at in range(0, len(rows), size)]


@pytest.mark.parametrize("name", FAMILIES)
def test_folder_gz_rows_and_hub_give_identical_contexts(name: str, tmp_path: Path, hub_cache: Path) -> None:
    family = FAMILIES[name]
    upstream = made(family)
    rows = list(map(family.row, upstream))
    family.write(tmp_path / "plain", upstream, family.file)
    family.write(tmp_path / "zipped", upstream, f"{family.file}.gz")
    family.write(tmp_path / "shuffled", upstream[::-1], family.file)
    folders = ["plain", "zipped", "shuffled"]
    for file, part in zip(family.rows, shares(rows, len(family.rows) or 1), strict=False):
        records.write(tmp_path / "rows", file, part)
        folders = ["plain", "zipped", "shuffled", "rows"]
    repository, file = family.hub
    path = placed(hub_cache, repository, file)
    records.write(path.parent, path.name, rows)
    tasks = [load(name, tmp_path / folder, documents=12) for folder in folders]
    first = everything(tasks[0])
    assert len(first) == 14
    assert tasks[1].data == tasks[0].data
    hub = load(name, None, documents=12)
    assert (hub.data["files"][0]["hub"], hub.data["files"][0]["revision"]) == (repository, REVISION)
    if name == "nq":  # there the hub has no titles
        assert hub.order == tasks[0].order
        assert [question.answers for question in hub.golds()] == [question.answers for question in tasks[0].golds()]
        pairs = zip(first, everything(hub), strict=True)
        texts = [[item.questions[0].evidence[0].text for item in pair] for pair in pairs]
        assert all(ours.split("\n")[1] == theirs for ours, theirs in texts)
    else:
        tasks.append(hub)
    for task in tasks[1:]:
        assert everything(task) == first
        assert task.data["corpus"] == tasks[0].data["corpus"]
    assert [len(task.data["files"]) for task in tasks[3:4]] == [len(family.rows)] * (len(tasks) > 3)


@pytest.mark.parametrize("name", FAMILIES)
def test_rows_of_a_datasets_object(name: str) -> None:
    datasets = pytest.importorskip("datasets")
    family = FAMILIES[name]
    rows = list(map(family.row, made(family)))
    source = family.source()
    assert [source.parse(row, "here") for row in datasets.Dataset.from_list(rows)] == [
        source.parse(row, "here") for row in rows
    ]


@pytest.mark.parametrize("name", FAMILIES)
def test_with_no_data_one_line_names_every_remedy(name: str, tmp_path: Path, hub_cache: Path) -> None:
    layout = FAMILIES[name].source.layout
    for folder, place in ((tmp_path, str(tmp_path)), (None, "--data-dir DIR (or set MEMEVAL_DATA)")):
        with pytest.raises(UsageError) as caught:
            load(name, folder, name=f"{name}-100k@hard")
        message = str(caught.value)
        assert "\n" not in message
        for part in (*layout.files, place, layout.hub, "network", "HF cache", "synth-100k"):
            assert part in message


@pytest.mark.parametrize("name", FAMILIES)
@pytest.mark.parametrize(("length", "documents"), [("10k", 50), ("30k", 200), ("100k", 800), ("1m", 6400)])
def test_cards_state_what_the_source_reads(name: str, length: str, documents: int) -> None:
    card = plugins.find_task(f"{name}-{length}")
    assert (card.documents, card.headline, card.chunk_tokens, card.cluster) == (documents, "f1", 2048, "question")
    assert card.questions == 128
    assert plugins.source(card) is FAMILIES[name].source
    layout = FAMILIES[name].source.layout
    stated = {"files": list(layout.files), "corpus": layout.corpus, "hub": layout.hub, "hub_files": layout.hub_files}
    assert card.params == stated | ({"records": layout.records} if layout.records else {})
    assert card.licence
    assert card.citation
    assert FAMILIES[name].trained_on in ("", *card.trained_on)


@pytest.mark.parametrize(
    ("name", "file", "from_wiki_pool"),
    [("2wiki", "2wikimultihopqa/dev.json", False), ("nq", "nq/nq-open-oracle.jsonl", True)],
)
def test_real_slices_nest_over_all_lengths(
    name: str, file: str, from_wiki_pool: bool, slices: Callable[[str], Path]
) -> None:
    root = slices(file)
    names = load(name, root).order[:5]
    streams = []
    for documents in (50, 200, 800, 6400):
        task = load(name, root, documents=documents)
        streams.append([task.context(ref) for ref in task.refs(names)])
    for contexts in zip(*streams, strict=True):
        assert [len(context.units) for context in contexts] == [50, 200, 800, 6400]
        assert [bool(context.meta["from_wiki_pool"]) for context in contexts] == [False, False, False, from_wiki_pool]
        for short, long in itertools.pairwise(contexts):
            rest = iter(long.units)
            assert all(unit in rest for unit in short.units)
        for context in contexts:
            for piece in context.questions[0].evidence:
                assert piece.text.split("\n")[0] == context.units[piece.units[0]].text.split("\n")[0]
