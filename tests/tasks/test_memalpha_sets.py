"""Mem-alpha's published rows: the parquet schema, every card's data source and metric, chunks kept apart, damage."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hubcache import REVISION, placed
from records import parquet

from memeval import plugins, tokens
from memeval.cards import AgentCard
from memeval.errors import UsageError
from memeval.metrics import METRICS, Reply
from memeval.prompts import READER
from memeval.protocol import scored
from memeval.runs.prepare import prepare
from memeval.tasks import Settings
from memeval.tasks.fixed import FixedTask
from memeval.tasks.memalpha import MemAlphaSets, parse

WRAPPED = "[Dialogue between User and Assistant on 2024-01-0{day} 00:00]\n<User>New facts:\n{text}\n<Assistant>Noted."

# task -> data source, gold as published, a reply, its headline score worked by hand
VALIDATION = {
    "memalpha-squad": ("squad", "Denver Broncos", "It was the Denver Broncos.", 1.0),
    "memalpha-hotpotqa": ("hotpotqa", "Chief of Protocol", "Chief of Staff", 0.0),
    "memalpha-perltqa": ("perltqa", "teacher;Beijing;two sisters", "A Teacher with two sisters", 2 / 3),
    "memalpha-trec-c": ("icl_trec_coarse_6600shot_balance", "4", "It asks for a place. \\boxed{4}", 1.0),
    "memalpha-nlu": ("icl_nlu_8296shot_balance", ["17"], "<answer>17</answer>", 1.0),
    "memalpha-pubmed-rct": ("pubmed-rct", "2", "\\boxed{2, methods}", 0.0),
    "memalpha-booksum": ("booksum", "Ishmael, New Bedford, the Pequod", "Ishmael boards the Pequod.", 2 / 3),
}
MAB = {
    "memalpha-mab-single-doc": ("ruler_qa1_197K", ["France", "french republic"], "the French Republic", 1.0),
    "memalpha-mab-multi-doc": ("ruler_qa2_421K", ["yes"], "No, they are not; yes would be wrong", 0.0),
    "memalpha-mab-lme": ("longmemeval_s*", ["two weeks"], "two weeks", 1.0),
    "memalpha-mab-trec-c": ("icl_trec_coarse_6600shot_balance", ["0"], "\\boxed{0}", 1.0),
    "memalpha-mab-nlu": ("icl_nlu_8296shot_balance", ["3"], "\\boxed{33}", 0.0),
    "memalpha-mab-trec-f": ("icl_trec_fine_6400shot_balance", ["46"], "46", 1.0),
    "memalpha-mab-clinic": ("icl_clinic150_7050shot_balance", ["120"], "\\boxed{120}", 1.0),
    "memalpha-mab-banking77": ("icl_banking77_5900shot_balance", ["7"], "class 7", 0.0),
    "memalpha-mab-infbench": (
        "infbench_sum_eng_shots2",
        "London, Mr. Ellis, a letter, 1811",
        "Mr. Ellis leaves London.",
        0.5,
    ),
}


def row(instance: int, source: str, answers: list[Any], **changes: Any) -> dict[str, Any]:
    """A row as upstream writes it; `metadata` holds NaN where sets of several families were put together."""
    texts = [WRAPPED.format(day=day + 1, text=f"Fact {instance}-{day} is so.") for day in range(3)]
    asked = [{"question": f"Question {number} of {instance}?", "answer": answer} for number, answer in enumerate(answers)]
    return {
        "instance_id": instance,
        "prompt": "I will provide you with sequential information chunks.",
        "chunks": json.dumps(texts),
        "questions_and_answers": json.dumps(asked),
        "data_source": source,
        "metadata": json.dumps({"book_title": float("nan"), "sub_source": source}),
        "num_chunks": 3,
        "num_questions": len(answers),
        **changes,
    }


def load(name: str, root: Path | None) -> FixedTask:
    card = plugins.find_task(name)
    assert plugins.source(card) is MemAlphaSets
    return MemAlphaSets().load(card, Settings(data_dir=root))


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder with every data source of both files, two rows each, mixed."""
    folder = tmp_path_factory.mktemp("data")
    for place, cases in (("memalpha", VALIDATION), ("memalpha-mab", MAB)):
        sources = [(source, gold) for source, gold, _, _ in cases.values()]
        rows = [row(2 * at + half, source, [gold, gold]) for half in (0, 1) for at, (source, gold) in enumerate(sources)]
        parquet(folder / place / "test.parquet", rows)
    return folder


@pytest.mark.parametrize("name", [*VALIDATION, *MAB])
def test_every_card_takes_its_rows_and_scores_by_its_metric(name: str, root: Path) -> None:
    _, gold, reply, expected = {**VALIDATION, **MAB}[name]
    task = load(name, root)
    assert (task.data["contexts"], task.data["questions"]) == (2, 4)
    question = task.golds()[0]
    assert question.answers == (tuple(gold) if isinstance(gold, list) else (gold,))
    card = task.card
    assert METRICS[card.headline](Reply(reply, question)) == pytest.approx(expected)
    assert card.headline in card.metrics
    assert card.reader_prompt in READER
    assert set(card.metrics) <= set(METRICS)
    assert (card.cluster, card.questions, card.one_unit_per_chunk) == ("context", 0, True)
    assert card.licence
    assert card.citation


def test_units_are_the_chunks_and_ids_are_instance_and_number(root: Path) -> None:
    task = load("memalpha-squad", root)
    assert sorted(task.order) == ["0-0", "0-1", "1-0", "1-1"]
    (ref,) = task.refs(["1-1"])
    context = task.context(ref)
    assert (context.id, context.cluster, context.meta) == ("1", "1", {"documents": 3})
    assert [unit.text for unit in context.units] == [
        WRAPPED.format(day=day, text=f"Fact 1-{day - 1} is so.") for day in (1, 2, 3)
    ]
    assert all(unit.time is None and unit.speaker is None for unit in context.units)
    assert [question.text for question in context.questions] == ["Question 0 of 1?", "Question 1 of 1?"]
    assert all(question.position is None and question.answerable for question in context.questions)


@pytest.mark.parametrize("name", ["memalpha-squad", "memalpha-mab-clinic"])
def test_a_published_chunk_is_never_merged_nor_cut(name: str, root: Path) -> None:
    task = load(name, root)
    (ref,) = task.refs(task.order[:1])
    context = task.context(ref)
    count = tokens.counter(task.card.tokenizer)
    prepared = prepare(context, ref, task.card.chunk_tokens, count, task.card.one_unit_per_chunk)
    assert [chunk.text for chunk in prepared.stream] == [unit.text for unit in context.units]
    assert len(prepare(context, ref, task.card.chunk_tokens, count).stream) == 1


def test_leaks_and_training_data_are_marked() -> None:
    assert all(plugins.find_task(name).trained_on[0].startswith("Memalpha-4B") for name in VALIDATION)
    for name in ("memalpha-nlu", "memalpha-trec-c", "memalpha-mab-nlu", "memalpha-mab-trec-c"):
        card = plugins.find_task(name)
        assert card.trained_on == ("Memalpha-4B: leaked, trained on these very questions",)
        assert "Leaked" in card.description
    assert plugins.find_task("memalpha-mab-clinic").trained_on == ()
    assert "non-commercial" in plugins.find_task("memalpha-perltqa").licence


def test_the_training_rows_are_a_variant(root: Path) -> None:
    parquet(root / "memalpha" / "train.parquet", [row(7, "squad", ["gold"])])
    assert load("memalpha-squad@train", root).order == ["7-0"]


def test_evidence_is_found_by_its_text(root: Path) -> None:
    asked = [
        {"question": "One?", "answer": "so", "evidence": ["Fact 5-1 is so."], "evidence_idx": 0},
        {"question": "Two?", "answer": "so", "evidence": [["A title", "Fact 5-2 is so."], ["Other", "Noted."]]},
        {"question": "None?", "answer": "so", "evidence_idx": [0]},
    ]
    changed = row(5, "hotpotqa", ["so"] * 3, questions_and_answers=json.dumps(asked))
    one, two, none = parse(changed).questions
    assert [(piece.text, piece.units) for piece in one.evidence] == [("Fact 5-1 is so.", (1,))]
    assert [piece.units for piece in two.evidence] == [(2,), (0, 1, 2)]
    assert none.evidence == ()


def test_upstreams_hotpotqa_rows_name_sentences_of_articles_that_were_cut() -> None:
    """process_data.py keeps supporting sentences (title, text with its leading blank), and cuts or skips long articles."""
    asked = [
        {"question": "Whole?", "answer": "so", "evidence": [["A", " Fact 5-1 is so."], ["A", " "]], "evidence_idx": [1]},
        {"question": "Cut?", "answer": "so", "evidence": [["A", "Fact 5-1 is so."], ["B", " It was cut off."]]},
    ]
    whole, cut = parse(row(5, "hotpotqa", ["so"] * 2, questions_and_answers=json.dumps(asked))).questions
    assert [(piece.text, piece.units) for piece in whole.evidence] == [("Fact 5-1 is so.", (1,))]
    assert cut.evidence == ()


DAMAGE: dict[str, tuple[dict[str, Any], str]] = {
    "not json": ({"chunks": "['a', 'b']"}, "row.*'chunks': not valid JSON"),
    "code": ({"chunks": "[print(1)]"}, "'chunks': not valid JSON"),
    "NaN": ({"chunks": '["a", NaN]'}, "NaN is not a JSON value"),
    "half a surrogate pair": ({"chunks": '["\\ud800"]'}, "surrogate"),
    "a blank chunk": ({"chunks": '["a", "b", " "]'}, "'chunks' holds something other than texts"),
    "chunks that are no list": ({"chunks": '{"a": 1}'}, "'chunks' is not a list"),
    "cut chunks": ({"num_chunks": 4}, "'num_chunks' is 4, but the row holds 3"),
    "cut questions": ({"num_questions": 9}, "'num_questions' is 9, but the row holds 1"),
    "no questions": ({"questions_and_answers": "[]"}, "'questions_and_answers' is not a list with something"),
    "an answer of null": ({"questions_and_answers": '[{"question": "a?", "answer": null}]'}, "'answer' is None"),
    "a blank answer": ({"questions_and_answers": '[{"question": "a?", "answer": " "}]'}, "'answer' is ' '"),
    "no question": ({"questions_and_answers": '[{"answer": "a"}]'}, "no field 'question'"),
    "evidence that is one text": (
        {"questions_and_answers": '[{"question": "a?", "answer": "a", "evidence": "Fact"}]'},
        "'evidence' is 'Fact', expected a list",
    ),
    "evidence that is a number": (
        {"questions_and_answers": '[{"question": "a?", "answer": "a", "evidence": 7}]'},
        "'evidence' is 7, expected a list",
    ),
    "a piece that is no text": (
        {"questions_and_answers": '[{"question": "a?", "answer": "a", "evidence": [["A title", null]]}]'},
        "'evidence' holds .*None.*, expected a text",
    ),
}


def test_wrong_files(tmp_path: Path) -> None:
    path = parquet(tmp_path / "memalpha" / "test.parquet", [row(3, "squad", ["a"]), row(3, "squad", ["b"])])
    with pytest.raises(UsageError, match=r"record 2: id '3' was already used by"):
        load("memalpha-squad", tmp_path)
    with pytest.raises(UsageError, match=r"no record with data_source 'booksum' \(it has squad\)"):
        load("memalpha-booksum", tmp_path)
    path.write_bytes(path.read_bytes()[:-30])
    with pytest.raises(UsageError, match=r"test\.parquet.*not valid parquet"):
        load("memalpha-squad", tmp_path)
    changed = [{key: value for key, value in row(3, "squad", ["a"]).items() if key != "chunks"}]
    parquet(path, changed)
    with pytest.raises(UsageError, match=r"record 1: not as published .no field 'chunks'"):
        load("memalpha-squad", tmp_path)


def test_the_hub_cache_is_read_and_no_data_names_every_remedy(hub_cache: Path) -> None:
    with pytest.raises(UsageError, match=r"memalpha-mab/test\.parquet.*YuWangX/Memalpha-Memoryagentbench/test\.parquet"):
        load("memalpha-mab-lme", None)
    parquet(placed(hub_cache, "YuWangX/Memalpha", "test.parquet"), [row(0, "pubmed-rct", ["1"])])
    task = load("memalpha-pubmed-rct", None)
    assert task.order == ["0-0"]
    assert (task.data["files"][0]["hub"], task.data["files"][0]["revision"]) == ("YuWangX/Memalpha", REVISION)


@pytest.mark.parametrize("name", [name for name in (*VALIDATION, *MAB) if name != "memalpha-mab-lme"])
def test_the_published_protocol_and_its_unequal_rules(name: str) -> None:
    source = {**VALIDATION, **MAB}[name][0]
    unequal = {"icl_": ("boxed", "mab_line"), "ruler": ("mab_substring", "contains_first")}
    equal = {"squad": "contains_first", "hotpotqa": "contains_first", "pubmed-rct": "boxed"}
    ours, others = next(
        (pair for prefix, pair in unequal.items() if source.startswith(prefix)),
        (equal.get(source, "keyword_share_published"),) * 2,
    )
    card = plugins.find_task(f"{name}@memalpha-as-published")
    assert scored(card, AgentCard(name="memalpha", agent="memalpha")).headline == ours
    assert scored(card, AgentCard(name="bm25", agent="bm25")).headline == others
    assert plugins.find_task(f"{name}@memalpha").headline == plugins.find_task(name).headline


def test_a_judged_cell_has_no_string_rule() -> None:
    published = plugins.find_task("memalpha-mab-lme@memalpha-as-published")
    assert (published.scoring, published.judge) == ("equal", "lme-memalpha")
    assert {plugins.find_task(name).judge for name in ("memalpha-mab-lme", "mab-longmemeval_s")} == {"longmemeval"}
