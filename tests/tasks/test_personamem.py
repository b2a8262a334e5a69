"""PersonaMem: both shapes of its data, what the agent gets to see, what is refused; and the real slice, where at hand."""

from __future__ import annotations

import csv
import gzip
import io
import json
import random
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hubcache import REVISION, placed
from records import everything

from memeval import plugins, tokens
from memeval.cards import TaskCard, with_variant
from memeval.data.files import Found, at_hand
from memeval.data.records import read
from memeval.errors import UsageError
from memeval.metrics import METRICS, Reply
from memeval.runs.prepare import prepare
from memeval.task import Unit
from memeval.tasks import Settings
from memeval.tasks.fixed import FixedTask
from memeval.tasks.personamem import PersonaMem, parse
from memeval.tasks.verify import data_files

COLUMNS = [
    *("persona_id", "question_id", "question_type", "topic", "context_length_in_tokens", "context_length_in_letters"),
    *("distance_to_ref_in_blocks", "distance_to_ref_in_tokens", "num_irrelevant_tokens"),
    *("distance_to_ref_proportion_in_context", "user_question_or_message", "correct_answer", "all_options"),
    *("shared_context_id", "end_index_in_shared_context"),
]
TURNS = [
    ("system", "Current user persona: Name: Zoë Ōta   \nShe likes tea."),
    ("user", 'User: I tried a new tea, "Earl Grey". It\'s bitter.'),
    ("user", "[Original_Sentence]: Tea is fine. (mood.)"),
    ("assistant", "Assistant: Noted."),
    ("system", "Current user persona: Name: Zoë Ōta   \nShe likes coffee now."),
    ("user", "Patient: I sleep badly.\n\nSince May."),
    ("assistant", "User: is what you said first."),
]
OPTIONS = ["(a) It's tea.", '(b) "Coffee", she says.', "(c) Water — perhaps.", '(d) It\'s "milk".']


def histories() -> dict[str, list[dict[str, str]]]:
    """Three that are asked about, of two personas, and one that is not."""
    turns = [{"role": role, "content": content} for role, content in TURNS]
    return {"ctx-a": turns, "ctx-b": turns[:4], "unused": turns[:2], "ctx-c": [*turns[4:], *turns[:3]]}


def rows() -> list[dict[str, Any]]:
    """Questions as the hub gives them: numbers are numbers."""
    asked = [(0, "ctx-a", 4), (0, "ctx-a", 7), (0, "ctx-b", 3), (7, "ctx-c", 5), (0, "ctx-a", 4), (7, "ctx-c", 1)]
    kinds = ["suggest_new_ideas", "generalizing_to_new_scenarios", "recalling_facts_mentioned_by_the_user"]
    return [
        dict(
            zip(
                COLUMNS,
                [
                    *(persona, f"q{n}", kinds[n % 3], "tea", 10),
                    sum(len(turn["content"]) for turn in histories()[context][:end]),
                    *(1, 5, 0, "50.00%", f"What now,\n{n}?", f"({'abcd'[n % 4]})", repr(OPTIONS), context, end),
                ],
                strict=True,
            )
        )
        for n, (persona, context, end) in enumerate(asked)
    ]


def table(records: list[dict[str, Any]]) -> bytes:
    """Upstream's CSV: CRLF, no newline after the last row."""
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, list(records[0]) if records else COLUMNS)
    writer.writeheader()
    writer.writerows(records)
    return text.getvalue().removesuffix("\r\n").encode()


def lines(contexts: dict[str, Any]) -> bytes:
    return "".join(json.dumps({name: turns}, ensure_ascii=False) + "\n" for name, turns in contexts.items()).encode()


def write(root: Path, questions: bytes | None = None, contexts: bytes | None = None, size: str = "32k") -> Path:
    folder = root / "personamem"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"questions_{size}.csv").write_bytes(table(rows()) if questions is None else questions)
    (folder / f"shared_contexts_{size}.jsonl").write_bytes(lines(histories()) if contexts is None else contexts)
    return root


def load(root: Path | None, name: str = "personamem-32k", seed: int = 42, **card: Any) -> FixedTask:
    made = TaskCard(**{"name": name, "source": "personamem", "params": {"size": "32k"}, **card})
    return PersonaMem().load(made, Settings(data_dir=root, seed=seed))


def refused(root: Path, **card: Any) -> str:
    with pytest.raises(UsageError) as caught:
        load(root, **card)
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_turns_positions_and_options(tmp_path: Path) -> None:
    task = load(write(tmp_path))
    contexts = everything(task)
    assert set(contexts) == {"ctx-a", "ctx-b", "ctx-c"}
    assert contexts["ctx-a"].units == (
        Unit("Current user persona: Name: Zoë Ōta   \nShe likes tea.", speaker="System"),
        Unit('I tried a new tea, "Earl Grey". It\'s bitter.', speaker="User"),
        Unit("[Original_Sentence]: Tea is fine. (mood.)", speaker="User"),
        Unit("Noted.", speaker="Assistant"),
        Unit("Current user persona: Name: Zoë Ōta   \nShe likes coffee now.", speaker="System"),
        Unit("Patient: I sleep badly.\n\nSince May.", speaker="User"),
        Unit("User: is what you said first.", speaker="Assistant"),
    )
    assert [unit.render() for unit in contexts["ctx-a"].units[1:4]] == [
        'User: I tried a new tea, "Earl Grey". It\'s bitter.',
        "User: [Original_Sentence]: Tea is fine. (mood.)",
        "Assistant: Noted.",
    ]
    assert {name: context.cluster for name, context in contexts.items()} == {
        **dict.fromkeys(("ctx-a", "ctx-b"), "persona-0"),
        "ctx-c": "persona-7",
    }
    assert contexts["ctx-a"].meta == {"documents": 7, "sessions": 2}
    first, second, third = contexts["ctx-a"].questions
    assert [question.position for question in (first, second, third)] == [4, 7, 4]
    assert (first.id, first.text, first.answers, first.kind) == ("q0", "What now,\n0?", ("(a)",), "suggest_new_ideas")
    assert first.options == tuple(OPTIONS)
    assert first.evidence == ()
    assert task.data["questions"] == 6
    assert (task.data["contexts"], task.data["files"][1]["records"]) == (3, 4)


def test_the_end_is_exclusive_and_nothing_later_is_in_a_chunk(tmp_path: Path) -> None:
    task = load(write(tmp_path))
    ref = next(ref for ref in task.refs(task.order) if ref.context_id == "ctx-a")
    assert set(ref.question_ids) == {"q0", "q1", "q4"}
    prepared = prepare(task.context(ref), ref, 2048, tokens.counter())
    early, late = prepared.points
    assert ([q.id for q in early.questions], [q.id for q in late.questions]) == (["q0", "q4"], ["q1"])
    assert early.chunks[-1].units == (0, 1, 2, 3)
    assert "Noted." in early.chunks[-1].text
    assert "coffee now" not in "".join(chunk.text for chunk in early.chunks)
    assert "Since May." in late.chunks[-1].text


def test_golds_are_in_the_form_the_metric_wants(tmp_path: Path) -> None:
    task = load(write(tmp_path))
    letter = METRICS["letter"]
    golds = {question.id: question for question in task.golds()}
    assert [question.id for question in task.golds()] == list(task.order)
    assert letter(Reply("It says (b). <final_answer> (a)", golds["q0"])) == 1.0
    assert letter(Reply("<final_answer> (b)", golds["q0"])) == 0.0
    assert letter(Reply("(B)", golds["q1"])) == 1.0
    assert letter(Reply("no letter at hand", golds["q1"])) == 0.0


@pytest.mark.parametrize(
    ("names", "skill"),
    [
        (("recall_user_shared_facts", "recalling_facts_mentioned_by_the_user"), "recall_user_shared_facts"),
        (("suggest_new_ideas",), "suggest_new_ideas"),
        (("acknowledge_latest_user_preferences",), "acknowledge_latest_user_preferences"),
        (("track_full_preference_evolution", "track_full_preference_updates"), "track_full_preference_evolution"),
        (
            ("recalling_the_reasons_behind_previous_updates", "revisit_reasons_behind_preference_updates"),
            "revisit_reasons_behind_preference_updates",
        ),
        (("provide_preference_aligned_recommendations",), "provide_preference_aligned_recommendations"),
        (("generalize_to_new_scenarios", "generalizing_to_new_scenarios"), "generalize_to_new_scenarios"),
    ],
)
def test_question_types_have_one_name_per_skill(names: tuple[str, ...], skill: str) -> None:
    """The aliases of the sizes 32k, 128k and 1M, as counted over the released files."""
    assert {parse({**rows()[0], "question_type": name}).kind for name in names} == {skill}


def test_order_is_seeded_over_ids_and_a_prefix_shares_its_contexts(tmp_path: Path) -> None:
    task = load(write(tmp_path / "a"))
    shuffled = rows()
    random.Random(1).shuffle(shuffled)
    other = load(write(tmp_path / "b", table(shuffled), lines(dict(reversed(histories().items())))))
    assert task.order == other.order
    assert sorted(task.order) == [f"q{n}" for n in range(6)]
    assert any(load(tmp_path / "a", seed=seed).order != task.order for seed in (1, 2, 3))
    for end in range(7):
        part = {ref.context_id: ref.question_ids for ref in task.refs(task.order[:end])}
        whole = {ref.context_id: ref.question_ids for ref in task.refs(task.order)}
        assert list(part) == list(whole)[: len(part)]
        assert all(whole[name][: len(ids)] == ids for name, ids in part.items())
    assert other.context(other.refs(["q3"])[0]).units == task.context(task.refs(["q3"])[0]).units
    one = load(tmp_path / "a", query_visible=True)
    assert [ref.visible_question for ref in one.refs(["q0", "q4"])] == ["q0", "q4"]


@pytest.fixture
def hub(hub_cache: Path) -> Callable[..., Path]:
    """The function makes the snapshot's folder, with the histories in it."""

    def snapshot() -> Path:
        path = placed(hub_cache, "bowen-upenn/PersonaMem", "shared_contexts_32k.jsonl")
        path.write_bytes(lines(histories()))
        return path.parent

    return snapshot


def test_folder_gz_and_hub_give_identical_contexts(tmp_path: Path, hub: Callable[..., Path]) -> None:
    plain = load(write(tmp_path / "plain"))
    folder = write(tmp_path / "zipped") / "personamem"
    for path in list(folder.iterdir()):
        path.with_name(f"{path.name}.gz").write_bytes(gzip.compress(path.read_bytes()))
        path.unlink()
    zipped = load(tmp_path / "zipped")
    assert zipped.data == plain.data
    place = hub()
    (place / "questions_32k.csv").write_bytes(table(rows()))
    from_hub = load(None)
    pinned = load(None, params={"size": "32k", "hub": f"bowen-upenn/PersonaMem@{REVISION}"})
    for task in (zipped, pinned, from_hub):
        assert everything(task) == everything(plain)
        assert task.order == plain.order
    for task in (pinned, from_hub):
        assert {file["revision"] for file in task.data["files"]} == {REVISION}
        assert {file["hub"] for file in task.data["files"]} == {"bowen-upenn/PersonaMem"}
        assert task.data["corpus"] == plain.data["corpus"]


def test_rows_of_a_datasets_object_are_the_rows_of_the_csv() -> None:
    datasets = pytest.importorskip("datasets")
    from_csv = [parse({key: str(value) for key, value in row.items()}) for row in rows()]
    assert [parse(row) for row in datasets.Dataset.from_list(rows())] == from_csv


def test_with_no_data_one_line_names_every_remedy(tmp_path: Path, hub: Callable[..., Path]) -> None:
    write(tmp_path, size="128k")
    message = refused(tmp_path)
    for part in (
        *("personamem/questions_32k.csv", str(tmp_path), "bowen-upenn/PersonaMem/questions_32k.csv"),
        *("from the Hugging Face hub", "synth-10k"),
    ):
        assert part in message
    (tmp_path / "personamem" / "shared_contexts_128k.jsonl").unlink()
    message = refused(tmp_path, params={"size": "128k", "hub": f"bowen-upenn/PersonaMem@{REVISION}"})
    assert "put personamem/shared_contexts_128k.jsonl (plain" in message
    assert f"bowen-upenn/PersonaMem@{REVISION}/shared_contexts_128k.jsonl" in message
    assert "synth-10k" in message
    hub()  # histories alone are no task either
    with pytest.raises(UsageError, match=r"questions_1M\.csv .*--data-dir DIR \(or set MEMEVAL_DATA\).*synth-1m"):
        load(None, params={"size": "1M"})


def test_what_is_needed_and_where_it_is(tmp_path: Path, hub: Callable[..., Path]) -> None:
    card = TaskCard(name="personamem-32k", source="personamem", params={"size": "32k"})
    hub()
    root = write(tmp_path / "data")
    questions, contexts = data_files(card)
    assert [file.name for file in at_hand(questions, root)] == ["personamem/questions_32k.csv"]
    assert [file.name for file in at_hand(contexts, root)] == ["personamem/shared_contexts_32k.jsonl"]
    assert at_hand(questions, None) == ()
    assert [(file.name, file.revision) for file in at_hand(contexts, None)] == [("shared_contexts_32k.jsonl", REVISION)]


def test_settings_that_can_have_no_effect_are_refused(tmp_path: Path) -> None:
    write(tmp_path)
    for card in ({"documents": 5}, {"tokens": 500}, {"hard": True}, {"shared": 2}):
        assert f"'{next(iter(card))}' has no effect" in refused(tmp_path, **card)
    assert "'params.sise'; did you mean 'size'?" in refused(tmp_path, params={"sise": "32k"})
    assert "'params.size' is '64k' (known: 32k, 128k, 1M)" in refused(tmp_path, params={"size": "64k"})


def _cut(data: bytes) -> bytes:
    return data[: len(data) - 150]


DAMAGED: dict[str, tuple[Callable[[], tuple[bytes | None, bytes | None]], str]] = {
    "prerelease": (
        lambda: (table(rows()).replace(b"user_question_or_message", b"question"), None),
        r"questions_32k\.csv: row 1: no field 'user_question_or_message'",
    ),
    "no persona": (lambda: (table([{**row, "persona_id": ""} for row in rows()]), None), "row 1: 'persona_id' is blank"),
    "no rows": (lambda: (table(rows()).split(b"\r\n")[0], None), "no questions in it"),
    "blank": (lambda: (b"", None), "no questions in it"),
    "cut csv": (lambda: (_cut(table(rows())), None), r"questions_32k\.csv: row 6 \(line \d+\):"),
    "extra cell": (lambda: (table(rows()) + b",x", None), r"row 6 \(line \d+\): 16 cells, expected 15"),
    "two columns of a name": (lambda: (b"a,a\r\n1,2", None), "blank or repeated column"),
    "latin-1": (lambda: (table(rows()).decode().replace("—", "ö").encode("latin-1"), None), "line 3: not UTF-8"),
    "huge cell": (lambda: (table([{**rows()[0], "topic": "x" * 200_000}]), None), "row 1 .*not valid CSV"),
    "cut jsonl": (lambda: (None, _cut(lines(histories()))), r"shared_contexts_32k\.jsonl: line 4: not valid JSON"),
    "twice": (lambda: (None, lines(histories()) * 2), "line 5: context 'ctx-a' was already used by .*line 1"),
    "two keys": (lambda: (None, b'{"a": [], "b": []}'), "line 1: expected an object with one context id"),
    "no object": (lambda: (None, b"[1]"), "line 1: expected an object with one context id"),
    "nan": (lambda: (None, b'{"a": [NaN]}'), "line 1: not valid JSON"),
    "bytes": (lambda: (None, b'{"a": ["\xff"]}'), "line 1: not UTF-8"),
    "half a pair": (lambda: (None, b'{"a": ["\\ud800"]}'), "line 1: holds half of a surrogate pair"),
    "role": (lambda: (None, lines({"ctx-a": [{"role": "tool", "content": ""}]})), "line 1: turn 0 needs a 'role'"),
    "role that is a list": (lambda: (None, lines({"ctx-a": [{"role": ["user"], "content": ""}]})), "turn 0 needs a 'role'"),
    "content": (lambda: (None, lines({"ctx-a": [{"role": "user", "content": None}]})), "line 1: turn 0 needs a 'role'"),
    "turns": (lambda: (None, lines({"ctx-a": ["x"]})), "line 1: turn 0 needs"),
}


def test_cut_gzip_files_are_refused(tmp_path: Path) -> None:
    folder = write(tmp_path) / "personamem"
    for name in ("shared_contexts_32k.jsonl", "questions_32k.csv"):
        data = gzip.compress((folder / name).read_bytes())
        (folder / name).unlink()
        (folder / f"{name}.gz").write_bytes(data[: len(data) // 2])
        assert f"{name}.gz: " in refused(tmp_path)
        assert "damaged or cut" in refused(tmp_path)


def test_a_csv_is_read_as_text_with_quotes_newlines_and_bom(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(b'\xef\xbb\xbfname,text\r\nx,"a ""b"",\r\nc"\r\n\r\n7,')
    found = read(Found("a.csv", path))
    assert list(found.rows()) == [
        (f"{path}: row 1", {"name": "x", "text": 'a "b",\r\nc'}),
        (f"{path}: row 2", {"name": "7", "text": ""}),
    ]
    assert found.facts["records"] == 2


@pytest.mark.parametrize(("length", "size"), [("32k", "32k"), ("128k", "128k"), ("1m", "1M")])
def test_cards(tmp_path: Path, length: str, size: str) -> None:
    card = plugins.find_task(f"personamem-{length}")
    assert plugins.source(card) is PersonaMem
    assert (card.metrics, card.headline, card.cluster, card.questions) == (("letter",), "letter", "persona", 0)
    assert (card.chunk_tokens, card.reader_prompt, card.params["size"]) == (2048, "reader-options", size)
    assert len(card.params["hub"].partition("@")[2]) == 40
    assert card.licence
    assert "2504.14225" in card.citation
    write(tmp_path, size=size)
    task = PersonaMem().load(card, Settings(data_dir=tmp_path))
    assert task.data["questions"] == 6
    with pytest.raises(UsageError, match="'tokens' has no effect"):
        PersonaMem().load(with_variant(card, "tokens-2000"), Settings(data_dir=tmp_path))


@pytest.fixture
def real(slices: Callable[[str], Path]) -> Path:
    return slices("personamem/questions_32k.csv")


def test_the_real_slice(real: Path) -> None:
    """Counted over the files with the csv and json modules alone. A whole file holds 589 questions in 37 contexts."""
    task = load(real)
    assert (task.data["questions"], task.data["contexts"]) in ((440, 27), (589, 37))
    if task.data["questions"] == 440:
        assert Counter(question.kind for question in task.golds()) == {
            "recall_user_shared_facts": 97 + 12,
            "track_full_preference_evolution": 103,
            "revisit_reasons_behind_preference_updates": 74,
            "suggest_new_ideas": 65,
            "generalize_to_new_scenarios": 48,
            "provide_preference_aligned_recommendations": 41,
        }
    contexts = everything(task)
    with (real / "personamem" / "shared_contexts_32k.jsonl").open(encoding="utf-8") as file:
        raw = {name: turns for line in file for name, turns in json.loads(line).items()}
    positions = set()
    for name, context in contexts.items():
        assert [unit.render() for unit in context.units] == [
            turn["content"]
            if turn["content"].startswith(f"{turn['role'].capitalize()}: ")
            else f"{turn['role'].capitalize()}: {turn['content']}"
            for turn in raw[name]
        ]
        assert context.units[0].text.startswith("Current user persona: ")
        assert 4 <= context.meta["sessions"] <= 7
        assert all(96 <= (question.position or 0) < len(context.units) for question in context.questions)
        positions |= {(name, question.position) for question in context.questions}
        assert all(question.options and len(question.options) == 4 for question in context.questions)
    assert len(positions) > 5 * len(contexts)
