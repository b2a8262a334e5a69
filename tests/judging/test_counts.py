"""Parsing the reply of a judge that counts, and the score computed from it."""

from __future__ import annotations

import json

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from memeval.judging.prompts import FLUENCY, PRECISION, RECALL, SENTENCES
from memeval.judging.shares import summary_shares
from memeval.judging.verdict import read_counts

KEYPOINTS = 8

# aspect, reply -> what is read
READ = [
    (FLUENCY, '{"fluency": 1}', {FLUENCY: 1}),
    (FLUENCY, 'It repeats itself.\n{"fluency": 0}', {FLUENCY: 0}),
    (FLUENCY, '```json\n{"fluency": 1}\n```', {FLUENCY: 1}),
    (FLUENCY, 'Output: {"fluency": 1}.', {FLUENCY: 1}),
    (FLUENCY, '{"fluency": 1}<|im_end|>', {FLUENCY: 1}),
    (FLUENCY, 'Not {"fluency": 0}, for it reads well: {"fluency": 1}', {FLUENCY: 1}),
    (FLUENCY, '{"fluency": 1}\n{"fluency": 1}', {FLUENCY: 1}),
    (RECALL, '1: told. 2: not.\n{"supported_key_points": [1, 3, 8], "recall": 3}', {RECALL: 3}),
    (RECALL, '{"recall": 0}', {RECALL: 0}),
    (RECALL, '{"recall": 8}', {RECALL: 8}),
    (RECALL, '{\n  "recall": 5,\n  "supported_key_points": [1, 2]\n}', {RECALL: 5}),  # upstream reads the number alone
    (PRECISION, '{"precision": 5, "sentence_count": 15}', {PRECISION: 5, SENTENCES: 15}),
    (PRECISION, '{"sentence_count": 3, "precision": 3}', {PRECISION: 3, SENTENCES: 3}),
    (PRECISION, '{"precision": 0, "sentence_count": 0}', {PRECISION: 0, SENTENCES: 0}),
]

UNREADABLE = [
    (FLUENCY, ""),
    (FLUENCY, "1"),
    (FLUENCY, "fluency: 1"),
    (FLUENCY, '{"fluency": 2}'),
    (FLUENCY, '{"fluency": -1}'),
    (FLUENCY, '{"fluency": true}'),
    (FLUENCY, '{"fluency": 1.0}'),
    (FLUENCY, '{"fluency": 0.5}'),
    (FLUENCY, '{"fluency": "1"}'),
    (FLUENCY, '{"fluency": null}'),
    (FLUENCY, '{"Fluency": 1}'),
    (FLUENCY, "{'fluency': 1}"),
    (FLUENCY, '{"fluency": 1'),
    (FLUENCY, '{"fluency": 1} {'),
    (FLUENCY, '}{"fluency": 1'),
    (FLUENCY, '{"fluency": 1, }'),
    (FLUENCY, '{"fluency": 1, "fluency": 0}'),
    (FLUENCY, '{"fluency": 1, "fluency": 1}'),
    (FLUENCY, '{"result": {"fluency": 1}}'),
    (FLUENCY, '{"fluency": 1}\nNo, on second thoughts it is 0.'),
    (FLUENCY, '{"fluency": 0}\n{"fluency": 1}'),
    (FLUENCY, 'One of {"fluency": 0} or {"fluency": 1}'),
    (FLUENCY, '{"fluency": 1}\n\n```\n{"fluency": 0}\n```'),
    (FLUENCY, '{"recall": 1}'),
    (FLUENCY, '[{"fluency": [1]}]'),
    (RECALL, '{"recall": 9}'),
    (RECALL, '{"recall": -1}'),
    (RECALL, '{"recall": 3.0}'),
    (RECALL, '{"recall": "3"}'),
    (RECALL, '{"recall": "3 of 8"}'),
    (RECALL, '{"recall": [1, 2, 3]}'),
    (RECALL, '{"recall": NaN}'),
    (RECALL, '{"recall": Infinity}'),
    (RECALL, '{"recall": 3/8}'),
    (RECALL, '{"supported_key_points": [1, 2]}'),
    (RECALL, "{" * 5000),
    (RECALL, '{"recall": ' + "9" * 5000 + "}"),
    (RECALL, '{"recall": ' + "[" * 5000 + "]" * 5000 + "}"),
    (PRECISION, '{"precision": 5}'),
    (PRECISION, '{"sentence_count": 5}'),
    (PRECISION, '{"precision": 6, "sentence_count": 5}'),
    (PRECISION, '{"precision": -1, "sentence_count": 5}'),
    (PRECISION, '{"precision": 0, "sentence_count": -5}'),
    (PRECISION, '{"precision": 3, "sentence_count": true}'),
    (PRECISION, '{"precision": 0.6, "sentence_count": 5}'),
    (PRECISION, '{"precision": 5, "sentence_count": "5"}'),
]


@pytest.mark.parametrize(("aspect", "reply", "counts"), READ)
def test_counts_are_read(aspect: str, reply: str, counts: dict[str, int]) -> None:
    assert read_counts(aspect, reply, KEYPOINTS) == counts


@pytest.mark.parametrize(("aspect", "reply"), UNREADABLE)
def test_what_states_no_count(aspect: str, reply: str) -> None:
    assert read_counts(aspect, reply, KEYPOINTS) is None


def test_only_the_end_of_a_long_reply_is_read() -> None:
    assert read_counts(RECALL, "x " * 100_000 + '{"recall": 2}', KEYPOINTS) == {RECALL: 2}
    assert read_counts(RECALL, '{"recall": 2}' + " " * 100_000, KEYPOINTS) is None


PIECES = st.sampled_from(
    [
        *'{}[],: \n`"',
        '"recall"',
        '"precision"',
        '"sentence_count"',
        '"fluency"',
        "1",
        "3",
        "-2",
        "9",
        "2.0",
        "true",
        "or",
        "no",
    ]
)


@settings(deadline=None, max_examples=400, derandomize=True)
@given(st.sampled_from([FLUENCY, RECALL, PRECISION]), st.lists(PIECES, max_size=14).map("".join) | st.text(max_size=40))
@example(PRECISION, '{"precision":3,"sentence_count":3}')
def test_whatever_is_read_is_in_bounds(aspect: str, reply: str) -> None:
    """No reply raises, and none makes a share outside [0, 1]."""
    counts = read_counts(aspect, reply, KEYPOINTS)
    if counts is None:
        return
    assert all(type(value) is int for value in counts.values())
    made = summary_shares({FLUENCY: 1, RECALL: 1, PRECISION: 1, SENTENCES: 1, **counts}, KEYPOINTS)
    assert all(0 <= value <= 1 for value in made.values())


@settings(deadline=None, max_examples=200, derandomize=True)
@given(st.integers(0, 1), st.integers(0, 40), st.integers(0, 40), st.text(alphabet="ab1.\n{", max_size=30))
def test_what_a_judge_states_is_what_is_read(fluency: int, part: int, whole: int, before: str) -> None:
    stated = {
        FLUENCY: {"fluency": fluency},
        RECALL: {"recall": min(part, KEYPOINTS)},
        PRECISION: {"precision": min(part, whole), "sentence_count": whole},
    }
    for aspect, counts in stated.items():
        assert read_counts(aspect, f"{before}\n{json.dumps(counts)}\n", KEYPOINTS) == counts


# fluency, keypoints told of how many, sentences borne out of how many -> recall, precision, the score: by hand
WORKED = [
    ((1, 2, 26, 10, 22), (1 / 13, 5 / 11, 5 / 38)),  # upstream's first example: 2 * 5/143 / (76/143) = 10/76
    ((1, 4, 8, 5, 15), (1 / 2, 1 / 3, 2 / 5)),  # 2 * 1/6 / (5/6) = 2/5
    ((0, 4, 8, 5, 15), (1 / 2, 1 / 3, 0.0)),
    ((1, 8, 8, 3, 3), (1.0, 1.0, 1.0)),
    ((1, 0, 8, 5, 5), (0.0, 1.0, 0.0)),
    ((1, 8, 8, 0, 5), (1.0, 0.0, 0.0)),
    ((1, 0, 8, 0, 5), (0.0, 0.0, 0.0)),
    ((1, 8, 8, 0, 0), (1.0, 0.0, 0.0)),  # no sentences: upstream's 0
    ((1, 0, 0, 5, 5), (0.0, 1.0, 0.0)),  # no keypoints: upstream's 0
]


@pytest.mark.parametrize(("counted", "expected"), WORKED)
def test_the_score(counted: tuple[int, ...], expected: tuple[float, ...]) -> None:
    fluency, told, keypoints, borne, sentences = counted
    made = summary_shares({FLUENCY: fluency, RECALL: told, PRECISION: borne, SENTENCES: sentences}, keypoints)
    assert (made["recall"], made["precision"], made["judge"]) == pytest.approx(expected)
    assert made["fluency"] == fluency
