"""MemoryAgentBench: every source's card, contexts cut at their joints, evidence of chats, golds of ReDial, damage."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from golden_data import MAB_CHATS, MAB_META
from hubcache import placed
from hypothesis import given, settings
from hypothesis import strategies as st
from records import parquet

from memeval import plugins
from memeval.data.fields import published
from memeval.data.files import local
from memeval.errors import UsageError
from memeval.metrics import METRICS, Reply
from memeval.prompts import READER
from memeval.tasks import Settings, mab_units
from memeval.tasks.fixed import FixedTask
from memeval.tasks.memoryagentbench import MemoryAgentBench, parse, title
from memeval.tasks.verify import data_files

REVISION = "7ea066982b140a19337e17e60d45d4076e042faf"
AR, TTL, LRU, CR = "Accurate_Retrieval", "Test_Time_Learning", "Long_Range_Understanding", "Conflict_Resolution"
SPLITS = {
    AR: ["ruler_qa1_197K", "ruler_qa2_421K", "eventqa_full", "eventqa_65536", "eventqa_131072", "longmemeval_s*"],
    TTL: [
        "icl_banking77_5900shot_balance",
        "icl_clinic150_7050shot_balance",
        "icl_nlu_8296shot_balance",
        "icl_trec_coarse_6600shot_balance",
        "icl_trec_fine_6400shot_balance",
        "recsys_redial_full",
    ],
    LRU: ["infbench_sum_eng_shots2", "detective_qa"],
    CR: [f"factconsolidation_{hop}_{size}" for hop in ("sh", "mh") for size in ("6k", "32k", "64k", "262k")],
}
SOURCES = [(split, source) for split, sources in SPLITS.items() for source in sources]

CONTEXTS = {
    "ruler_qa": "Document 1:\nNormandy is in France.\n\nIt has cider.\n\nDocument 2:\nSee Document 1: there.\n",
    "eventqa": "It rained.\n\nAnn left.\n  \nBob stayed.",
    "longmemeval": repr(MAB_CHATS),
    "icl": "where is my card?\nlabel: 11\n\nfirst line\nsecond line\nlabel: 3\n\n",
    "recsys": "Dialogue 1:\nSystem: Hi\nUser: I liked Heat\n\nDialogue 2:\nUser: Hello",
    "infbench": "Chapter 1\n\nIt rained.",
    "detective": "[1] A door.\n\n[2] A knife.",
    "factconsolidation": "Here is a list of facts:\n0. Kyd was born in London.\n1. Kyd was born in Rome.\n10. 3. is odd.\n",
}
UNITS = {
    "ruler_qa": ["Document 1:\nNormandy is in France.\n\nIt has cider.", "Document 2:\nSee Document 1: there."],
    "eventqa": ["It rained.", "Ann left.", "Bob stayed."],
    "longmemeval": ["I play the viola.", 'It\'s "new".', "Nice!"],
    "icl": ["where is my card?\nlabel: 11", "first line\nsecond line\nlabel: 3"],
    "recsys": ["Dialogue 1:\nSystem: Hi\nUser: I liked Heat", "Dialogue 2:\nUser: Hello"],
    "infbench": ["Chapter 1", "It rained."],
    "detective": ["[1] A door.", "[2] A knife."],
    "factconsolidation": [
        "Here is a list of facts:",
        "0. Kyd was born in London.",
        "1. Kyd was born in Rome.",
        "10. 3. is odd.",
    ],
}
# beginning of a source's name -> golds, a reply, its headline score worked by hand
SCORED: dict[str, tuple[list[str], str, float]] = {
    "ruler_qa": (["Stuttgart", "the art"], "Stuttgart.", 1.0),
    "eventqa": (["Ann kissed Bob, then left."], "The event: ann kissed bob, then left.", 1.0),
    "longmemeval": (["the viola"], "viola", 1.0),
    "icl": (["11"], "11.", 1.0),
    "recsys": (["509", "7"], "The recommendations are:\n1. Heat (1995)\n2. Up\n3. Jaws\n4. Big\n5. Alien\n6. Amélie", 0.5),
    "infbench": (["it rained all day"], "it rained", 2 * 1.0 * 0.5 / 1.5),
    "detective": (["C. The couple"], '{"answer": "C. The couple", "reasoning": "They were blackmailed."}', 1.0),
    "factconsolidation": (["Rome"], "London", 0.0),
}


def family(source: str) -> str:
    return next(prefix for prefix in CONTEXTS if source.startswith(prefix))


def row(source: str, **changes: Any) -> dict[str, Any]:
    """A row in the published schema; fields of `metadata` that a source does not use are null."""
    meta: dict[str, Any] = {**dict.fromkeys(MAB_META), "demo": None, "source": source}
    meta["qa_pair_ids"] = [f"{source}_no{number}" for number in range(2)]
    if source.startswith("longmemeval"):
        turn = {**MAB_CHATS[1][0], "has_answer": True}
        meta["question_ids"] = ["q0", "q9_abs"]
        meta["question_types"] = ["single-session-user"] * 2
        meta["question_dates"] = ["2023/05/30 (Tue) 23:40"] * 2
        meta["haystack_sessions"] = [[[turn, {**MAB_CHATS[1][1], "has_answer": None}]] for _ in range(2)]
    made = {
        "context": CONTEXTS[family(source)],
        "questions": [f"Question {number}?" for number in range(2)],
        "answers": [SCORED[family(source)][0]] * 2,
        "metadata": {**meta, **changes.pop("metadata", {})},
    }
    return {**made, **changes}


def name_of(source: str) -> str:
    return f"mab-{source.replace('*', '')}"


def load(source: str, root: Path | None) -> FixedTask:
    card = plugins.find_task(name_of(source))
    assert plugins.source(card) is MemoryAgentBench
    return MemoryAgentBench().load(card, Settings(data_dir=root))


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    for split, sources in SPLITS.items():
        rows = [row(source) for source in [*sources, sources[0]]]
        parquet(folder / "memoryagentbench" / f"{split}-00000-of-00001.parquet", rows)
    titles = {"<http://dbpedia.org/resource/Heat_(1995_film)>": 509, "Amélie": 7, "Spider-Man": 8}
    (folder / "memoryagentbench" / "entity2id.json").write_text(json.dumps(titles))
    return folder


@pytest.mark.parametrize(("split", "source"), SOURCES)
def test_every_source_has_a_card_that_reads_and_scores_it(split: str, source: str, root: Path) -> None:
    task = load(source, root)
    rows = 2 if source == SPLITS[split][0] else 1
    assert (task.data["contexts"], task.data["questions"]) == (rows, 2 * rows)
    assert task.data["files"][-1]["name"] == f"memoryagentbench/{split}-00000-of-00001.parquet"
    context = task.context(task.refs(["0-1"])[0])
    assert (context.id, [unit.text for unit in context.units]) == ("0", UNITS[family(source)])
    assert [question.id for question in context.questions] == ["0-0", "0-1"]
    _, reply, expected = SCORED[family(source)]
    assert METRICS[task.card.headline](Reply(reply, context.questions[0])) == pytest.approx(expected)
    assert (task.card.chunk_tokens, task.card.cluster, task.card.questions) == (4096, "context", 0)
    assert task.card.licence == "MIT"
    assert task.card.reader_prompt in READER
    assert set(task.card.metrics) <= set(METRICS)
    for split_file in task.card.params["hub"]:
        assert split_file == f"ai-hyz/MemoryAgentBench@{REVISION}/data/{split}-00000-of-00001.parquet"


def test_what_a_card_needs(root: Path) -> None:
    (split,) = data_files(plugins.find_task("mab-detective_qa"))
    assert [file.name for file in local(split, root)] == [f"memoryagentbench/{LRU}-00000-of-00001.parquet"]
    assert split.hub == (f"ai-hyz/MemoryAgentBench@{REVISION}/data/{LRU}-00000-of-00001.parquet",)
    _, titles = data_files(plugins.find_task("mab-recsys_redial_full"))
    assert [file.name for file in local(titles, root)] == ["memoryagentbench/entity2id.json"]
    assert titles.required


def test_leaked_questions_are_marked() -> None:
    for source in ("icl_nlu_8296shot_balance", "icl_trec_coarse_6600shot_balance"):
        card = plugins.find_task(f"mab-{source}")
        assert card.trained_on == ("Memalpha-4B: leaked, trained on these very questions",)
        assert "Leaked" in card.description
    assert plugins.find_task("mab-icl_trec_fine_6400shot_balance").trained_on == ()


def test_chats_keep_time_and_speaker_and_say_where_answers_stand(root: Path) -> None:
    task = load("longmemeval_s*", root)
    context = task.context(task.refs(["0-0"])[0])
    assert [unit.render() for unit in context.units] == [
        "[2023-05-20 02:21] User: I play the viola.",
        '[2023-05-21 16:10] User: It\'s "new".',
        "[2023-05-21 16:10] Assistant: Nice!",
    ]
    first, second = context.questions
    assert [(piece.text, piece.units) for piece in first.evidence] == [("I play the viola.", (0,))]
    assert (first.kind, first.time) == ("single-session-user", "2023/05/30 (Tue) 23:40")
    assert (first.answerable, second.answerable) == (True, False)
    assert all(not question.evidence for question in task.golds())


def test_evidence_skips_blank_turns_and_is_all_or_nothing() -> None:
    turns = mab_units.units("longmemeval_s*", CONTEXTS["longmemeval"])
    viola = {"role": "user", "content": "I play the viola.", "has_answer": True}
    nice = {"role": "assistant", "content": "Nice!", "has_answer": True}
    never, plain = {**nice, "content": "Never said."}, {**nice, "has_answer": False}
    found = [mab_units.evidence(sessions, turns) for sessions in ([[viola, plain], [nice]], [[nice, never]], [], None)]
    assert [[piece.units for piece in pieces] for pieces in found] == [[(0,), (2,)], [], [], []]


def test_keypoints_of_a_book_stand_on_the_gold_side(root: Path, tmp_path: Path) -> None:
    points = [" It rained all day.", "Ann stayed."]
    path = tmp_path / "memoryagentbench" / f"{LRU}-00000-of-00001.parquet"
    parquet(path, [row("infbench_sum_eng_shots2", metadata={"keypoints": points}), row("detective_qa")])
    task = load("infbench_sum_eng_shots2", tmp_path)
    assert {question.keypoints for question in task.golds()} == {("It rained all day.", "Ann stayed.")}
    context = task.context(task.refs(["0-0"])[0])
    assert context.questions[0].keypoints == ("It rained all day.", "Ann stayed.")
    assert not any("stayed" in unit.text for unit in context.units)
    assert all(question.keypoints == () for question in load("infbench_sum_eng_shots2", root).golds())  # null there
    assert (task.card.judge, task.card.headline, task.card.metrics) == ("infbench", "mab_rouge_l", ("mab_rouge_l", "mab_f1"))
    for source in ("detective_qa", "recsys_redial_full", "eventqa_full", "ruler_qa1_197K", "factconsolidation_mh_6k"):
        assert plugins.find_task(name_of(source)).judge == ""  # upstream's own rules, without a judge
    assert plugins.find_task(name_of("longmemeval_s*")).judge == "longmemeval"


def test_a_date_that_the_question_states_is_not_said_twice(tmp_path: Path) -> None:
    asked = ["Current Date: 2023/05/30 (Tue) 23:40, what do I play?", "What?"]
    parquet(
        tmp_path / "memoryagentbench" / f"{AR}-00000-of-00001.parquet",
        [row("longmemeval_s*", questions=asked)],
    )
    by_id = {question.id: question for question in load("longmemeval_s*", tmp_path).golds()}
    assert (by_id["0-0"].time, by_id["0-1"].time) == (None, "2023/05/30 (Tue) 23:40")


def test_redial_golds_become_titles(root: Path) -> None:
    question = load("recsys_redial_full", root).golds()[0]
    assert question.answers == ("Heat (1995 film)", "Amélie")
    assert title("<http://dbpedia.org/resource/Spider-Man_(2002_film)>") == "Spider-Man (2002 film)"


def test_redial_without_its_titles(tmp_path: Path, hub_cache: Path) -> None:
    parquet(tmp_path / "memoryagentbench" / f"{TTL}-00000-of-00001.parquet", [row("recsys_redial_full")])
    with pytest.raises(UsageError, match=r"memoryagentbench/entity2id\.json.*ai-hyz/MemoryAgentBench"):
        load("recsys_redial_full", tmp_path)
    (tmp_path / "memoryagentbench" / "entity2id.json").write_text('{"Heat": 509}')
    with pytest.raises(UsageError, match=r"record 1: not as published .gold '7' is no movie of .*entity2id\.json"):
        load("recsys_redial_full", tmp_path)
    (tmp_path / "memoryagentbench" / "entity2id.json").write_text("[]")
    with pytest.raises(UsageError, match=r"entity2id\.json.*expected an object"):
        load("recsys_redial_full", tmp_path)


@settings(deadline=None, max_examples=60, derandomize=True)
@given(
    st.lists(
        st.tuples(st.text("ab? ", min_size=1, max_size=8).filter(str.strip), st.integers(0, 99)), min_size=1, max_size=8
    )
)
def test_labelled_examples_survive_in_order(pairs: list[tuple[str, int]]) -> None:
    blocks = [f"{text.strip()}\nlabel: {number}" for text, number in pairs]
    assert [unit.text for unit in mab_units.units("icl_x", "\n\n".join(blocks))] == blocks
    assert [unit.text for unit in mab_units.units("icl_x", "\n".join(blocks) + "\ntail")] == [*blocks, "tail"]


@settings(deadline=None, max_examples=60, derandomize=True)
@given(st.sampled_from([key for key in CONTEXTS if key != "longmemeval"]), st.text("ab.\n 1:", max_size=40))
def test_no_text_is_lost(source: str, more: str) -> None:
    context = CONTEXTS[source] + more
    joined = "".join("".join(unit.text.split()) for unit in mab_units.units(source, context))
    assert joined == "".join(context.split())


def test_a_book_without_blank_lines_is_cut_at_sentence_ends() -> None:
    book = " ".join(f'Then "Mr. Bo" said number {number}.' for number in range(2000))
    texts = [unit.text for unit in mab_units.units("eventqa_full", book)]
    assert " ".join(texts) == book
    assert all(2000 <= len(text) + 1 < 2100 for text in texts[:-1])
    short = "A line.\n" * 400
    assert len(mab_units.units("eventqa_full", short)) == 1


DAMAGE: dict[str, tuple[dict[str, Any], str]] = {
    "an answer too few": ({"answers": [["a"]]}, "2 questions and 1 answers"),
    "no accepted answer": ({"answers": [["a"], []]}, r"question 1: its answers are \[\]"),
    "types that are lists": ({"metadata": {"question_types": [["a"], ["b"]]}}, "'question_types' holds something other"),
    "dates that are numbers": (
        {"metadata": {"question_dates": [1, 2]}},
        "'question_dates' holds something other",
    ),
    "a blank question": ({"questions": ["a?", " "]}, "question 1 is ' '"),
    "no context": ({"context": "  "}, "'context' is blank"),
    "null questions": ({"questions": None}, "'questions' is NoneType, expected a list"),
    "dates of other questions": (
        {"metadata": {"question_dates": ["2023/05/30 (Tue) 23:40"] * 3}},
        "'question_dates' does not fit its 2 questions",
    ),
    "a blank keypoint": (
        {"metadata": {"keypoints": ["Ann stayed.", " "]}},
        r"metadata 'keypoints' are \['Ann stayed.', ' '\]",
    ),
    "no source": ({"metadata": {"source": None}}, "metadata: 'source' is None"),
}


def test_an_answer_that_is_no_list_is_not_taken_for_its_letters() -> None:
    with pytest.raises(UsageError, match="here: not as published .Expected `array`, got `str`"), published("here"):
        parse(row("ruler_qa1_197K", answers=["Stuttgart", "Rome"]), "0", str)


def test_wrong_files(tmp_path: Path) -> None:
    path = parquet(tmp_path / "memoryagentbench" / f"{AR}-00000-of-00001.parquet", [row("ruler_qa1_197K")])
    with pytest.raises(UsageError, match=r"no record with source 'eventqa_full' \(it has ruler_qa1_197K\)"):
        load("eventqa_full", tmp_path)
    with pytest.raises(ValueError, match="source 'ruler' is not one whose contexts can be cut"):
        mab_units.units("ruler", "text")
    parquet(path, [{"context": "text", "questions": ["a?"], "answers": [["a"]]}])
    with pytest.raises(UsageError, match=r"record 1: not as published"):
        load("ruler_qa1_197K", tmp_path)


def test_the_pinned_revision_is_read_from_the_hub_cache(hub_cache: Path) -> None:
    with pytest.raises(UsageError, match=r"Conflict_Resolution-00000-of-00001\.parquet.*ai-hyz/MemoryAgentBench"):
        load("factconsolidation_sh_6k", None)
    name = f"data/{CR}-00000-of-00001.parquet"
    path = placed(hub_cache, "ai-hyz/MemoryAgentBench", name, REVISION, current="f" * 40)
    parquet(path, [row("factconsolidation_sh_6k")])
    task = load("factconsolidation_sh_6k", None)
    assert task.data["files"][0]["revision"] == REVISION
    assert task.data["questions"] == 2
