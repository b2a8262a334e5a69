"""PackedTask: order, nesting, hygiene, variants, provenance."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from memeval import tokens
from memeval.cards import TaskCard
from memeval.errors import UsageError
from memeval.task import Context, Question
from memeval.tasks import Settings
from memeval.tasks.chunking import pack
from memeval.tasks.pool import Passage, Pool
from memeval.tasks.streams import Example, PackedTask

POOL = tuple(Passage(f"Title {n}", f"This is text number {n}, about {n * 7 % 13} things.") for n in range(300))


def example(n: int, own: int = 3) -> Example:
    passages = POOL[n * own : (n + 1) * own]
    question = Question(f"q{n}", f"What is number {n}?", (f"answer {n}",), kind="one" if n % 2 else "two")
    return Example(question, passages, ((0, passages[0].text), (own - 1, passages[-1].text)))


EXAMPLES = [example(n) for n in range(24)]


def build(examples: Sequence[Example] = EXAMPLES, pool: Pool | None = None, seed: int = 42, **card: object) -> PackedTask:
    made = pool or Pool(POOL)
    return PackedTask(TaskCard(name="t-10k", source="x", **card), Settings(seed=seed), examples, lambda: made, {"k": "v"})


def first(task: PackedTask, at: int = 0) -> Context:
    return task.context(task.refs([task.order[at]])[0])


def test_the_order_depends_on_ids_and_seed_alone() -> None:
    shuffled = random.Random(3).sample(EXAMPLES, len(EXAMPLES))
    assert build().order == build(shuffled).order
    assert set(build().order) == {f"q{n}" for n in range(24)}
    assert build().order != build(seed=43).order
    assert build().order != sorted(build().order)


def test_golds_are_the_questions_in_order_without_evidence() -> None:
    task = build()
    assert [question.id for question in task.golds()] == list(task.order)
    assert all(question.evidence == () for question in task.golds())
    assert task.golds()[0].answers == (f"answer {task.order[0][1:]}",)


def test_one_stream_per_question_with_its_own_passages_and_so_many_documents() -> None:
    task = build(documents=20)
    for ref in task.refs(task.order):
        context = task.context(ref)
        (question,) = context.questions
        assert (ref.context_id, ref.question_ids, ref.visible_question) == (question.id, (question.id,), None)
        assert (context.id, context.cluster) == (question.id, question.id)
        assert len(context.units) == 20 == len({unit.text for unit in context.units})
        own = EXAMPLES[int(question.id[1:])].own
        assert {item.unit() for item in own} <= set(context.units)
        count = tokens.counter()
        assert context.meta == {
            "documents": 20,
            "tokens": sum(count(unit.render()) for unit in context.units),
            "from_wiki_pool": 0,
        }


def test_evidence_points_at_the_units_that_hold_it() -> None:
    task = build(documents=30)
    for ref in task.refs(task.order):
        context = task.context(ref)
        pieces = context.questions[0].evidence
        assert len(pieces) == 2
        for piece in pieces:
            assert piece.text in context.units[piece.units[0]].text
            assert len(piece.units) == 1


@settings(deadline=None, max_examples=40, derandomize=True)
@given(st.integers(0, 23), st.integers(3, 250), st.integers(0, 60), st.booleans(), st.integers(0, 5))
def test_a_shorter_stream_is_a_subsequence_of_the_longer(at: int, documents: int, more: int, hard: bool, seed: int) -> None:
    short = first(build(documents=documents, hard=hard, seed=seed), at).units
    long = iter(first(build(documents=min(documents + more, 280), hard=hard, seed=seed), at).units)
    assert all(unit in long for unit in short)


@settings(deadline=None, max_examples=40, derandomize=True)
@given(st.integers(0, 23), st.integers(100, 3000), st.integers(0, 1500))
def test_streams_of_tokens_nest_too_and_come_as_near_as_the_next_document_allows(at: int, length: int, more: int) -> None:
    short, long = first(build(tokens=length), at), first(build(tokens=length + more), at)
    rest = iter(long.units)
    assert all(unit in rest for unit in short.units)
    assert short.meta["tokens"] <= length
    longest = max(tokens.counter()(item.unit().render()) for item in POOL)
    assert short.meta["tokens"] > length - longest


def test_streams_and_orders_differ_between_questions_and_seeds() -> None:
    task = build(documents=60)
    one, two = first(task, 0).units, first(task, 1).units
    assert len(set(one) & set(two)) < 40
    common = [unit for unit in one if unit in set(two)]
    assert common != [unit for unit in two if unit in set(one)]
    drawn = [set(build(documents=60, seed=seed).context(ref).units) for seed in (1, 2) for ref in task.refs(["q0"])]
    assert len(drawn[0] & drawn[1]) < 40


def test_own_passages_stand_anywhere_in_the_stream() -> None:
    task = build(documents=60)
    places = [piece.units[0] for ref in task.refs(task.order) for piece in task.context(ref).questions[0].evidence]
    assert min(places) < 15
    assert max(places) > 45
    assert 20 < sum(places) / len(places) < 40


def test_own_passages_stay_where_the_length_is_shorter() -> None:
    assert len(first(build(documents=2)).units) == 3
    assert len(first(build(tokens=5)).units) == 3
    assert len(first(build()).units) == 3


def test_excluded_titles_are_never_drawn() -> None:
    titles = frozenset({" title  40", "TITLE 41"})
    made = Example(EXAMPLES[0].question, EXAMPLES[0].own, (), exclude=titles)
    context = first(build([made], documents=298))
    held = {unit.text.split("\n")[0] for unit in context.units}
    assert len(held) == 298
    assert not held & {"Title 40", "Title 41"}


def test_a_pool_that_is_too_small_is_a_usage_error_with_numbers_and_remedy() -> None:
    with pytest.raises(UsageError, match=r"needs 301 documents, but the pool gives only 300 .*shorter length.*wiki_pool"):
        first(build(documents=301))
    with pytest.raises(UsageError, match=r"needs 99999 tokens, but the pool gives only 300 documents \(\d+ tokens\)"):
        first(build(tokens=99999))
    assert len(first(build(documents=300)).units) == 300


def test_filler_is_used_only_where_the_pool_is_too_small_and_counted() -> None:
    pool = Pool(POOL, [Passage(f"Filler {n}", f"Filler text {n}.") for n in range(50)])
    short, long = first(build(documents=300, pool=pool)), first(build(documents=340, pool=pool))
    assert short.meta["from_wiki_pool"] == 0
    assert long.meta["from_wiki_pool"] == 40
    assert sum(unit.text.startswith("Filler") for unit in long.units) == 40
    rest = iter(long.units)
    assert all(unit in rest for unit in short.units)


def test_hard_takes_the_nearest_without_the_answer() -> None:
    near = [Passage(f"Near {n}", f"Who founded the old mill of Veldania? Note {n}.") for n in range(5)]
    telling = [Passage(f"Telling {n}", f"Orrin Tal founded the old mill of Veldania in {n}.") for n in range(5)]
    alias = [Passage(f"Alias {n}", f"The founder of the old mill of Veldania was O. Tal, note {n}.") for n in range(5)]
    question = Question("q", "Who founded the old mill of Veldania?", ("Orrin Tal",))
    made = Example(question, (Passage("Own", "Orrin Tal founded it."),), ((0, "Orrin Tal founded it."),), hygiene=("O Tal",))
    pool = Pool([*POOL, *near, *telling, *alias])
    context = first(build([made], pool=pool, documents=6, hard=True))
    assert {unit.text.split("\n")[0] for unit in context.units} == {"Own", *(item.title for item in near)}
    largest = first(build([made], pool=pool, documents=306, hard=True))
    assert not any("Tal" in unit.text for unit in largest.units if not unit.text.startswith("Own"))
    with pytest.raises(UsageError):  # the telling ones do not count
        first(build([made], pool=pool, documents=307, hard=True))


def test_hard_does_not_refuse_passages_that_say_no() -> None:
    question = Question("q", "Are there two mills?", ("no",))
    made = Example(question, (Passage("Own", "One mill."),), ((0, "One mill."),))
    context = first(build([made], pool=Pool([Passage("A", "There are no two mills here.")]), documents=2, hard=True))
    assert len(context.units) == 2


def test_shared_streams_hold_all_paragraphs_of_their_questions() -> None:
    task = build(documents=40, shared=5)
    refs = task.refs(task.order)
    assert len(refs) == 5
    assert [question for ref in refs for question in ref.question_ids] == list(task.order)
    for ref in refs:
        context = task.context(ref)
        assert context.id == context.cluster == ref.context_id
        assert [question.id for question in context.questions] == list(ref.question_ids)
        assert len(context.units) == 40
        texts = [unit.text for unit in context.units]
        for question in context.questions:
            own = EXAMPLES[int(question.id[1:])].own
            assert all(item.unit().text in texts for item in own)
            for piece in question.evidence:
                assert piece.text in texts[piece.units[0]]


def test_shared_groups_are_the_same_whatever_is_asked() -> None:
    task = build(documents=40, shared=5)
    whole = task.refs(task.order)
    for end in range(1, 24):
        part = task.refs(task.order[:end])
        assert [ref.context_id for ref in part] == [ref.context_id for ref in whole][: len(part)]
        assert task.context(part[0]) == task.context(whole[0])
        assert all(
            small.question_ids == large.question_ids[: len(small.question_ids)]
            for small, large in zip(part, whole, strict=False)
        )


def test_shared_streams_exclude_the_titles_of_all_and_hold_a_common_paragraph_once() -> None:
    common = Passage("Common", "in both")
    one = Example(Question("a", "?", ("x",)), (common, Passage("A", "a")), ((0, "in both"),), exclude=frozenset({"Title 1"}))
    two = Example(Question("b", "?", ("y",)), (Passage("B", "b"), common), ((1, "in both"),), exclude=frozenset({"Title 2"}))
    context = first(build([one, two], documents=301, shared=2))
    held = [unit.text.split("\n")[0] for unit in context.units]
    assert held.count("Common") == 1
    assert not {"Title 1", "Title 2"} & set(held)
    at = held.index("Common")
    assert [question.evidence[0].units for question in context.questions] == [(at,), (at,)]


def test_a_visible_question_gets_a_stream_of_its_own_to_read() -> None:
    task = build(documents=40, shared=5, query_visible=True)
    refs = task.refs(task.order[:6])
    assert [ref.visible_question for ref in refs] == list(task.order[:6])
    assert [ref.question_ids for ref in refs] == [(name,) for name in task.order[:6]]
    assert len({ref.context_id for ref in refs}) == 2


def timed(n: int, time: str | None) -> Passage:
    return Passage(f"Timed {n}", f"entry {n}", time)


def test_passages_with_a_time_come_in_its_order() -> None:
    pool = Pool([timed(n, f"20{n % 30:02d}-01-01") for n in range(100)])
    made = Example(Question("q", "?", ("x",)), (timed(500, "2015-06-01"), timed(501, "1999-12-31")))
    units = first(build([made], pool=pool, documents=80)).units
    assert [unit.time for unit in units] == sorted(unit.time or "" for unit in units)
    assert units[0].text == "Timed 501\nentry 501"


@settings(deadline=None, max_examples=40, derandomize=True)
@given(st.integers(1, 60), st.integers(0, 40), st.integers(0, 9))
def test_streams_nest_also_where_only_some_passages_have_a_time(documents: int, more: int, seed: int) -> None:
    pool = Pool([timed(n, None if n % 3 else f"20{n % 30:02d}-01-01") for n in range(100)])
    made = Example(Question("q", "?", ("x",)), (timed(500, "2015-06-01"), timed(501, None)))
    short = first(build([made], pool=pool, documents=documents, seed=seed)).units
    rest = iter(first(build([made], pool=pool, documents=documents + more, seed=seed)).units)
    assert all(unit in rest for unit in short)
    dated = [unit.time for unit in short if unit.time]
    assert dated == sorted(dated)


def test_untimed_passages_are_strewn_among_the_timed() -> None:
    pool = Pool([timed(n, None if n % 2 else f"20{n % 30:02d}-01-01") for n in range(100)])
    units = first(build([Example(Question("q", "?", ("x",)), (timed(500, None),))], pool=pool, documents=100)).units
    places = [at for at, unit in enumerate(units) if unit.time is None]
    assert 35 < sum(places) / len(places) < 65


def test_bad_requests_are_usage_errors() -> None:
    with pytest.raises(UsageError, match=r"no question 'q99'; did you mean 'q9'"):
        build().refs(["q99"])
    with pytest.raises(UsageError, match="'documents' and 'tokens'"):
        build(documents=5, tokens=5)
    with pytest.raises(UsageError, match="'shared' is 0"):
        build(shared=0)
    with pytest.raises(UsageError, match="'q1' occurs twice"):
        build([EXAMPLES[1], EXAMPLES[1]])


def test_the_pool_is_made_once_and_only_when_needed() -> None:
    calls = []

    def make() -> Pool:
        calls.append(1)
        return Pool(POOL)

    task = PackedTask(TaskCard(name="t", source="x", documents=20), Settings(data_dir=Path()), EXAMPLES, make, {"k": 1})
    task.refs(task.order)
    task.golds()
    assert not calls
    first(task, 0)
    first(task, 1)
    assert calls == [1]
    assert task.data == {"k": 1}


def test_contexts_are_built_alike_every_time_and_pack_into_chunks() -> None:
    task = build(documents=100)
    context = first(task)
    assert context == first(build(documents=100))
    chunks = pack(context.units, 128, tokens.counter())
    assert sorted(i for chunk in chunks for i in chunk.units) == list(range(100))


def test_building_a_long_context_holds_little_more_than_its_text() -> None:
    import tracemalloc

    pool = Pool([Passage(f"Long {n}", f"{n} " + "some words of a paragraph, no more than that; " * 12) for n in range(3000)])
    examples = [Example(Question("q", "?", ("x",)), (pool.passages[0],))]
    pack(first(build(examples, pool=pool, documents=2500)).units, 2048, tokens.counter())  # caches that all tests share
    task = build(examples, pool=pool, documents=2500)
    tracemalloc.start()
    context = first(task)
    chunks = pack(context.units, 2048, tokens.counter())
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    text = sum(len(unit.text.encode()) for unit in context.units)
    assert sum(len(chunk.text) for chunk in chunks) > text
    assert peak < 5 * text
