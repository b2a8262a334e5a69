"""long-context, recent, random-k and the agents that retrieve: they keep chunks as they are."""

from __future__ import annotations

import copy

import pytest

from memeval.agent import Chunk, Item, Query, Recall
from memeval.agents.iterative import Iterative
from memeval.agents.long_context import LongContext
from memeval.agents.rag import BM25, Dense, Hybrid
from memeval.agents.recent import RandomK, Recent
from memeval.agents.writers import Writer
from memeval.errors import UsageError
from memeval.memory.entries import Entries

AGENTS = [LongContext, BM25, Recent, RandomK, Dense, Hybrid, Iterative]
TEXTS = ["Ann flew to Oslo", "Bob cooks", "rain in Oslo and in Rome", "Cid sails", "Dora paints", "Eve sings", "Finn naps"]


def fed(bench, agent, texts: list[str] = TEXTS, budget: int = 30_000, seed: int = 11):
    agent.begin(bench.session(budget, seed=seed))
    for number, text in enumerate(texts):
        bench.run(agent.observe(Chunk(f"c{number:05d}", text, None, len(text.split()))))
    return agent


def numbers(recall: Recall) -> list[int]:
    assert all(item.chunks == (item.id,) for item in recall.items)
    return [int(item.id[1:]) for item in recall.items]


@pytest.mark.parametrize(
    ("budget", "expected"),
    [
        (100, [6, 5, 4, 3, 2, 1, 0]),
        (16, [6, 5, 4, 3, 2, 1]),
        (15, [6, 5, 4, 3, 2]),
        (14, [6, 5, 4, 3, 2]),
        (13, [6, 5, 4, 3]),
        (1, [6]),
    ],
)
def test_long_context_keeps_the_newest_whole_chunks_within_the_budget(bench, budget: int, expected: list[int]) -> None:
    # words per chunk: 4 2 6 2 2 2 2, so the last five hold 14 and the last six 16
    agent = fed(bench, LongContext(), budget=budget)
    recall = agent.recall(Query("who sails?"))
    assert numbers(recall) == expected
    assert recall.order == "stream"
    assert recall.items[0].text == "Finn naps"
    assert agent.memory().tokens == {"stream": 20}


SIZES = [4, 2, 6, 2, 2, 2, 2]  # words of each chunk, 20 in all


@pytest.mark.parametrize(
    ("cut", "budget", "ranked"),
    [
        ("tail", 12, [0, 1, 2]),
        ("tail", 1, [0]),
        # the newest first, then the oldest, then always the side of which fewer words were taken
        ("middle", 6, [6, 0]),
        ("middle", 9, [6, 0, 5]),
        ("middle", 12, [6, 0, 5, 4, 1]),
        ("middle", 14, [6, 0, 5, 4, 1, 3]),
        ("middle", 100, [6, 0, 5, 4, 1, 3, 2]),
    ],
)
def test_a_cut_keeps_the_other_parts_of_the_stream(bench, cut: str, budget: int, ranked: list[int]) -> None:
    recall = fed(bench, LongContext(cut), budget=budget).recall(Query("who sails?"))
    assert numbers(recall) == ranked
    assert recall.order == "stream"
    assert sum(SIZES[number] for number in ranked) <= max(budget, 4)


def test_a_cut_has_one_of_three_names() -> None:
    with pytest.raises(UsageError, match="^long-context: 'cut' is 'end'.* .known: head, middle, tail.$"):
        LongContext("end")


def test_bm25_recalls_the_best_chunks_first(bench) -> None:
    recall = bench.run(fed(bench, BM25()).recall(Query("Where does Cid sail in Oslo?")))
    # by hand: "in" and "Cid" are in one chunk each, "Oslo" in two; "in" twice in chunk 2, whose idf equals that of "Cid"
    assert numbers(recall) == [2, 3]
    assert recall.order == "rank"
    assert recall.items[0].score > recall.items[1].score > 0


def test_bm25_fills_up_in_order_of_the_stream(bench) -> None:
    assert numbers(bench.run(fed(bench, BM25(k=3)).recall(Query("Eve")))) == [5, 0, 1]
    assert numbers(bench.run(fed(bench, BM25(k=9)).recall(Query("")))) == [0, 1, 2, 3, 4, 5, 6]
    assert bench.run(fed(bench, BM25(), []).recall(Query("Eve"))) == Recall()


def test_recent_holds_only_the_last_chunks(bench) -> None:
    agent = fed(bench, Recent(k=3))
    assert numbers(agent.recall(Query("Oslo"))) == [6, 5, 4]
    assert agent.recall(Query("Oslo")).order == "stream"
    assert agent.memory().tokens == {"stream": 6}
    assert [chunk.text for chunk in agent.chunks] == TEXTS[-3:]
    assert numbers(fed(bench, Recent(k=9)).recall(Query("Oslo"))) == [6, 5, 4, 3, 2, 1, 0]


def test_random_k_draws_by_seed_and_question_alone(bench) -> None:
    texts = [f"text {n}" for n in range(60)]
    agent, other = fed(bench, RandomK(), texts), fed(bench, RandomK(), texts, seed=12)
    draws = [tuple(numbers(agent.recall(Query(f"question {n}")))) for n in range(200)]
    assert all(len(set(draw)) == 5 for draw in draws)
    assert draws == [tuple(numbers(agent.recall(Query(f"question {n}")))) for n in range(200)]
    assert numbers(other.recall(Query("question 0"))) != list(draws[0])
    # 1000 draws from 60 chunks: each is expected 16.7 times, standard deviation 4
    counts = [sum(number in draw for draw in draws) for number in range(60)]
    assert 2 <= min(counts) <= max(counts) <= 33


def test_random_k_of_a_smaller_k_is_part_of_a_larger(bench) -> None:
    texts = [f"text {n}" for n in range(60)]
    for question in ("a", "b", "lone \ud800 surrogate"):
        small, large = (numbers(fed(bench, RandomK(k), texts).recall(Query(question))) for k in (3, 20))
        assert large[:3] == small


def test_a_writer_by_rule_takes_one_word_as_a_word(bench) -> None:
    agent = fed(bench, Writer(words="owns"), ["Ann owns a boat\nBo was so shown", "Cid owns a dog"])
    assert [item.text for item in agent.recall(Query("")).items] == ["Cid owns a dog", "Ann owns a boat"]


@pytest.mark.parametrize(("params", "words"), [({"share": 1.5}, "'share' is 1.5"), ({"capacity": -1}, "'capacity' is -1")])
def test_wrong_parameters_of_a_writer_are_one_line(params: dict, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        Writer(**params)


def test_no_chunk_at_all_is_no_number_of_chunks() -> None:
    for agent, name in ((Recent, "recent"), (RandomK, "random-k")):
        with pytest.raises(UsageError, match=f"^{name}: 'k' is 0, expected a whole number >= 1$"):
            agent(k=0)


@pytest.mark.parametrize("agent", AGENTS)
def test_a_fork_is_an_agent_that_saw_the_prefix(bench, agent: type) -> None:
    bench.vector = lambda text: (text.count("i"), text.count("o"), 1)
    trunk, prefix = fed(bench, agent()), fed(bench, agent())
    branch = trunk.fork(copy.copy(trunk.session))
    last = Chunk("c00090", "Cid flew to Rome in the rain", None, 7)

    def recalls(some, *questions: str) -> list[Recall]:
        return [bench.run(some.recall(Query(text))) for text in questions]

    before = recalls(trunk, "Oslo", "Rome")
    bench.run(branch.observe(last))
    bench.run(prefix.observe(last))
    assert recalls(branch, "Oslo", "Rome", "who sails") == recalls(prefix, "Oslo", "Rome", "who sails")
    assert branch.memory() == prefix.memory()
    assert recalls(trunk, "Oslo", "Rome") == before
    bench.run(trunk.observe(Chunk("c00007", "Gus reads", None, 2)))
    assert "c00007" not in [item.id for recall in recalls(branch, "Gus", "reads") for item in recall.items]


@pytest.mark.parametrize("agent", AGENTS)
def test_tokens_are_counted_where_a_chunk_does_not_say(bench, agent: type) -> None:
    made = agent()
    made.begin(bench.session())
    for number, text in enumerate(TEXTS[:3]):
        bench.run(made.observe(Chunk(f"c{number}", text)))
    assert made.memory().total == 12


@pytest.mark.parametrize(
    ("agent", "name"),
    [
        (BM25, "bm25"),
        (Dense, "dense"),
        (Hybrid, "hybrid"),
        (Iterative, "iterative"),
        (Recent, "recent"),
        (RandomK, "random-k"),
    ],
)
@pytest.mark.parametrize("k", [0, -2, "5", 2.0, True])
def test_a_wrong_k_is_one_line(agent: type, name: str, k: object) -> None:
    with pytest.raises(UsageError, match=f"^{name}: '?k'? is "):
        agent(k=k)


@pytest.mark.parametrize("agent", AGENTS)
def test_what_is_held_is_listed_with_its_chunks(bench, agent: type) -> None:
    made = fed(bench, agent(3) if agent is Recent else agent())
    held = made.memory().entries
    kept = TEXTS[-3:] if agent is Recent else TEXTS
    assert [(item.text, item.chunks) for item in held] == [
        (text, (f"c{number:05d}",)) for number, text in enumerate(TEXTS) if text in kept
    ]
    assert len(held) == len(kept)
    assert sum(len(item.text.split()) for item in held) == made.memory().total


def test_entries_are_made_only_when_they_are_read() -> None:
    made: list[int] = []
    entries = Entries(lambda: [made.append(1), Item("a", ("c1",))][1:])
    assert made == []
    assert (entries[0].text, len(entries), entries[:1], made) == ("a", 1, [Item("a", ("c1",))], [1])
