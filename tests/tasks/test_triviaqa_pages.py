"""Pages cut into passages, and the passage nearest to a question."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from memeval.tasks.triviaqa import LEAST, MOST, nearest, passages


def words(count: int, name: str = "word") -> str:
    return " ".join(f"{name}{n}" for n in range(count))


def texts(text: str) -> list[str]:
    return [passage.text for passage, _ in passages("Title", text)]


def test_paragraphs_stay_whole_and_short_ones_go_with_the_next() -> None:
    long, other = words(40, "a"), words(30, "b")
    assert texts(f"{long}\n\n{other}\n") == [long, other]
    assert texts(f"History\n\n{long}\n") == [f"History\n{long}"]
    assert texts(f"{long}\n\nSee also\nThings") == [f"{long}\nSee also\nThings"]
    assert texts("Only this") == ["Only this"]
    assert texts(" \n\n ") == []


def test_a_long_paragraph_is_cut_between_sentences() -> None:
    sentences = [f"{words(119, f's{n}x')} end." for n in range(5)]
    assert texts(" ".join(sentences)) == [" ".join(sentences[:2]), " ".join(sentences[2:4]), sentences[4]]


def test_a_sentence_that_is_too_long_is_cut_inside() -> None:
    text = words(2 * MOST + 5)
    assert [len(piece.split()) for piece in texts(text)] == [MOST, MOST, 5]


@settings(deadline=None, max_examples=60, derandomize=True)
@given(st.lists(st.integers(0, 700), max_size=12), st.integers(0, 3))
def test_every_word_is_kept_in_order_within_the_bounds(lengths: list[int], seed: int) -> None:
    paragraphs = [
        " ".join(f"w{seed}.{at}.{n}" + ("." if n % 17 == 16 else "") for n in range(size)) for at, size in enumerate(lengths)
    ]
    text = "\n\n".join(paragraphs)
    found = texts(text)
    assert " ".join(found).split() == text.split()
    assert all(len(piece.split()) < MOST + LEAST for piece in found)


def test_the_normalised_text_holds_the_title() -> None:
    ((passage, plain),) = passages("The Río", "It's  the\tlongest.")
    assert (passage.title, passage.text, plain) == ("The Río", "It's  the\tlongest.", "río its longest")


CUTS = [
    *passages(
        "Nile",
        "The Nile is a river in Africa and flows to the sea, says everybody who has been there with open eyes, twice.",
    ),
    *passages(
        "Egypt",
        "Cairo lies on the Nile, which is the longest river of Africa as far as most of the old books are concerned.",
    ),
    *passages(
        "Cairo",
        "Cairo is a city with a museum and very many streets, houses, people, cats, cars and bridges over the river.",
    ),
]


def test_only_passages_with_an_answer_as_whole_tokens_count() -> None:
    assert nearest("Which city has a museum?", ["Cairo"], CUTS) is CUTS[2][0]
    assert nearest("Which city has a museum?", ["Cair"], CUTS) is None
    assert nearest("Which city has a museum?", ["the"], CUTS) is None
    assert nearest("Which city has a museum?", ["Alexandria", "CAIRO!"], CUTS) is CUTS[2][0]
    assert nearest("Anything?", ["x"], []) is None


def test_rare_words_of_the_question_weigh_more() -> None:
    # "longest" stands in one passage of three and weighs ln 3; "river" stands in all and weighs nothing
    assert nearest("What is the longest river?", ["Nile"], CUTS) is CUTS[1][0]


def test_of_equals_the_first() -> None:
    assert nearest("?", ["Nile"], CUTS) is CUTS[0][0]
    assert nearest("river", ["Nile"], CUTS) is CUTS[0][0]
