"""ROUGE-L and its stemmer against frozen values of the packages rouge-score 0.1.2 and nltk 3.10.4.

rouge_reference.json: stems of words that reach every rule of the stemmer, and 250 random pairs
[prediction, gold, rougeL f-measure with use_stemmer=True].
"""

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from memeval.metrics import Reply, score
from memeval.metrics.porter import stem
from memeval.metrics.rouge import longest_common, rouge_l_f1, rouge_tokens
from memeval.task import Question

REFERENCE = json.loads((Path(__file__).parent / "rouge_reference.json").read_text(encoding="utf-8"))
TOKENS = st.lists(st.sampled_from("abcd"), max_size=25)


def test_words_of_three_letters_are_not_stemmed():
    assert rouge_tokens("Gas was in cats") == ["gas", "was", "in", "cat"]


def test_stems_agree_with_nltk():
    assert len(REFERENCE["stems"]) > 100
    assert {word: stem(word) for word in REFERENCE["stems"]} == REFERENCE["stems"]


@pytest.mark.parametrize("word", ["", "a", "is", "by"])
def test_the_shortest_words_stay(word):
    assert stem(word) == word


def test_250_pairs_agree_with_rouge_score():
    assert len(REFERENCE["pairs"]) == 250
    for prediction, gold, expected in REFERENCE["pairs"]:
        assert rouge_l_f1(prediction, gold) == pytest.approx(expected, abs=1e-6), (prediction, gold)


def test_rouge_l_worked_by_hand():
    # "the quick brown fox" against "the brown quick fox": three tokens in order, 3 of 4 on both sides
    assert rouge_l_f1("the quick brown fox", "the brown quick fox") == pytest.approx(0.75)
    assert rouge_l_f1("", "fox") == rouge_l_f1("fox", "…") == 0.0
    assert rouge_tokens("Running, ran: co-op's CAFÉ 12") == ["run", "ran", "co", "op", "s", "caf", "12"]


def test_the_best_gold_counts_and_unanswerable_questions_are_left_out():
    question = Question("q", "?", ("red fox", "blue whale"))
    assert score(["rouge_l"], Reply("a blue whale", question)) == {"rouge_l": pytest.approx(0.8)}
    assert score(["rouge_l"], Reply("x", Question("q", "?", ("x",), answerable=False))) == {"rouge_l": None}


def quadratic(left, right):
    table = [0] * (len(right) + 1)
    for token in left:
        previous = 0
        for index, other in enumerate(right, start=1):
            previous, table[index] = table[index], previous + 1 if token == other else max(table[index], table[index - 1])
    return table[-1]


@settings(deadline=None, max_examples=300, derandomize=True)
@given(TOKENS, TOKENS)
def test_the_bit_parallel_length_is_the_table_s(left, right):
    assert longest_common(left, right) == quadratic(left, right) == longest_common(right, left)
