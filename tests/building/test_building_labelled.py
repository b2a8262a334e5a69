"""Streams of numbered examples: readers of the five data sets, labels, held-out questions, and the real slices."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any

import pytest

from memeval import building, plugins, tokens
from memeval.building import TRAIN, VALIDATION, Built, Recipe, utterances
from memeval.building.labelled import FAMILIES
from memeval.errors import UsageError
from memeval.tasks import Settings
from memeval.tasks.memalpha import MemAlphaSets, parse

COLOURS = ("BLUE", "GREEN", "RED")


def trec(root: Path, texts: int = 900) -> Settings:
    """Lines in upstream's form and encoding; class 0 (of COLOURS) is every third."""
    lines = [f"{COLOURS[n % 3]}:{'deep' if n % 2 else 'pale'} What is number {n} of the café ?" for n in range(texts)]
    (root / "trec").mkdir(parents=True, exist_ok=True)
    (root / "trec" / "train_5500.label").write_bytes("\n".join(lines).encode("iso-8859-1"))
    return Settings(data_dir=root)


def shown(text: str) -> list[tuple[str, str]]:
    return re.findall(r"Sentence: (.*)\nLabel: (\d+)", text)


def checked(part: Built, questions: int) -> None:
    """Ten dated chunks; no asked text among the examples; every asked label has an example; the source reads the rows."""
    for item, row in zip(part.instances, part.rows(), strict=True):
        assert len(item.chunks) == 10
        examples = [pair for text in item.chunks for pair in shown(text)]
        labels = item.facts["labels"]
        assert list(labels) == sorted(labels)
        assert list(labels.values()) == [str(number) for number in range(len(labels))]
        asked = [re.findall(r"Sentence: (.*)\n", one["question"])[0] for one in item.questions]
        assert len(set(asked)) == len(asked) <= questions
        assert not {text for text, _ in examples} & set(asked)
        assert {one["answer"] for one in item.questions} <= {label for _, label in examples}
        assert len(parse(row).units) == 10


def test_trec_streams(tmp_path: Path) -> None:
    settings = trec(tmp_path)
    parts = [
        building.build("trec-c", settings, Recipe(split, 0.5), instances=4, questions=20) for split in (TRAIN, VALIDATION)
    ]
    assert building.shared_content(*parts) == set()
    for part in parts:
        assert len(part.instances) == 4
        checked(part, 20)
        assert {item.data_source for item in part.instances} == {"icl_trec_coarse_6600shot_balance"}
    first = parts[0].instances[0]
    assert first.facts["labels"] == {"BLUE": "0", "GREEN": "1", "RED": "2"}
    gold = {f"What is number {n} of the café ?": str(n % 3) for n in range(900)}
    assert all(gold[text] == label for chunk in first.chunks for text, label in shown(chunk))
    for one in first.questions:
        assert gold[re.findall(r"Sentence: (.*)\n", one["question"])[0]] == one["answer"]
    assert [item.chunks for item in parts[0].instances] != [first.chunks] * 4
    again = building.build("trec-c", settings, Recipe(TRAIN, 0.5), instances=4, questions=20)
    assert again == parts[0]
    fewer = building.build("trec-c", settings, Recipe(TRAIN, 0.5), instances=2, questions=20)
    assert fewer.instances == again.instances[:2]


def test_every_label_is_shown_also_one_that_chance_leaves_out(tmp_path: Path) -> None:
    lines = [f"ALL:common What is number {n} ?" for n in range(4000)] + [f"RARE:seldom Who is rare {n} ?" for n in range(3)]
    (tmp_path / "trec").mkdir()
    (tmp_path / "trec" / "train_5500.label").write_text("\n".join(lines))
    settings = Settings(data_dir=tmp_path)
    part = building.build("trec-c", settings, Recipe(TRAIN, 0.1), instances=12, questions=10)
    checked(part, 10)
    labels = [[label for _, label in shown(text)] for item in part.instances for text in item.chunks]
    for start in range(0, len(labels), 10):
        assert "1" in {label for chunk in labels[start : start + 10] for label in chunk}
    added = [chunk[-1] for chunk in labels[::10]]
    assert added.count("1") >= 6  # most streams are too short to hold one of three by chance


def test_chunk_sizes_follow_the_texts(tmp_path: Path) -> None:
    part = building.build("trec-c", trec(tmp_path, 1000), Recipe(TRAIN, 0.1), instances=1, questions=20)
    count = tokens.counter()
    sizes = [sum(count(text) for text, _ in shown(chunk)) for chunk in part.instances[0].chunks]
    assert all(170 <= size <= 200 for size in sizes)


def pubmed(root: Path, abstracts: int, sentences: int = 10) -> Settings:
    lines = []
    for a in range(abstracts):
        lines += [
            f"###{a}",
            *(f"{'METHODS' if s % 2 else 'RESULTS'}\tSentence {s} of study {a} is plain." for s in range(sentences)),
            "",
        ]
    (root / "pubmed-rct").mkdir(parents=True, exist_ok=True)
    (root / "pubmed-rct" / "train.txt").write_text("\n".join(lines))
    return Settings(data_dir=root)


def test_pubmed_uses_no_text_twice_and_splits_abstracts(tmp_path: Path) -> None:
    settings = pubmed(tmp_path, 600)
    parts = [building.build("pubmed-rct", settings, Recipe(split, 0.5), questions=50) for split in (TRAIN, VALIDATION)]
    assert building.shared_content(*parts) == set()
    abstracts = []
    for part in parts:
        assert 2 <= len(part.instances) < 20  # the texts run out
        checked(part, 50)
        texts = [text for item in part.instances for text in item.content]
        assert len(texts) == len(set(texts))
        abstracts.append({re.findall(r"study (\d+)", text)[0] for text in texts})
    assert not abstracts[0] & abstracts[1]
    count = tokens.counter()
    for text in parts[0].instances[0].chunks:
        assert 1000 <= count(text) <= 2048 + 60


def test_texts_with_two_labels_are_left_out(tmp_path: Path) -> None:
    (tmp_path / "banking77").mkdir()
    rows = [
        "text,category",
        "My card ?,lost",
        "my  CARD ?,found",
        "A loan ?,loan",
        "A loan ?,loan",
        '"Yes, or ""no""?",loan',
    ]
    (tmp_path / "banking77" / "train.csv").write_text("\r\n".join(rows))
    found, facts = utterances.banking77(Settings(data_dir=tmp_path))
    assert [(item.text, item.label) for item in found] == [("A loan ?", "loan"), ('Yes, or "no"?', "loan")]
    assert facts["name"] == "banking77/train.csv"


def test_the_other_readers(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path)
    (tmp_path / "nlu_evaluation").mkdir()
    header = "answerid;scenario;intent;answer_annotation;answer_from_anno;answer_from_user"
    (tmp_path / "nlu_evaluation" / "trainset.csv").write_text(
        f'{header}\n1;alarm;set;"[time: six]";"six; please";"Six; please."\n'
    )
    assert [(item.text, item.label) for item in utterances.nlu(settings)[0]] == [("six; please", "alarm_set")]
    (tmp_path / "clinc150").mkdir()
    (tmp_path / "clinc150" / "data_full.json").write_text(
        json.dumps({"train": [["hi", "greeting"]], "oos_train": [["x", "oos"]]})
    )
    assert [(item.text, item.label) for item in utterances.clinc150(settings)[0]] == [("hi", "greeting")]
    trec(tmp_path, 2)
    assert [item.label for item in utterances.trec_fine(settings)[0]] == ["BLUE:pale", "GREEN:deep"]
    assert utterances.trec_coarse(settings)[0][0].text == "What is number 0 of the café ?"


@pytest.mark.parametrize(
    ("family", "name", "content", "message"),
    [
        ("trec-c", "trec/train_5500.label", b"DESC:def What ?\nno label here", "line 2: 'no label here' is not"),
        ("trec-c", "trec/train_5500.label", b"DESC:def  ", "line 1: 'DESC:def"),
        ("nlu", "nlu_evaluation/trainset.csv", b"scenario;intent\na;b\n", "no field 'answer_from_anno'"),
        ("nlu", "nlu_evaluation/trainset.csv", b"scenario;intent;answer_from_anno\na;b\n", "line 2: 2 cells, expected 3"),
        ("banking77", "banking77/train.csv", b"text,category\ncaf\xe9,x\n", "line 2: not utf-8"),
        ("banking77", "banking77/train.csv", b'text,category\n"open,x\n', "not valid CSV"),
        ("clinc150", "clinc150/data_full.json", b'{"train": [["a"]]}', r"train\[0\] is \['a'\]"),
        ("clinc150", "clinc150/data_full.json", b"[]", "expected a JSON object"),
        ("clinc150", "clinc150/data_full.json", b'{"train": 1}', "'train' is not a list"),
        ("pubmed-rct", "pubmed-rct/train.txt", b"METHODS\tNo abstract above.", "line 1: 'METHODS"),
        ("pubmed-rct", "pubmed-rct/train.txt", b"###1\nno tab", "line 2: 'no tab' is not"),
    ],
)
def test_damaged_files(tmp_path: Path, family: str, name: str, content: bytes, message: str) -> None:
    path = tmp_path / name
    path.parent.mkdir()
    path.write_bytes(content)
    with pytest.raises(UsageError, match=message) as caught:
        building.build(family, Settings(data_dir=tmp_path), Recipe())
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_too_few_texts(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"trec-c: the \d+ texts of the train split are too few for one stream"):
        building.build("trec-c", trec(tmp_path, 100), Recipe())
    with pytest.raises(UsageError, match=r"no data; put nlu_evaluation/trainset\.csv"):
        building.build("nlu", Settings(data_dir=tmp_path), Recipe())


REAL = {"trec-c": 6, "trec-f": 50, "nlu": 64, "banking77": 77, "clinc150": 150}
CARDS = {
    "trec-c": "memalpha-trec-c",
    "trec-f": "memalpha-mab-trec-f",
    "nlu": "memalpha-nlu",
    "banking77": "memalpha-mab-banking77",
    "clinc150": "memalpha-mab-clinic",
    "pubmed-rct": "memalpha-pubmed-rct",
}


def test_a_card_selects_what_each_family_makes() -> None:
    assert set(CARDS) == set(FAMILIES)
    for family, card in CARDS.items():
        assert plugins.find_task(card).params["data_source"] == FAMILIES[family].data_source


@pytest.fixture(scope="module")
def real() -> Path:
    root = Path(os.environ.get("MEMEVAL_DATA") or Path(__file__).parents[3] / "shared" / "data")
    if not (root / "trec" / "train_5500.label").is_file():
        pytest.skip("needs the TREC, NLU, banking77 and CLINC150 slices in MEMEVAL_DATA or ../shared/data")
    return root


@pytest.mark.parametrize("family", REAL)
def test_the_real_slices(family: str, real: Path, tmp_path: Path) -> None:
    settings = Settings(data_dir=real)
    parts: dict[str, Any] = {
        split: building.build(family, settings, Recipe(split), instances=3) for split in (TRAIN, VALIDATION)
    }
    assert building.shared_content(*parts.values()) == set()
    for part in parts.values():
        assert len(part.instances) == 3
        checked(part, 100)
        assert len(part.instances[0].facts["labels"]) == REAL[family]
        assert all(len(item.questions) > 90 for item in part.instances)
    card = plugins.find_task(CARDS[family])
    building.write([parts[VALIDATION]], tmp_path / card.params["files"][0])
    task = MemAlphaSets().load(card, Settings(data_dir=tmp_path))
    assert task.data["contexts"] == 3
