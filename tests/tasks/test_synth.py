"""The synth tasks: lengths, prefixes, order, nesting, and what a card may say."""

from __future__ import annotations

import functools
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from msgspec.structs import replace

from memeval import cards, tokens
from memeval.cards import TaskCard
from memeval.errors import UsageError
from memeval.synth import generator
from memeval.synth.questions import KINDS
from memeval.task import Context
from memeval.tasks import Settings
from memeval.tasks.pool import title_key
from memeval.tasks.streams import PackedTask
from memeval.tasks.synth import PER_WORLD, Synth

DOCUMENTS = {"10k": 50, "30k": 200, "100k": 800, "1m": 6400}
TOKENS = {"10k": (6_000, 9_000), "30k": (26_000, 35_000), "100k": (105_000, 140_000), "1m": (850_000, 1_100_000)}


def card(name: str = "synth-10k", **changes: object) -> TaskCard:
    found = cards.find(TaskCard, str(cards.bundled("tasks") / f"{name}.yaml"))
    assert found is not None
    return replace(found, **changes)  # type: ignore[arg-type]


@functools.cache
def task(name: str = "synth-10k", seed: int = 42) -> PackedTask:
    return Synth().load(card(name), Settings(seed=seed))


def first(loaded: PackedTask, count: int) -> list[Context]:
    return [loaded.context(ref) for ref in loaded.refs(loaded.order[:count])]


@pytest.mark.parametrize("length", DOCUMENTS)
def test_a_card_is_complete(length: str) -> None:
    found = card(f"synth-{length}")
    assert (found.documents, found.questions, found.headline) == (DOCUMENTS[length], 128, "f1")
    assert found.licence
    assert found.citation
    assert found.description
    base = cards.find(TaskCard, str(cards.bundled("tasks") / "synth.yaml"))
    assert base is not None
    assert base.abstract


@pytest.mark.parametrize("length", DOCUMENTS)
def test_streams_have_the_published_length(length: str, capsys: pytest.CaptureFixture[str]) -> None:
    contexts = first(task(f"synth-{length}"), {"1m": 2, "100k": 8}.get(length, 16))
    count = tokens.counter("o200k_base")
    sizes = [sum(count(unit.render()) for unit in context.units) for context in contexts]
    with capsys.disabled():
        print(f"\nsynth-{length}: tokens min {min(sizes)} mean {sum(sizes) / len(sizes):.0f} max {max(sizes)}")
    assert {len(context.units) for context in contexts} == {DOCUMENTS[length]}
    low, high = TOKENS[length]
    assert low <= min(sizes)
    assert max(sizes) <= high
    assert sizes == [context.meta["tokens"] for context in contexts]


@pytest.mark.parametrize("length", ["10k", "100k"])
def test_a_stream_is_in_order_of_time_and_holds_its_evidence(length: str) -> None:
    for context in first(task(f"synth-{length}"), 16):
        times = [unit.time for unit in context.units]
        assert times == sorted(times, key=str)
        titles = [title_key(unit.text.split("\n")[0]) for unit in context.units]
        assert len(set(titles)) == len(titles)
        question = context.questions[0]
        assert question.evidence
        for piece in question.evidence:
            assert all(piece.text in context.units[index].text for index in piece.units)
            assert piece.units


@pytest.mark.parametrize("length", DOCUMENTS)
def test_long_gap_evidence_stands_in_the_first_tenth(length: str) -> None:
    loaded = task(f"synth-{length}")
    asked = [question.id for question in loaded.golds() if question.kind == "long-gap"]
    for ref in loaded.refs(asked[: 4 if length == "1m" else 20]):
        context = loaded.context(ref)
        assert all(index < len(context.units) / 10 for piece in context.questions[0].evidence for index in piece.units)


def test_no_long_gap_question_can_be_given_an_older_distractor() -> None:
    """At every length and seed: what is older than the evidence and not the question's own is excluded by title."""
    pool = {title_key(item.title): item.time for item in task().pool.passages}
    examples = [example for example in task()._examples.values() if example.question.kind == "long-gap"]
    assert len(examples) == PER_WORLD / len(KINDS)
    for example in examples:
        evidence = min(example.own[index].time or "" for index, _ in example.evidence)
        older = {title for title, time in pool.items() if (time or "") <= evidence}
        assert older <= {title_key(title) for title in (*example.exclude, *(item.title for item in example.own))}
        assert len(pool) - len(example.exclude) - len(example.own) >= 6400
        assert len(example.own) <= 5  # a tenth of the shortest stream


def test_a_shorter_stream_is_a_subsequence_of_the_longer() -> None:
    for short, long in zip(first(task("synth-10k"), 16), first(task("synth-100k"), 16), strict=True):
        assert short.id == long.id
        units = iter(long.units)
        assert all(unit in units for unit in short.units)


def test_what_is_excluded_is_never_drawn() -> None:
    loaded = task("synth-100k")
    asked = [name for name, example in loaded._examples.items() if example.exclude][:12]
    assert asked
    for ref in loaded.refs(asked):
        titles = {unit.text.split("\n")[0] for unit in loaded.context(ref).units}
        assert not titles & loaded._examples[ref.question_ids[0]].exclude


@pytest.mark.parametrize("seed", [42, 7])
def test_every_prefix_is_balanced_over_kinds_and_verdicts(seed: int) -> None:
    golds = task(seed=seed).golds()
    assert len(golds) == PER_WORLD
    for size in range(1, 400):
        counts = Counter(question.kind for question in golds[:size])
        assert max(counts.values()) - min(counts[kind] for kind in KINDS) <= 1
    verdicts = [question.answers[0] for question in golds if question.kind == "yes-no"]
    assert all(abs(verdicts[:size].count("yes") - verdicts[:size].count("no")) <= 1 for size in range(len(verdicts)))


def test_the_seed_orders_questions_and_draws_distractors_but_makes_the_same_questions() -> None:
    assert task(seed=7).order != task(seed=42).order
    assert {question.id: question for question in task(seed=7).golds()} == {
        question.id: question for question in task(seed=42).golds()
    }
    name = task().order[0]
    one, other = (task(seed=seed).context(task(seed=seed).refs([name])[0]) for seed in (42, 7))
    assert one.questions[0].text == other.questions[0].text
    assert one.units != other.units


def test_more_questions_extend_fewer() -> None:
    more = Synth().load(card(questions=2000), Settings())
    assert len(more.order) == 2 * PER_WORLD
    assert more.order[:PER_WORLD] == task().order
    assert more.golds()[:PER_WORLD] == task().golds()
    assert more.data == task().data  # so a larger run is the same run, grown
    assert first(more, 2) == first(task(), 2)
    beyond = more.context(more.refs(more.order[PER_WORLD : PER_WORLD + 1])[0])
    assert len(beyond.units) == 50
    texts = [question.text for question in more.golds()]
    assert len(set(texts)) == len(texts)


def test_unanswerable_questions_are_marked_and_have_no_gold() -> None:
    for question in task().golds():
        assert question.answerable == bool(question.answers) == (question.kind != "unanswerable")


@pytest.mark.slow
def test_variants_and_splits_share_no_document_and_no_question() -> None:
    base = card()
    loaded = [Synth().load(cards.with_variant(base, name), Settings()) for name in ("train", "validation")]
    groups = [loaded[0], loaded[1], task()]
    for left, right in ((0, 1), (0, 2), (1, 2)):
        titles = [{item.title for item in groups[side].pool.passages} for side in (left, right)]
        texts = [{question.text for question in groups[side].golds()} for side in (left, right)]
        assert not titles[0] & titles[1]
        assert not texts[0] & texts[1]
    shared = Synth().load(cards.with_variant(base, "shared-8"), Settings())
    (context,) = first(shared, 8)
    assert [question.kind for question in context.questions] == list(KINDS)
    assert len(context.units) == 50


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"split": "tset"}, "'params.split' is 'tset'; did you mean 'test'?"),
        ({"split": ["test"]}, "'params.split' is ['test']"),
        ({"world_sed": 1}, "unknown key 'params.world_sed'; did you mean 'world_seed'?"),
        ({"world_seed": -1}, "'params.world_seed' is -1, expected a whole number >= 0"),
        ({"world_seed": True}, "'params.world_seed' is True"),
        ({"worlds": 0}, "'params.worlds' is 0, expected a whole number >= 1"),
    ],
)
def test_wrong_params_are_named_in_one_line(params: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError) as error:
        Synth().load(card(params=params), Settings())
    assert message in str(error.value)
    assert str(error.value).startswith(card().path)
    assert "\n" not in str(error.value)


DIGEST = """
import hashlib
from memeval.cards import TaskCard
from memeval.tasks import Settings
from memeval.tasks.synth import Synth
task = Synth().load(TaskCard("t", "synth", documents=50), Settings())
context = task.context(task.refs(task.order[5:6])[0])
print(hashlib.sha256(repr((task.data, task.order[:50], context)).encode()).hexdigest())
"""


@pytest.mark.slow
def test_every_process_makes_the_same_world() -> None:
    digests = []
    for salt in ("1", "2"):
        environment = {**os.environ, "PYTHONHASHSEED": salt}
        done = subprocess.run([sys.executable, "-c", DIGEST], env=environment, capture_output=True, text=True, check=True)
        digests.append(done.stdout)
    assert len(set(digests)) == 1
    assert len(digests[0].strip()) == 64


def test_generating_loads_no_model_code() -> None:
    code = (
        "import sys, memeval.synth.generator as g; g.neighbourhood('test', 1, 0); import memeval.tasks.synth; "
        "print([name for name in sys.modules if name.startswith(('memeval.models', 'memeval.agents', 'memeval.runs'))])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=Path(__file__).parent
    )
    assert done.stdout.strip() == "[]"


def test_the_test_world_is_pinned() -> None:
    """A changed word is another benchmark: numbers before and after must not be compared. When a change is meant, raise
    `version` in tasks/synth.yaml and renew the digests."""
    assert card().version == 1
    assert task().data == {
        "split": "test",
        "world_seed": 1,
        "asked": "a53f7b1badb17e4fa5d3675c20b65ba25a0ce7b9ca05abfb7a9c2dac840ef88e",
        "pool": 7461,
        "corpus": "a063a69baf26626e68b72510dd255ae64ac3637ce9a987bf3a91069471bfce99",
    }


def test_a_question_is_a_function_of_its_number_alone() -> None:
    far = generator.neighbourhood("test", 1, 123_456_789)
    generator.neighbourhood("train", 2, 5)
    assert generator.neighbourhood("test", 1, 123_456_789) == far
    assert tuple(item.kind for item in far.items) == KINDS
