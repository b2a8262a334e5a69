"""Cards: inheritance, variants, and one clear line for every kind of bad card."""

from pathlib import Path

import pytest

from memeval import cards, digests, plugins
from memeval.cards import AgentCard, SuiteCard, TaskCard
from memeval.errors import UsageError
from memeval.tasks import Settings


def write(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def test_extends_inherits_everything_but_name_and_abstract(tmp_path: Path) -> None:
    write(tmp_path, "base.yaml", "source: jsonl\nabstract: true\nparams: {file: a.jsonl, deep: 1}\nchunk_tokens: 300\n")
    path = write(tmp_path, "longer.yaml", "extends: base\ndocuments: 50\nparams: {deep: 2}\n")
    card = cards.find(TaskCard, str(path))
    assert card is not None
    assert (card.name, card.abstract, card.chunk_tokens, card.documents) == ("longer", False, 300, 50)
    assert card.params == {"file": "a.jsonl", "deep": 2}


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("source: jsonl\nchunk_token: 5\n", "bad.yaml:2: unknown key 'chunk_token'; did you mean 'chunk_tokens'?"),
        ("source: jsonl\nchunk_tokens: many\n", "bad.yaml:2: 'chunk_tokens' is 'many', expected a whole number"),
        ("source: jsonl\nchunk_tokens: true\n", "bad.yaml:2: 'chunk_tokens' is True, expected a whole number"),
        ("source: jsonl\nquestions: -1\n", "expected a whole number >= 0"),
        ("source: jsonl\nmetrics: {f1: 1}\n", "bad.yaml:2: 'metrics' is {'f1': 1}, expected a list"),
        ("source: jsonl\nhard: maybe\n", "expected true or false"),
        ("description: none\n", "bad.yaml: the key 'source' is missing"),
        ("extends: nobody\n", "bad.yaml:1: no card 'nobody' to extend"),
        ("extends: bad\n", "is circular"),
        ("- a\n- b\n", "expected a mapping"),
        ("source: [unclosed\n", "bad.yaml:2: not valid YAML"),
        ("source: !!python/object/apply:os.system ['true']\n", "not valid YAML"),
    ],
)
def test_bad_card_is_one_line(tmp_path: Path, text: str, line: str) -> None:
    path = write(tmp_path, "bad.yaml", text)
    with pytest.raises(UsageError) as error:
        cards.find(TaskCard, str(path))
    assert line in str(error.value)
    assert "\n" not in str(error.value)


def test_card_that_is_not_there_or_not_text(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"gone\.yaml: cannot read the card"):
        cards.find(TaskCard, str(tmp_path / "gone.yaml"))
    path = tmp_path / "binary.yaml"
    path.write_bytes(b"\xff\xfe\x00source")
    with pytest.raises(UsageError, match="not UTF-8"):
        cards.find(TaskCard, str(path))


def test_track_is_reader_or_native(tmp_path: Path) -> None:
    path = write(tmp_path, "a.yaml", "agent: bm25\ntrack: both\n")
    with pytest.raises(UsageError, match=r"a\.yaml:2: 'track' is 'both'"):
        cards.find(AgentCard, str(path))


def test_search_order_and_shadowing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tasks").mkdir()
    write(tmp_path / "tasks", "synth-10k.yaml", "source: jsonl\n")
    card = cards.find(TaskCard, "synth-10k")
    assert card is not None
    assert card.source == "jsonl"
    bundled = str((cards.bundled("tasks") / "synth-10k.yaml").resolve())
    assert cards.shadowed(card) == [bundled]
    extra = tmp_path / "mine"
    extra.mkdir()
    write(extra, "synth-10k.yaml", "source: synth\nquestions: 7\n")
    first = cards.find(TaskCard, "synth-10k", (str(extra),))
    assert first is not None
    assert cards.shadowed(first) == [str(tmp_path / "tasks" / "synth-10k.yaml"), bundled]
    assert cards.shadowed(AgentCard("none", "none")) == []
    assert first.questions == 7


def test_variants() -> None:
    card = TaskCard(name="t", source="jsonl", documents=50, variants={"brief": {"answer_budget": 64}})
    assert cards.with_variant(card, "tokens-20000").tokens == 20000
    assert cards.with_variant(card, "tokens-20000").documents == 0
    assert cards.with_variant(card, "documents-400").documents == 400
    assert cards.with_variant(cards.with_variant(card, "tokens-20000"), "documents-7").tokens == 0
    assert cards.with_variant(card, "hard").hard
    assert cards.with_variant(card, "shared").shared == 8
    assert cards.with_variant(card, "shared-3").cluster == "context"
    assert cards.with_variant(card, "brief").answer_budget == 64
    assert cards.with_variant(card, "visible").query_visible
    assert cards.with_variant(cards.with_variant(card, "hard"), "shared").name == "t@hard@shared"
    with pytest.raises(UsageError, match="no variant 'hrad'; did you mean 'hard'?"):
        cards.with_variant(card, "hrad")
    numbers = ("0", "²", "٣", "-5", "", "9" * 5000)
    for wrong in (f"{kind}-{number}" for kind in ("tokens", "documents", "shared") for number in numbers):
        with pytest.raises(UsageError, match=f"no variant '{wrong}'"):
            cards.with_variant(card, wrong)


def test_identity_covers_what_makes_the_number() -> None:
    card = TaskCard(name="t", source="jsonl")
    changed = {"documents": 5, "chunk_tokens": 9, "metrics": ("f1",), "headline": "exact_match", "version": 2}
    for key, value in changed.items():
        other = TaskCard(**{"name": "t", "source": "jsonl", key: value})
        assert digests.digest(digests.identity(other)) != digests.digest(digests.identity(card)), key
    for key, value in {"description": "x", "path": "/a", "licence": "MIT", "questions": 3}.items():
        other = TaskCard(**{"name": "t", "source": "jsonl", key: value})
        assert digests.digest(digests.identity(other)) == digests.digest(digests.identity(card)), key


def test_digest_is_of_canonical_json() -> None:
    # sha256 of {"a":[1,2],"b":"ä"} in UTF-8, from `printf '{"a":[1,2],"b":"ä"}' | sha256sum`
    assert digests.canonical({"b": "ä", "a": (1, 2)}) == '{"a":[1,2],"b":"ä"}'
    assert digests.digest({"b": "ä", "a": (1, 2)}) == "b5165d1ad78fdaff47b73761008ca2166d8c4c589fdee491270c2f7bac4280d5"


def test_every_bundled_card_is_sound() -> None:
    for kind in (TaskCard, AgentCard):
        for name in cards.listing(kind):
            card = cards.find(kind, name) or cards.find(SuiteCard, name)
            assert card is not None
            assert card.description, name
            if isinstance(card, SuiteCard):
                assert all(cards.find(TaskCard, task) for task in card.tasks), name


def test_suites(tmp_path: Path) -> None:
    path = write(tmp_path, "two.yaml", "description: two\ntasks: [a, b]\n")
    suite = cards.find(SuiteCard, str(path))
    assert suite is not None
    assert (suite.tasks, suite.reduce) == (("a", "b"), "mean")
    assert cards.find(TaskCard, str(path)) is None
    with pytest.raises(UsageError, match=r"three\.yaml:2: 'reduce' is 'median'; did you mean 'mean'"):
        cards.find(SuiteCard, str(write(tmp_path, "three.yaml", "tasks: [a]\nreduce: median\n")))
    with pytest.raises(UsageError, match="unknown key 'task'"):
        cards.find(SuiteCard, str(write(tmp_path, "four.yaml", "tasks: [a]\ntask: b\n")))


@pytest.mark.parametrize("name", ["", ".", "..", "../tasks/synth-10k", "a/b", "x" * 5000, "nul\0", "no-such-card"])
def test_a_name_that_is_no_card_finds_none(name: str) -> None:
    assert cards.find(TaskCard, name) is None


def test_every_listed_name_is_found_where_it_is_listed() -> None:
    for name, path in cards.listing(AgentCard).items():
        found = cards.find(AgentCard, name)
        assert found is not None
        assert Path(found.path) == path


@pytest.mark.parametrize(
    ("kind", "text", "message"),
    [
        ("task", "source: jsonl\nfile: notes.jsonl\n", "2: unknown key 'file'; it belongs under 'params'"),
        ("task", "source: synth\nworld_seed: 4\n", "2: unknown key 'world_seed'; it belongs under 'params'"),
        ("task", "source: jsonl\ntrack: native\n", "2: unknown key 'track'; it belongs in an agent's card"),
        ("task", "source: jsonl\ntemperature: 0.7\n", "2: unknown key 'temperature'; it belongs under 'sampling: {"),
        ("task", "source: jsonl\nreader: {temperature: 1}\n", "2: unknown key 'reader'; it belongs under 'sampling'"),
        ("task", "source: jsonl\nparams:\n  hard: true\n  file: x\n", "3: unknown key 'params.hard'; it belongs one level"),
        ("task", "source: jsonl\nvariants:\n  a:\n    models: x\n", "4: unknown key 'variants.a.models'; it belongs in"),
        ("task", "source: jsonl\nvariants:\n  a: {hrad: 3}\n", "3: unknown key 'variants.a.hrad'; did you mean 'hard'?"),
        ("agent", "agent: bm25\nk: 3\n", "2: unknown key 'k'; it belongs under 'params'"),
        ("agent", "agent: mine.py:Mine\nlast: 3\n", "2: unknown key 'last'; it belongs under 'params'"),
        ("agent", "agent: bm25\nreader: tiny\n", "2: unknown key 'reader'; it belongs under 'models'"),
        ("agent", "agent: bm25\ntemperature: 0\n", "2: unknown key 'temperature'; it belongs under 'sampling: {reader: "),
        ("agent", "agent: bm25\nheadline: f1\n", "2: unknown key 'headline'; it belongs in a task's card"),
    ],
)  # fmt: skip
def test_a_key_in_the_wrong_place_is_told_where_it_belongs(tmp_path: Path, kind: str, text: str, message: str) -> None:
    write(tmp_path, "mine.py", "class Mine:\n    def __init__(self, last=5): pass\n")
    path = write(tmp_path, "card.yaml", text)

    def read() -> None:
        card = plugins.find_task(str(path)) if kind == "task" else plugins.find_agent(str(path))
        assert isinstance(card, TaskCard)
        plugins.source(card)().load(card, Settings())

    with pytest.raises(UsageError) as error:
        read()
    assert str(error.value).startswith(f"{path}:{message}")
    assert "\n" not in str(error.value)


def test_a_wrong_value_of_the_extended_card_names_its_own_file(tmp_path: Path) -> None:
    base = write(tmp_path, "base.yaml", "source: jsonl\nabstract: true\nhard: maybe\n")
    with pytest.raises(UsageError, match=rf"{base}:3: 'hard' is 'maybe', expected true or false"):
        cards.find(TaskCard, str(write(tmp_path, "longer.yaml", "extends: base\n")))
