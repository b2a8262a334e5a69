"""recall@k and the reciprocal rank against gold units. Expected values by hand."""

from __future__ import annotations

from fractions import Fraction

import pytest

from memeval.agent import Item
from memeval.metrics import METRICS, Reply, score, with_retrieval
from memeval.metrics.evidence import RETRIEVAL
from memeval.records.rows import EvidenceRow
from memeval.task import Question

HOP = Question("q", "Where was the author of The Bright Thimble born?", ("Arlen",))
BORN = EvidenceRow(text="Ann Lee was born in Arlen.", titles=("Ann Lee",), units=(4,), chunks=("c1",))
GREW = EvidenceRow(text="Ann Lee grew up in Arlen Hill.", titles=("Ann Lee",), units=(4,), chunks=("c9",))
WROTE = EvidenceRow(text="The Bright Thimble was written by Ann Lee.", units=(7,), chunks=("c2",))
NOISE = [Item(f"Noise {number}", (f"c{number + 3}",), score=1.0) for number in range(9)]
HOLDS_BORN, HOLDS_WROTE = Item(BORN.text, ("c1",), score=2.0), Item(WROTE.text, ("c2",), score=2.0)


def scores(items: list[Item] | None, evidence: tuple[EvidenceRow, ...] = (BORN, WROTE)) -> tuple[float | None, ...]:
    """(recall, recall@1, recall@5, reciprocal rank)"""
    recalled = None if items is None else tuple(items)
    return tuple(score(RETRIEVAL, Reply("x", HOP, recalled, evidence)).values())


@pytest.mark.parametrize(
    ("items", "expected"),
    [
        ([HOLDS_BORN, HOLDS_WROTE], (1, Fraction(1, 2), 1, 1)),
        ([NOISE[0], NOISE[1], HOLDS_WROTE], (Fraction(1, 2), 0, Fraction(1, 2), Fraction(1, 3))),
        ([*NOISE[:4], HOLDS_BORN, HOLDS_WROTE], (1, 0, Fraction(1, 2), Fraction(1, 5))),
        ([*NOISE[:5], HOLDS_WROTE, HOLDS_BORN], (1, 0, 0, Fraction(1, 6))),
        ([HOLDS_WROTE, HOLDS_WROTE], (Fraction(1, 2), Fraction(1, 2), Fraction(1, 2), 1)),
        (NOISE, (0, 0, 0, 0)),
    ],
)
def test_against_two_gold_units(items: list[Item], expected: tuple[Fraction, ...]) -> None:
    assert scores(items) == pytest.approx(tuple(map(float, expected)))


def test_a_unit_is_found_when_every_piece_of_it_is_held() -> None:
    assert scores([HOLDS_BORN, HOLDS_WROTE], (BORN, GREW, WROTE)) == (0.5, 0.0, 0.5, 1.0)  # two units, not three pieces
    both = [HOLDS_BORN, Item(GREW.text, ("c9",), score=1.0), HOLDS_WROTE]
    assert scores(both, (BORN, GREW, WROTE)) == (1.0, 0.0, 1.0, 1.0)


def test_what_is_not_ranked_has_no_rank() -> None:
    """A long-context agent recalls in the order of the stream: its items have no scores."""
    plain = [Item(item.text, item.chunks) for item in (NOISE[0], HOLDS_BORN, HOLDS_WROTE)]
    assert scores(plain) == (1.0, None, None, None)


def test_without_evidence_a_recall_or_a_trace_there_is_no_value() -> None:
    nothing = (None, None, None, None)
    assert scores(None) == scores([HOLDS_BORN], ()) == nothing
    assert scores([HOLDS_BORN], (EvidenceRow(text="Ann Lee was born in Arlen."),)) == nothing  # in no chunk
    assert scores([Item(BORN.text, ("c1", "c5", "c6", "c7"), score=1.0), HOLDS_WROTE]) == nothing


def test_a_card_that_asks_about_evidence_asks_about_retrieval() -> None:
    assert with_retrieval(("f1", "evidence_any")) == ("f1", "evidence_any", *RETRIEVAL)
    assert with_retrieval(("f1", "evidence_mrr")).count("evidence_mrr") == 1
    assert with_retrieval(("f1", "letter")) == ("f1", "letter")
    assert METRICS.keys() >= set(RETRIEVAL)
