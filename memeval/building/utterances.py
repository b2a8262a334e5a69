"""Labelled texts from the source data of the test-time-learning sets. Only train files are read: the test questions of
MemoryAgentBench are drawn from the test files (upstream trains on them, which is why those two tasks count as leaked)."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from memeval.building.instances import find
from memeval.data import whole
from memeval.data.fields import text_field
from memeval.errors import UsageError
from memeval.tasks import Settings
from memeval.tasks.base import plain

Facts = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Utterance:
    """A text and its label's name. group: what must not be split between train and validation; the text itself, or the
    abstract it is a sentence of."""

    text: str
    label: str
    group: str


Reader = Callable[[Settings], tuple[list[Utterance], Facts]]


def trec_coarse(settings: Settings) -> tuple[list[Utterance], Facts]:
    """TREC questions, six classes (Li and Roth, COLING 2002). The file is ISO-8859-1, not UTF-8."""
    return _trec(settings, fine=False)


def trec_fine(settings: Settings) -> tuple[list[Utterance], Facts]:
    """The same with the fifty fine classes."""
    return _trec(settings, fine=True)


def _trec(settings: Settings, fine: bool) -> tuple[list[Utterance], Facts]:
    file = find(settings, ["trec/train_5500.label"])
    text, facts = whole.text(file, "iso-8859-1")
    found = []
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip():
            label, _, question = line.strip().partition(" ")
            if not re.fullmatch(r"[A-Z]+:[a-z]+", label) or not question.strip():
                raise UsageError(f"{file.path}: line {number}: '{line[:40]}' is not 'COARSE:fine question'")
            found.append(_utterance(question, label if fine else label.partition(":")[0]))
    return _distinct(found), facts


def nlu(settings: Settings) -> tuple[list[Utterance], Facts]:
    """HWU64 (Liu et al., IWSDS 2019): a CSV with ";"; a label is scenario and intent, 64 of them."""
    file = find(settings, ["nlu_evaluation/trainset.csv"])
    text, facts = whole.text(file)
    found = []
    for place, row in _cells(text, str(file.path), ";"):
        label = f"{text_field(row, 'scenario', place)}_{text_field(row, 'intent', place)}"
        found.append(_utterance(text_field(row, "answer_from_anno", place), label))
    return _distinct(found), facts


def banking77(settings: Settings) -> tuple[list[Utterance], Facts]:
    """banking77 (Casanueva et al., 2020): 77 intents of bank customers."""
    file = find(settings, ["banking77/train.csv"])
    text, facts = whole.text(file)
    found = []
    for place, row in _cells(text, str(file.path), ","):
        found.append(_utterance(text_field(row, "text", place), text_field(row, "category", place)))
    return _distinct(found), facts


def clinc150(settings: Settings) -> tuple[list[Utterance], Facts]:
    """CLINC150 (Larson et al., EMNLP 2019): 150 intents; `train` only, without those out of scope."""
    file = find(settings, ["clinc150/data_full.json"])
    document, facts = whole.json_object(file)
    pairs = document.get("train")
    if not isinstance(pairs, list):
        raise UsageError(f"{file.path}: 'train' is not a list of [text, intent]")
    found = []
    for number, pair in enumerate(pairs):
        if not isinstance(pair, list) or len(pair) != 2 or not all(isinstance(item, str) and item.strip() for item in pair):
            raise UsageError(f"{file.path}: train[{number}] is {repr(pair)[:60]}, expected [text, intent]")
        found.append(_utterance(*pair))
    return _distinct(found), facts


def pubmed_rct(settings: Settings) -> tuple[list[Utterance], Facts]:
    """PubMed RCT (Dernoncourt and Lee, IJCNLP 2017): blocks of `###<id>`, then lines `LABEL<tab>sentence`."""
    file = find(settings, ["pubmed-rct/train.txt", "pubmed_rct/train.txt"])
    text, facts = whole.text(file)
    found: list[Utterance] = []
    abstract = ""
    for number, line in enumerate(text.split("\n"), start=1):
        if line.startswith("###"):
            abstract = line[3:].strip()
        elif line.strip():
            label, tab, sentence = line.partition("\t")
            if not tab or not abstract or not label.isupper() or not sentence.strip():
                raise UsageError(f"{file.path}: line {number}: '{line[:40]}' is not 'LABEL<tab>sentence' below a '###<id>'")
            found.append(Utterance(sentence.strip(), label.strip(), f"abstract {abstract}"))
    return _distinct(found), facts


def _utterance(text: str, label: str) -> Utterance:
    return Utterance(text.strip(), label, text.strip())


def _distinct(found: list[Utterance]) -> list[Utterance]:
    """Each text once; a text with two labels not at all, for no label would be right."""
    labels: dict[str, set[str]] = {}
    for item in found:
        labels.setdefault(plain(item.text).casefold(), set()).add(item.label)
    first: dict[str, Utterance] = {}
    for item in found:
        key = plain(item.text).casefold()
        if len(labels[key]) == 1:
            first.setdefault(key, item)
    return list(first.values())


def _cells(text: str, path: str, delimiter: str) -> Iterator[tuple[str, dict[str, str]]]:
    """Rows of a CSV with a header."""
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    header: list[str] = []
    try:
        for cells in reader:
            place = f"{path}: line {reader.line_num}"
            if not header:
                header = cells
            elif len(cells) != len(header):
                raise UsageError(f"{place}: {len(cells)} cells, expected {len(header)}; a cut or damaged file?")
            else:
                yield place, dict(zip(header, cells, strict=True))
    except csv.Error as error:
        raise UsageError(f"{path}: line {reader.line_num}: not valid CSV ({error})") from None
