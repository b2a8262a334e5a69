"""What was trained on: entries, content hashes, and the file beside a checkpoint's weights."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from memeval import cards, digests
from memeval.cards import AgentCard
from memeval.errors import UsageError
from memeval.trained import CHECKPOINT_FILE, TrainedOn, content_hash, of_checkpoint, parse

A, B = "a" * 64, "b" * 64


def test_a_hash_is_of_the_words() -> None:
    # printf 'who is ann lee?' | sha256sum
    plain = "82332008ca504f44114ac250cec14e16cc1047797f566b744bfc9a59e50a7147"
    assert content_hash("who is ann lee?") == plain
    assert content_hash("  Who is\n ANN\u00a0Lee? ") == plain
    assert content_hash("Who is Ann Ｌee?") == plain  # NFKC: a full-width letter
    assert content_hash("Who is Ann Lee") != plain


@pytest.mark.parametrize(
    ("value", "entries"),
    [
        ("hotpotqa", (TrainedOn("hotpotqa"),)),
        (["hotpotqa", "squad"], (TrainedOn("hotpotqa"), TrainedOn("squad"))),
        ({"family": "nlu", "splits": "test"}, (TrainedOn("nlu", ("test",)),)),
        (
            [{"family": "nlu", "splits": ["dev", "test"], "note": "paper"}],
            (TrainedOn("nlu", ("dev", "test"), note="paper"),),
        ),
        ([{"family": "f", "hashes": [B, A]}], (TrainedOn("f", (), frozenset({A, B})),)),
        ([], ()),
    ],
)
def test_entries(value: Any, entries: tuple[TrainedOn, ...]) -> None:
    assert parse(value, "here") == entries


@pytest.mark.parametrize(
    ("value", "says"),
    [
        ([3], "here: 'trained_on' holds 3, expected a family's name or a mapping"),
        (None, "here: 'trained_on' holds None, expected a family's name or a mapping"),
        ([{"family": "nlu", "split": "test"}], "here: unknown key 'trained_on.split'; did you mean 'splits'?"),
        ([{"splits": ["test"]}], "here: an entry of 'trained_on' has no 'family'"),
        ([{"family": ""}], "here: 'trained_on.family' is '', expected a name of letters, digits and ._+-"),
        ([{"family": ["x"]}], "here: 'trained_on.family' is ['x'], expected a name of letters, digits and ._+-"),
        ([{"family": "x\n"}], "here: 'trained_on.family' is 'x\\n', expected a name of letters, digits and ._+-"),
        ([{"family": "x", "splits": 3}], "here: 'trained_on.splits' is 3, expected names of letters, digits and ._+-"),
        (
            [{"family": "x", "hashes": ["A" * 64]}],
            f"here: 'trained_on.hashes' is ['{'A' * 64}'], expected sha256 digests (64 hex digits)",
        ),
        (
            [{"family": "x", "note": "a\x1b[2J"}],
            "here: 'trained_on.note' is 'a\\x1b[2J', expected one line of at most 300 characters",
        ),
    ],
)
def test_bad_entries_are_one_line(value: Any, says: str) -> None:
    with pytest.raises(UsageError) as error:
        parse(value, "here")
    assert str(error.value) == says


@pytest.mark.parametrize(
    ("entry", "family", "split", "mark"),
    [
        (TrainedOn("hotpotqa"), "hotpotqa", "dev", "in-domain"),
        (TrainedOn("HotpotQA", ("train",)), "hotpotqa", "dev", "in-domain"),
        (TrainedOn("hotpot-qa", ("train", "validation")), "hotpotqa", "dev", "leaked"),
        (TrainedOn("personamem", ("train",)), "personamem", "all", "in-domain"),
        (TrainedOn("personamem", ("all",)), "personamem", "all", "leaked"),
        (TrainedOn("squad", ("all",)), "squad", "dev", "leaked"),
        (TrainedOn("squad", ("all",)), "nq", "dev", None),
    ],
)
def test_by_name(entry: TrainedOn, family: str, split: str, mark: str | None) -> None:
    assert entry.covers(family, split) == mark


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"{", "not JSON"),
        (b"\xff\xfe", "not JSON"),
        (b"[" * 100_000, "not JSON"),
        (b"[]", "expected"),
        (b'{"trained_on": [], "more": 1}', "expected"),
        (b'{"trained_on": [{"family": "x", "hashes": [1]}]}', "trained_on.hashes' is .1., expected"),
    ],
)
def test_a_damaged_file_is_refused(tmp_path: Path, content: bytes, says: str) -> None:
    (tmp_path / CHECKPOINT_FILE).write_bytes(content)
    with pytest.raises(UsageError, match=says) as error:
        of_checkpoint(tmp_path)
    assert str(error.value).startswith(str(tmp_path / CHECKPOINT_FILE))
    assert "\n" not in str(error.value)


def test_a_checkpoint_s_file(tmp_path: Path) -> None:
    assert of_checkpoint(tmp_path) == ()
    (tmp_path / CHECKPOINT_FILE).write_text(json.dumps({"trained_on": ["squad", {"family": "synth", "splits": ["train"]}]}))
    assert of_checkpoint(tmp_path) == (TrainedOn("squad"), TrainedOn("synth", ("train",)))


def test_agent_cards_state_it(tmp_path: Path) -> None:
    def card(name: str, text: str) -> AgentCard:
        path = tmp_path / f"{name}.yaml"
        path.write_text(text)
        found = cards.find(AgentCard, str(path))
        assert found is not None
        return found

    base = card("base", "agent: bm25\nmodels: {memory: org/Own}\ntrained_on: [squad, {family: nlu, splits: [test]}]\n")
    assert base.trained_on == (TrainedOn("squad"), TrainedOn("nlu", ("test",)))
    assert card("reader", "extends: base\nmodels: {reader: org/Reader}\n").trained_on == base.trained_on
    assert card("other", "extends: base\nmodels: {memory: org/Other}\n").trained_on == ()
    assert card("own", "extends: base\nmodels: {memory: org/Other}\ntrained_on: nq\n").trained_on == (TrainedOn("nq"),)
    assert digests.identity(base) == digests.identity(card("base", "agent: bm25\nmodels: {memory: org/Own}\n"))
    with pytest.raises(UsageError, match=r"bad\.yaml:2: unknown key"):
        card("bad", "agent: bm25\ntrained_on: [{family: x, kind: y}]\n")
