"""What every question set over paragraphs must do alike: read folder and hub to the same tasks, name remedies, nest."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import records
from hubcache import REVISION, placed
from records import everything

from memeval import plugins
from memeval.cards import TaskCard
from memeval.errors import UsageError
from memeval.tasks import Settings
from memeval.tasks.multihop import HotpotQA, TwoWiki
from memeval.tasks.nq import NQ
from memeval.tasks.paragraphs import ParagraphQA
from memeval.tasks.streams import PackedTask
from memeval.tasks.triviaqa import TriviaQA

Row = dict[str, Any]


@dataclass(frozen=True)
class Family:
    """file: in the data folder, records as they are read from there. hub: data set and file of it (none: it has an address),
    row: a record as the hub has it. trained_on: an agent whose training the cards must name."""

    source: type[ParagraphQA]
    record: Callable[[int], Row]
    file: str
    hub: tuple[str, str] = ("", "")
    row: Callable[[Row], Row] = lambda row: row
    trained_on: str = ""


FAMILIES = {
    "2wiki": Family(TwoWiki, records.multihop, "2wikimultihopqa/dev.json", ("voidful/2WikiMultihopQA", "dev.json")),
    "hotpotqa": Family(
        *(HotpotQA, records.multihop, "hotpotqa/hotpot_dev_distractor_v1.json"),
        hub=("hotpotqa/hotpot_qa", "distractor/validation-00000-of-00001.parquet"),
        row=records.multihop_row,
        trained_on="MemAgent",
    ),
    "nq": Family(NQ, records.nq, "nq/nq-open-oracle.jsonl"),
    "triviaqa": Family(
        *(TriviaQA, records.triviaqa, "triviaqa/validation-00000-of-00001.parquet"),
        hub=("mandarjoshi/trivia_qa", "rc.wikipedia/validation-00000-of-00001.parquet"),
    ),
}


def made(family: Family) -> list[Row]:
    return [family.record(n) for n in range(14)]


def load(family: str, root: Path | None, **card: Any) -> PackedTask:
    card = {"name": f"{family}-10k", "source": family, **card}
    return FAMILIES[family].source().load(TaskCard(**card), Settings(data_dir=root))


@pytest.mark.parametrize("name", FAMILIES)
def test_folder_gz_and_hub_give_identical_contexts(name: str, tmp_path: Path, hub_cache: Path) -> None:
    family = FAMILIES[name]
    rows = made(family)
    records.write(tmp_path / "plain", family.file, rows)
    records.write(tmp_path / "shuffled", family.file, rows[::-1])
    tasks = [load(name, tmp_path / folder, documents=12) for folder in ("plain", "shuffled")]
    if not family.file.endswith(".parquet"):
        records.write(tmp_path / "zipped", f"{family.file}.gz", rows)
        tasks.append(load(name, tmp_path / "zipped", documents=12))
        assert tasks[2].data == tasks[0].data
    repository, file = family.hub
    if repository:
        path = placed(hub_cache, repository, file)
        records.write(path.parent, path.name, list(map(family.row, rows)))
        hub = load(name, None, documents=12)
        assert (hub.data["files"][0]["hub"], hub.data["files"][0]["revision"]) == (repository, REVISION)
        tasks.append(hub)
    first = everything(tasks[0])
    assert len(first) == 14
    for task in tasks[1:]:
        assert everything(task) == first
        assert task.data["corpus"] == tasks[0].data["corpus"]


@pytest.mark.parametrize("name", FAMILIES)
def test_with_no_data_one_line_names_every_remedy(name: str, tmp_path: Path, hub_cache: Path) -> None:
    source = FAMILIES[name].source
    for folder, place in ((tmp_path, str(tmp_path)), (None, "--data-dir DIR (or set MEMEVAL_DATA)")):
        with pytest.raises(UsageError) as caught:
            load(name, folder, name=f"{name}-100k@hard")
        message = str(caught.value)
        assert "\n" not in message
        online = (
            (*source.file.hub, "from the Hugging Face hub") if source.file.hub else (source.file.url, "memeval data fetch")
        )
        for part in (*source.file.names, place, *online, "synth-10k"):
            assert part in message


@pytest.mark.parametrize("name", FAMILIES)
@pytest.mark.parametrize(("length", "documents"), [("10k", 50), ("30k", 200), ("100k", 800), ("1m", 6400)])
def test_cards(name: str, length: str, documents: int) -> None:
    card = plugins.find_task(f"{name}-{length}")
    assert (card.documents, card.headline, card.chunk_tokens, card.cluster) == (documents, "f1", 2048, "question")
    assert card.questions == 128
    assert plugins.source(card) is FAMILIES[name].source
    assert card.licence
    assert card.citation
    assert FAMILIES[name].trained_on in ("", *card.trained_on)


@pytest.mark.parametrize(
    ("name", "file", "from_wiki_pool"),
    [
        pytest.param("2wiki", "2wikimultihopqa/dev.json", False, marks=pytest.mark.slow),
        pytest.param("nq", "nq/nq-open-oracle.jsonl", True, marks=pytest.mark.slow),
    ],
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
