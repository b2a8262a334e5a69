"""The pool: what is distinct, what may be drawn, in which order."""

from __future__ import annotations

import random
import subprocess
import sys
from itertools import islice

import numpy as np

from memeval.tasks.base import hash64, normalise
from memeval.tasks.pool import Passage, Pool, keys, mixed, title_key


def drawn(pool: Pool, ranking) -> list[Passage]:
    return [pool.passages[int(index)] for index in ranking]


def test_mixing_is_splitmix64() -> None:
    # the published first outputs of splitmix64 for the seeds 0 and 1234567 (Vigna's splitmix64.c; Rosetta Code)
    assert int(mixed(np.array([0], dtype=np.uint64), 0)[0]) == 0xE220A8397B1DCDAF
    assert int(mixed(np.array([1234567], dtype=np.uint64), 0)[0]) == 6457827717110365317


def test_hashes_are_the_same_in_every_process() -> None:
    code = "from memeval.tasks.pool import hash64; print(hash64('draw', 42, 'q1'))"
    for salt in ("0", "1"):
        done = subprocess.run(
            [sys.executable, "-c", code],
            capture_output=True,
            text=True,
            check=True,
            env={"PYTHONHASHSEED": salt},
        )
        assert int(done.stdout) == hash64("draw", 42, "q1")
    assert hash64("ab", "c") != hash64("a", "bc")


def test_distinct_in_title_order_with_blanks_normalised() -> None:
    pool = Pool([Passage("B", "b  b"), Passage("A", "two"), Passage("B", "b b"), Passage("A", "one"), Passage(" B", "b b ")])
    assert [(item.title, item.text) for item in pool.passages] == [("A", "one"), ("A", "two"), ("B", "b  b")]


def test_the_digest_knows_the_passages_and_not_their_order() -> None:
    items = [Passage(f"t{n}", f"text {n}") for n in range(20)]
    mixed_up = random.Random(1).sample(items, 20)
    assert Pool(items).digest == Pool(mixed_up).digest
    assert Pool(items).digest == Pool(items, [Passage("filler", "more")]).digest
    assert Pool(items).digest != Pool(items[1:]).digest


def test_no_title_of_the_question_is_drawn() -> None:
    pool = Pool(
        [
            Passage(title, f"text of {n}")
            for n, title in enumerate(["Gold", "gold ", "GOLD  Coast", "Ring", "Excluded", "Straße"])
        ]
    )
    own = (Passage("gold", "its own text"), Passage("STRASSE", "street"))
    assert title_key(" Straße ") == title_key("STRASSE")
    rest = drawn(pool, pool.ranking(1, own, ["excluded"]))
    assert {item.title for item in rest} == {"GOLD  Coast", "Ring"}


def test_passages_without_a_title_are_told_apart_by_text() -> None:
    pool = Pool([Passage("", "one"), Passage("", "two")])
    assert drawn(pool, pool.ranking(1, (Passage("", "one"),))) == [Passage("", "two")]


def test_filler_comes_last_and_never_twice_an_article() -> None:
    pool = Pool(
        [Passage(f"p{n}", "x") for n in range(30)], [Passage(f"f{n}", "x") for n in range(30)] + [Passage("P3", "other")]
    )
    assert (pool.size, len(pool)) == (30, 60)
    order = drawn(pool, pool.ranking(7, ()))
    assert {item.title[0] for item in order[:30]} == {"p"}
    assert {item.title[0] for item in order[30:]} == {"f"}


def test_ranking_is_per_salt_and_independent_of_the_rest_of_the_pool() -> None:
    items = [Passage(f"t{n}", f"text {n}") for n in range(200)]
    small, large = Pool(items[:100]), Pool(items)
    first = drawn(small, small.ranking(5, ()))
    assert [item for item in drawn(large, large.ranking(5, ())) if item in set(items[:100])] == first
    assert drawn(small, small.ranking(6, ())) != first


def test_every_passage_is_drawn_about_equally_often() -> None:
    pool = Pool([Passage(f"t{n}", f"text {n}") for n in range(50)])
    counts = np.zeros(50)
    for salt in range(2000):
        counts[list(islice(pool.ranking(hash64("draw", salt), (), expected=10), 10))] += 1
    # each is drawn with p = 1/5: 400 times, standard deviation 18
    assert counts.min() > 400 - 5 * 18
    assert counts.max() < 400 + 5 * 18


def test_nearest_ranks_by_overlap_and_refuses_what_holds_an_answer() -> None:
    others = [Passage(f"Other {n}", f"Nothing in common with {n}.") for n in range(20)]
    pool = Pool(
        [
            *others,
            Passage("Lake", "The deep lake lies in the north of Veldania."),
            Passage("River", "The river of Veldania is long and deep."),
            Passage("Town", "A town on the deep lake, founded by Orrin Tal, in Veldania."),
            Passage("Talent", "Orrin Talent sang of the lake."),
        ]
    )
    ranking = list(pool.ranking(3, ()))
    titles = [pool.passages[i].title for i in pool.nearest(ranking, "deep lake north Veldania", ["orrin  TAL."])]
    assert titles[0] == "Lake"
    assert "Town" not in titles
    assert "Talent" in titles  # whole tokens: "Orrin Talent" does not hold "Orrin Tal"
    assert set(titles[:3]) == {"Lake", "River", "Talent"}
    assert sorted(titles[3:]) == sorted(item.title for item in others)


def test_nearest_keeps_filler_behind_the_pool() -> None:
    pool = Pool([Passage("a", "nothing"), Passage("b", "none")], [Passage("c", "deep lake"), Passage("d", "deep")])
    found = [pool.passages[i].title for i in pool.nearest(pool.ranking(1, ()), "deep lake", [])]
    assert set(found[:2]) == {"a", "b"}
    assert found[2:] == ["c", "d"]


def test_normalisation_is_squads() -> None:
    assert normalise("The  Man, a plan: an  (Egg)!") == "man plan egg"


def test_keys_ignore_blanks_only() -> None:
    one, two, three = keys([Passage("A  b", "c\nd"), Passage("A b", "c d"), Passage("A b", "C d")])
    assert one == two != three
