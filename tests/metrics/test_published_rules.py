"""Published rules beside ours: where upstream's scripts say something else, and that the twin of each rule says the same.

The examples are those of a comparison with the original code (Mem-alpha 9c0e1f6, MemoryAgentBench 455306d, MemOCR 61ceddf);
the values were worked out from upstream's rules by hand. Rules that are a few lines are written down once more, apart.
"""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memeval.metrics import METRICS, Reply
from memeval.metrics.text import marked_answer
from memeval.task import Question

PERLTQA, BOOKSUM = ";", ", "


def rate(metric: str, prediction: str, *golds: str, **about: object) -> float | None:
    return METRICS[metric](Reply(prediction, Question("q", "?", golds), **about))  # type: ignore[arg-type]


# -- keywords -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("separator", "gold", "prediction", "ours", "published"),
    [
        (PERLTQA, "July 5, 2020", "July 5", 0.0, 0.0),  # without ";" it is one keyword
        (PERLTQA, "July 5, 2020", "on july 5, 2020", 1.0, 1.0),
        (PERLTQA, "music;Art", "Music and art", 1.0, 0.5),  # upstream looks for "music" in the reply as it is
        (PERLTQA, "music; art", "music and art", 1.0, 1.0),
        (PERLTQA, "Music", "MUSIC", 1.0, 1.0),  # of a single keyword both are lowered
        (BOOKSUM, "Anna, war; peace, love", "anna, love", 2 / 3, 2 / 3),  # a ";" belongs to its keyword
        (BOOKSUM, "Anna,love", "Anna, love", 0.0, 0.0),  # a comma without a blank cuts nothing
        (BOOKSUM, "Anna,love", "anna,love", 1.0, 1.0),
        (
            "",
            "Ada;Paris;1984",
            "ada in Paris",
            2 / 3,
            0.0,
        ),  # no separator: what is likely meant
    ],
)
def test_keywords_are_cut_where_the_card_says(
    separator: str, gold: str, prediction: str, ours: float, published: float
) -> None:
    assert rate("keyword_share", prediction, gold, keyword_separator=separator) == pytest.approx(ours)
    assert rate("keyword_share_published", prediction, gold, keyword_separator=separator) == pytest.approx(published)


def upstream_keywords(source: str, gold: str | list[str], reply: str) -> float:
    """`_compute_score` of evaluate_agent_results.py, for two of its sources."""
    if source == "perltqa":
        assert isinstance(gold, str)
        if ";" not in gold:
            return 1.0 if gold.lower() in reply.lower() else 0.0
        several = gold.split(";")
        return sum(1 for one in several if one.lower().strip() in reply) / len(several)
    several = gold if isinstance(gold, list) else gold.split(", ")
    return sum(1 for one in several if one.lower() in reply.lower()) / len(several)


words = st.lists(st.sampled_from(["Ann", "bob", "July 5", "2020", ",", ";", ", ", "; ", " ", "É"]), min_size=1, max_size=8)


@given(words.map("".join), words.map("".join))
def test_the_published_share_is_upstreams(gold: str, reply: str) -> None:
    gold = gold.strip() or "x"  # golds are stripped when they are read
    for source, separator in (("perltqa", PERLTQA), ("booksum", BOOKSUM)):
        assert rate("keyword_share_published", reply, gold, keyword_separator=separator) == pytest.approx(
            upstream_keywords(source, gold, reply)
        )


@given(st.lists(words.map("".join), min_size=2, max_size=4), words.map("".join))
def test_the_published_share_of_a_list_is_upstreams(golds: list[str], reply: str) -> None:
    found = rate("keyword_share_published", reply, *golds, keyword_separator=BOOKSUM)
    assert found == pytest.approx(upstream_keywords("booksum", golds, reply))


# -- MemoryAgentBench ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("prediction", "exact", "boxed"),
    [
        ("43", 1.0, 1.0),
        ("43.", 1.0, 0.0),
        ("(43)", 1.0, 0.0),
        ("**43**", 1.0, 0.0),
        ("43\nbecause it is", 1.0, 0.0),
        ("Let me see.\nAnswer: 43", 1.0, 0.0),
        ("\\boxed{43}", 0.0, 1.0),
        ("label: 43", 0.0, 0.0),  # upstream's README: counted as incorrect
        ("Let me see.\n43", 0.0, 0.0),
        ("", 0.0, 0.0),
    ],
)
def test_labels_by_memoryagentbench_and_by_mem_alpha(prediction: str, exact: float, boxed: float) -> None:
    assert rate("mab_line_exact", prediction, "43") == exact
    assert rate("boxed", prediction, "43") == boxed


@pytest.mark.parametrize(
    ("prediction", "published", "recall"),
    [
        ("Ann kissed Bob, then left.", 1.0, 1.0),
        ("ann kissed bob then left", 1.0, 0.0),  # without its stops
        ("Answer: Ann kissed Bob, then left.", 1.0, 1.0),
        ("It cannot be the dog.\nAnn kissed Bob, then left.", 0.0, 1.0),  # reasons first
        ("The dog barked.\nAnn kissed Bob, then left.\nCy slept.", 0.0, 1.0),  # lists all events
    ],
)
def test_events_by_the_papers_column(prediction: str, published: float, recall: float) -> None:
    assert rate("mab_line", prediction, "Ann kissed Bob, then left.") == published
    assert rate("eventqa_recall", prediction, "Ann kissed Bob, then left.") == recall


def test_the_better_of_reply_and_line() -> None:
    # raw: "paris it is capital of france" (6 tokens, articles dropped) shares 1 of 1: 2 * (1/6) / (7/6) = 2/7; the line: 1
    assert rate("f1", "Paris\nIt is the capital of France.", "Paris") == pytest.approx(2 / 7)
    assert rate("mab_f1", "Paris\nIt is the capital of France.", "Paris") == 1.0
    assert rate("mab_exact_match", "Paris\nIt is the capital of France.", "Paris") == 1.0
    # ROUGE-L keeps articles: 7 tokens, 1 of 1 -> 2 * (1/7) / (8/7) = 1/4
    assert rate("rouge_l", "Paris\nIt is the capital of France.", "Paris") == pytest.approx(1 / 4)
    assert rate("mab_rouge_l", "Paris\nIt is the capital of France.", "Paris") == 1.0
    # where the whole reply is better than its line it counts
    assert rate("mab_f1", "Answer: no\nParis France", "Paris France") == pytest.approx(2 * (2 / 4) / (1.5))


def test_a_detectives_json_counts_for_us_and_not_upstream() -> None:
    reply = '{"answer": "C. The couple", "reasoning": "They were blackmailed."}'
    assert rate("detective_exact_match", reply, "C. The couple") == 1.0
    assert rate("mab_exact_match", reply, "C. The couple") == 0.0


# -- containment either way ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("prediction", "reader", "native"),
    [
        ("\\boxed{Oslo}", 1.0, 1.0),
        ("Therefore, the answer is (Oslo).", 1.0, 1.0),
        ("**the answer is** Oslo", 1.0, 1.0),
        ("Oslo", 1.0, 0.0),  # no mark
        ("It is Oslo. Therefore, the answer is", 1.0, 0.0),  # a mark with nothing behind it
        ("It is Oslo. \\boxed{}", 1.0, 0.0),  # an empty box
        ("\\boxed{Oslo", 1.0, 0.0),  # a box that never closes
        ("\\boxed {Oslo}", 1.0, 1.0),
        ("\\boxed Oslo$ or Paris", 1.0, 1.0),
        ("\\fbox{Oslo}", 1.0, 0.0),  # upstream stops at it
        ("\\boxed{Paris} so the answer is Oslo", 0.0, 1.0),  # MemAgent's mark comes last
        ("It is Bergen. \\boxed{**}", 1.0, 1.0),  # it normalises to nothing, which occurs in every gold
        ("", 0.0, 0.0),
    ],
)
def test_a_native_answer_needs_its_mark(prediction: str, reader: float, native: float) -> None:
    assert rate("substring_two_way", prediction, "Oslo") == reader
    assert rate("substring_two_way", prediction, "Oslo", native=True) == native


@given(st.text("Oslo is.*the_{}", max_size=12))
def test_what_stands_behind_the_only_mark_is_the_answer(text: str) -> None:
    plain = text.replace("{", "").replace("}", "").replace("*", "")
    assert marked_answer(f"So \\boxed{{{plain}}}") == plain
    if "the answer is" not in plain:
        assert marked_answer(f"So the answer is {plain}") == plain.strip().strip(".").strip()
