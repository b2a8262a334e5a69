"""Overlap of streams, by hand."""

import pytest

from memeval.runs.overlap import Overlap


def test_by_hand() -> None:
    overlap = Overlap()
    assert overlap.share is None
    overlap.add([1, 2, 3, 3])  # a unit that stands twice in a stream counts once
    assert overlap.share is None
    overlap.add([3, 4])
    # pairs (first, second): 1 of 3 shared, 1 of 2 shared; over all units of both: 2 of 5
    assert overlap.share == pytest.approx(2 / 5)
    overlap.add([5])
    # each unit's chance to be in one other stream: unit 3 is in 1 of 2 others, twice; 2 * 1/2 of 6 units
    assert overlap.share == pytest.approx(1 / 6)


def test_disjoint_and_equal() -> None:
    apart, same = Overlap(), Overlap()
    for number in range(4):
        apart.add([number])
        same.add([1, 2])
    assert apart.share == 0.0
    assert same.share == 1.0
