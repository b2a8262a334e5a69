"""Published protocols: MemOCR's layout against its script's rule, cards, sampling, visibility, budgets, scoring.

The rule is written down here once more from the released script (syr-cn/MemOCR at 61ceddf,
taskutils/memory_data/process_test.py), apart from the package's own.
"""

from __future__ import annotations

import dataclasses
import itertools
import json
import random
import sqlite3
from collections import Counter
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from folders import file_of, read_lines
from msgspec.structs import replace

from memeval import cards, digests, metrics, plugins, protocol
from memeval.cards import AgentCard, TaskCard
from memeval.errors import UsageError
from memeval.models.body import switched
from memeval.models.completion import ModelSpec
from memeval.runs.options import Options
from memeval.runs.plan import plan
from memeval.runs.prompts import deviations
from memeval.runs.roles import with_sampling
from memeval.runs.run import run
from memeval.runs.spec import AgentSpec, RunSpec
from memeval.task import Context, Question
from memeval.tasks import Settings
from memeval.tasks.multihop import HotpotQA
from memeval.tasks.pool import Passage, Pool
from memeval.tasks.streams import Example, PackedTask

TASKS = ("hotpotqa", "2wiki", "nq", "triviaqa")
VARIANTS = ("memocr", "memocr-b256", "memocr-b64", "memocr-b16", "memagent", "memalpha", "memalpha-as-published")
POOL = tuple(Passage(f"Title {n}", f"Text of document {n}, with some words.") for n in range(900))


def example(n: int) -> Example:
    own = POOL[4 * n : 4 * n + 4]
    return Example(
        Question(f"q{n:03d}", f"What is {n}" + "?" * (n % 2), (str(n),)), own, ((1, own[1].text), (3, own[3].text))
    )


EXAMPLES = [example(n) for n in range(200)]


def build(examples: list[Example] = EXAMPLES, pool: tuple[Passage, ...] = POOL, seed: int = 42, **card: Any) -> PackedTask:
    card = {"name": "t-10k", "source": "x", "layout": "memocr", **card}
    made = Pool(pool)
    return PackedTask(TaskCard(**card), Settings(seed=seed), examples, lambda: made, {})


def contexts(task: PackedTask, count: int = 10) -> list[Context]:
    return [task.context(ref) for ref in task.refs(task.order[:count])]


# -- the layout -------------------------------------------------------------------------------------------------------


def script_draw(questions: list[Any], wanted: int, subset: int = 128) -> list[Any]:
    """The questions of one length, as `__main__` and `generate_dataset` draw them."""
    random.seed(42)
    for length in [50, 100, 200, 400, 800, 1600, 3200, 6400, 12800, 25600]:
        every = range(len(questions))
        chosen = list(every) if len(questions) < subset else random.sample(every, subset)
        if length == wanted:
            return [questions[index] for index in chosen]
    raise AssertionError(wanted)


def script_context(own: list[str], distractors: list[str]) -> tuple[str, list[int]]:
    """The text of a stream and the places of its own documents, as `generate_input_output` makes them."""
    all_docs = own + distractors
    perm = list(range(len(all_docs)))
    random.Random(4).shuffle(perm)
    shuffled = [all_docs[i] for i in perm]
    text = "\n\n".join(f"Document {i + 1}:\n{document}" for i, document in enumerate(shuffled))
    return text, [perm.index(i) for i in range(len(own))]


@pytest.mark.parametrize("documents", [50, 200, 800, 6400])
def test_the_questions_of_a_length_are_those_the_script_draws(documents: int) -> None:
    state = random.getstate()
    expected = [item.question.id for item in script_draw(EXAMPLES, documents)]
    random.setstate(state)
    task = build(documents=documents)
    assert list(task.order[:128]) == expected
    assert sorted(task.order) == [f"q{n:03d}" for n in range(200)]
    assert random.getstate() == state  # no generator but our own was touched


def test_frozen_draws() -> None:
    # printed by CPython 3.11: random.seed(42), then random.sample(range(200), 128)[:6] three times; 200 documents are third
    assert build(documents=50).order[:6] == ["q163", "q028", "q006", "q189", "q070", "q062"]
    assert build(documents=200).order[:6] == ["q027", "q063", "q049", "q048", "q137", "q114"]
    assert build(documents=50, seed=43).order[:6] != build(documents=50).order[:6]
    assert len(set(build(documents=50).order[:128]) & set(build(documents=200).order[:128])) < 110


def test_fewer_questions_than_are_drawn_stay_in_order() -> None:
    assert build(EXAMPLES[:127][::-1], documents=50).order == [f"q{n:03d}" for n in reversed(range(127))]


def test_the_stream_is_the_scripts_text_of_the_same_documents() -> None:
    for context in contexts(build(documents=50)):
        (question,) = context.questions
        item = EXAMPLES[int(question.id[1:])]
        own = [f"{passage.title}\n{passage.text}" for passage in item.own]
        found = [unit.text.split("\n", 1)[1] for unit in context.units]
        perm = list(range(50))
        random.Random(4).shuffle(perm)
        distractors = [found[perm.index(place)] for place in range(4, 50)]
        text, places = script_context(own, distractors)
        assert "\n\n".join(unit.render() for unit in context.units) == text
        assert [piece.units for piece in question.evidence] == [(places[1],), (places[3],)]
        assert len(set(found)) == 50


def test_one_permutation_for_all_questions_of_a_length() -> None:
    assert build(documents=10).card.layout == "memocr"
    for documents in (50, 200):
        assert len({context.questions[0].evidence[0].units for context in contexts(build(documents=documents))}) == 1
    # printed by CPython 3.11: random.Random(4).shuffle of 0 to 9 gives [8, 2, 0, 7, 6, 9, 5, 1, 4, 3]
    small = contexts(build(documents=10), 1)[0]
    assert [piece.units for piece in small.questions[0].evidence] == [(7,), (9,)]


def test_every_length_has_distractors_of_its_own() -> None:
    names = ["q003", "q100", "q150"]
    drawn = []
    for documents in (50, 200):
        task = build(documents=documents)
        drawn.append([{unit.text.split("\n", 1)[1] for unit in task.context(ref).units} for ref in task.refs(names)])
    for short, long in zip(*drawn, strict=True):
        assert len(short & long) < 30  # 4 of its own and about 9 of 46 by chance; a nested stream would share all 50


def test_distractors_are_uniform_and_without_hygiene() -> None:
    twins = tuple(Passage("Title 1", f"Another text, number {n}.") for n in range(40))
    task = build(EXAMPLES[:1], POOL[:60] + twins, documents=50)
    (context,) = contexts(task, 1)
    titles = [unit.text.split("\n")[1] for unit in context.units]
    assert titles.count("Title 1") > 5  # the title of gold, which streams of ours would leave out
    counts: Counter[str] = Counter()
    for context in contexts(build(pool=POOL[:100], examples=[example(n) for n in range(20, 200)], documents=54), 180):
        counts.update(unit.text.split("\n")[1] for unit in context.units)
    # each of the 100 passages is drawn for half of 180 questions: 90, standard deviation 6.7
    assert all(60 < counts[f"Title {n}"] < 120 for n in range(80))


def test_questions_end_with_a_question_mark() -> None:
    task = build(documents=50)
    texts = {question.id: question.text for question in task.golds()}
    assert (texts["q002"], texts["q003"]) == ("What is 2?", "What is 3?")
    assert contexts(task, 1)[0].questions[0].text == texts[task.order[0]]
    assert {question.text for question in build(layout="", documents=50).golds()} >= {"What is 2"}


def test_a_pool_that_is_too_short_is_a_usage_error() -> None:
    with pytest.raises(UsageError, match="needs 200 documents, but the pool gives only 100"):
        contexts(build(EXAMPLES[:20], POOL[:100], documents=200), 1)


def test_tokens_are_those_of_the_printed_documents() -> None:
    (context,) = contexts(build(documents=50), 1)
    (plain,) = contexts(build(documents=50, layout=""), 1)
    assert context.meta["tokens"] >= plain.meta["tokens"] + 4 * 50  # "Document 7:" and its line end, each


# -- cards ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("base", "length"), list(itertools.product(TASKS, ("10k", "30k", "100k", "1m"))))
def test_every_card_has_every_variant(base: str, length: str) -> None:
    plain = plugins.find_task(f"{base}-{length}")
    for variant in VARIANTS:
        card = plugins.find_task(f"{base}-{length}@{variant}")
        assert card.name == f"{base}-{length}@{variant}"
        assert (card.documents, card.source, card.cluster) == (plain.documents, plain.source, "question")
        assert card.headline in card.metrics
        assert card.protocol
        assert card.deviations
        for metric in card.metrics:
            metrics.load(metric, card.path)


@pytest.mark.parametrize("base", TASKS)
def test_memocr_is_written_out(base: str) -> None:
    budgets = {"memocr": 1024, "memocr-b256": 256, "memocr-b64": 64, "memocr-b16": 16}
    for variant, budget in budgets.items():
        card = plugins.find_task(f"{base}-30k@{variant}")
        assert (card.layout, card.query_visible, card.chunk_tokens, card.repeats) == ("memocr", True, 5000, 3)
        assert (card.tokenizer, card.answer_budget) == ("Qwen/Qwen2.5-7B-Instruct", budget)
        assert card.sampling == {role: {"temperature": 0.7, "top_p": 0.95} for role in ("memory", "reader")}
        assert card.headline == "substring_guarded"
        assert "substring_two_way" in card.metrics
    if base in ("nq", "triviaqa"):
        assert "memocr-like, never reproduces MemOCR" in card.protocol
    else:
        assert card.params["hub"][0].startswith("RUC-NLPIR/FlashRAG_datasets/")
        assert card.params["corpus"] == ""


@pytest.mark.parametrize("base", TASKS)
def test_memagent_and_memalpha_are_written_out(base: str) -> None:
    card = plugins.find_task(f"{base}-100k@memagent")
    assert (card.layout, card.query_visible, card.chunk_tokens, card.answer_budget) == ("", True, 5000, 1024)
    assert card.sampling["memory"] == {"temperature": 0.7, "top_p": 0.95}
    equal, published = (plugins.find_task(f"{base}-100k@{name}") for name in ("memalpha", "memalpha-as-published"))
    assert (equal.query_visible, equal.scoring, published.scoring) == (False, "equal", "as-published")
    agent = AgentCard(name="bm25", agent="bm25")
    assert protocol.scored(equal, agent).headline == "substring"
    assert protocol.scored(published, agent).headline == "contains_first"
    assert set(equal.metrics) == set(published.metrics) >= {"substring", "contains_first"}


def test_as_published_may_score_agents_unequally() -> None:
    rules = {"memalpha": "boxed", "*": "mab_line", "mine": "f1"}
    card = TaskCard(name="t", source="x", metrics=("boxed", "mab_line", "f1"), headline="boxed", published_metrics=rules)
    agents = [
        AgentCard(name=name, agent=agent) for name, agent in (("memalpha-4b", "memalpha"), ("bm25", "bm25"), ("mine", "x"))
    ]
    assert [protocol.scored(card, agent).headline for agent in agents] == ["boxed", "boxed", "boxed"]
    unequal = replace(card, scoring="as-published")
    assert [protocol.scored(unequal, agent).headline for agent in agents] == ["boxed", "mab_line", "f1"]


BAD = {
    "layout: memorc": "'layout' is 'memorc'; did you mean 'memocr'? (known: memocr)",
    "layout: memocr\nhard: true": "layout 'memocr' is one question per stream",
    "layout: memocr\nshared: 4": "layout 'memocr' is one question per stream",
    "layout: memocr\ntokens: 900": "layout 'memocr' is one question per stream",
    "repeats: 0": "'repeats' is 0, expected a whole number >= 1",
    "sampling: 0.7": "'sampling' is 0.7, expected a mapping",
    "sampling: {readers: {temperature: 1}}": "unknown key 'sampling.readers'; did you mean 'reader'?",
    "sampling: {reader: 0.7}": "'sampling.reader' is 0.7, expected a mapping",
    "sampling: {reader: {temprature: 1}}": "unknown key 'sampling.reader.temprature'; did you mean 'temperature'?",
    "sampling: {reader: {temperature: 3}}": "'sampling.reader.temperature' is 3, expected a number <= 2.0",
    "sampling: {reader: {temperature: .nan}}": "'sampling.reader.temperature' is nan, expected a number",
    "sampling: {reader: {max_tokens: 10.5}}": "'sampling.reader.max_tokens' is 10.5, expected a whole number",
    "sampling: {reader: {max_tokens: true}}": "'sampling.reader.max_tokens' is True, expected a whole number",
    "sampling: {reader: {thinking: maybe}}": "'sampling.reader.thinking' is 'maybe' (known: auto, on, off)",
    "cut_off: scores": "'cut_off' is 'scores'; did you mean 'scored'?",
    "recall_prefix: text": "'recall_prefix' is 'text', expected a mapping",
    "scoring: equally": "'scoring' is 'equally'; did you mean 'equal'?",
    "scoring: as-published": "'published_metrics' has no rule for all other agents ('*')",
    "published_metrics: {bm25: recall}": "'published_metrics.bm25' is 'recall', expected one of the card's 'metrics'",
    "deviations: {a: b}": "'deviations' is {'a': 'b'}, expected a list",
}


@pytest.mark.parametrize("text", BAD)
def test_a_bad_protocol_is_one_line(text: str, tmp_path: Path) -> None:
    path = tmp_path / "bad.yaml"
    path.write_text(f"source: jsonl\n{text}\n")
    with pytest.raises(UsageError) as caught:
        cards.find(TaskCard, str(path))
    assert BAD[text] in str(caught.value)
    assert str(caught.value).startswith(f"{path}:2: ")
    assert "\n" not in str(caught.value)
    keys = "\n".join(f"    {line}" for line in text.splitlines())
    path.write_text(f"source: jsonl\nvariants:\n  mine:\n{keys}\n")
    card = cards.find(TaskCard, str(path))
    assert card is not None
    with pytest.raises(UsageError) as again:
        cards.with_variant(card, "mine")
    assert BAD[text] in str(again.value).replace("variants.mine.", "")


def test_general_variants_do_not_go_with_the_layout() -> None:
    for name in ("hotpotqa-10k@memocr@hard", "hotpotqa-10k@shared@memocr", "hotpotqa-10k@memocr@tokens-9000"):
        with pytest.raises(UsageError, match="layout 'memocr' is one question per stream"):
            plugins.find_task(name)


def test_params_of_a_variant_leave_the_others(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("source: jsonl\nparams: {file: a, corpus: b}\nvariants: {bare: {params: {corpus: ''}}}\n")
    card = cards.find(TaskCard, str(path))
    assert card is not None
    assert cards.with_variant(card, "bare").params == {"file": "a", "corpus": ""}


def test_what_a_protocol_says_is_part_of_the_identity_unless_it_is_words() -> None:
    card = TaskCard(name="t", source="x")
    changed: dict[str, Any] = {"layout": "memocr", "sampling": {"reader": {"top_p": 0.9}}, "scoring": "as-published"}
    for key, value in changed.items():
        assert digests.identity(replace(card, **{key: value})) != digests.identity(card)
    words: dict[str, Any] = {"repeats": 3, "protocol": "x", "deviations": ("y",)}
    assert digests.identity(replace(card, **words)) == digests.identity(card)


# -- data in FlashRAG's shape -----------------------------------------------------------------------------------------


def hotpot(n: int) -> dict[str, Any]:
    context = [[f"Place {n}-{i}", [f"Place {n}-{i} is a town.", f" It has {n + i} mills."]] for i in range(5)]
    return {
        "_id": f"id{n}",
        "type": "bridge",
        "question": f"How many mills has Place {n}-2",
        "answer": f"{n + 2}",
        "supporting_facts": [[f"Place {n}-2", 1], [f"Place {n}-0", 0]],
        "context": context,
    }


def flashrag(item: dict[str, Any], n: int) -> dict[str, Any]:
    return {
        "id": f"dev_{n}",
        "question": item["question"],
        "golden_answers": [item["answer"]],
        "metadata": {
            "type": item["type"],
            "level": "hard",
            "supporting_facts": {
                "title": [title for title, _ in item["supporting_facts"]],
                "sent_id": [number for _, number in item["supporting_facts"]],
            },
            "context": {
                "title": [title for title, _ in item["context"]],
                "sentences": [parts for _, parts in item["context"]],
            },
        },
    }


@pytest.fixture
def data(tmp_path: Path) -> Path:
    folder = tmp_path / "data" / "hotpotqa"
    folder.mkdir(parents=True)
    (folder / "hotpot_dev_distractor_v1.json").write_text(json.dumps([hotpot(n) for n in range(20)]))
    (folder / "extra_corpus.json").write_text(json.dumps([{"title": "Extra", "text": "Never drawn here."}]))
    return tmp_path / "data"


def test_memocr_reads_flashrag_first_and_no_corpus(data: Path) -> None:
    card = plugins.find_task("hotpotqa-10k@memocr")
    plain = HotpotQA().load(card, Settings(data_dir=data))
    assert (plain.data["pool"], plain.data["questions"]) == (100, 20)
    folder = data / "FlashRAG_datasets" / "hotpotqa"
    folder.mkdir(parents=True)
    rows = [flashrag(hotpot(n), n) for n in range(20)]
    del rows[3]["metadata"]["type"]
    (folder / "dev.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    task = HotpotQA().load(card, Settings(data_dir=data))
    assert [facts["name"] for facts in task.data["files"]] == ["FlashRAG_datasets/hotpotqa/dev.jsonl"]
    assert task.data["corpus"] == plain.data["corpus"]
    assert task.order == [f"dev_{n}" for n in range(20)]
    first = contexts(task, 1)[0]
    assert first.questions[0].text == "How many mills has Place 0-2?"
    for piece in first.questions[0].evidence:
        (at,) = piece.units
        assert first.units[at].text.startswith(f"Document {at + 1}:\n{piece.text.split(chr(10))[0]}\n")
    assert [question.kind for question in task.golds()][2:5] == ["bridge", "all", "bridge"]
    (folder / "dev.jsonl").write_text(json.dumps({**rows[0], "metadata": None}))
    with pytest.raises(UsageError, match=r"dev\.jsonl:1: not as published"):
        HotpotQA().load(card, Settings(data_dir=data))


# -- end to end -------------------------------------------------------------------------------------------------------

AGENTS = '''
from memeval import Item, MemoryStats, Recall, ToolResult

class Blind:
    """Keeps the newest chunk."""
    def begin(self, session):
        self.session, self.kept = session, []
    def observe(self, chunk):
        self.kept = [chunk]
        self.session.record(ToolResult("keep", {"id": chunk.id}, "ok"))
    def recall(self, query):
        return Recall([Item(c.text, (c.id,)) for c in self.kept])

class Seer(Blind):
    """Keeps the chunks that share the most words with the question it was shown."""
    def begin(self, session):
        super().begin(session)
        self.words = set(session.query.text.lower().split()) if session.query else set()
    def observe(self, chunk):
        if self.words & set(chunk.text.lower().split()):
            self.kept.append(chunk)
            self.session.record(ToolResult("keep", {"id": chunk.id, "words": len(self.words)}, "ok"))
'''


@pytest.fixture
def project(project: Path, data: Path) -> Path:
    (project / "agents.py").write_text(AGENTS)
    return data


def finished(data: Path, agent: str, task: str, **options: Any) -> Any:
    options = {"limit": 4, "quiet": True, "models": {"model": "offline"}, "data_dir": data, **options}
    (planned,) = plan(Options([agent], [task], **options))
    outcome = run(planned, quiet=True)
    assert outcome.summary.status == "complete", outcome.summary
    return outcome


def lines(outcome: Any, name: str) -> list[dict[str, Any]]:
    return read_lines(file_of(outcome.planned.spec.folder, f"{name}.jsonl"))


def keys(journal: Path) -> set[bytes]:
    with closing(sqlite3.connect(journal)) as database:
        return {key for (key,) in database.execute("SELECT key FROM calls")}


@pytest.mark.parametrize(("agent", "used"), [("agents.py:Seer", True), ("agents.py:Blind", False)])
def test_a_visible_question_is_offered_and_its_use_recorded(agent: str, used: bool, project: Path) -> None:
    outcome = finished(project, agent, "hotpotqa-10k@memagent", repeats=1)
    samples = lines(outcome, "samples")
    assert [sample["query_used"] for sample in samples] == [used] * 4
    assert len({sample["context_id"] for sample in samples}) == 4  # one ingest per question
    assert {result["arguments"].get("words") for line in lines(outcome, "operations") for result in line["results"]} == (
        {6} if used else {None}
    )
    hidden = finished(project, agent, "hotpotqa-10k@memalpha")
    assert all(sample["query_used"] is None for sample in lines(hidden, "samples"))
    if used:
        assert all(not line["results"] for line in lines(hidden, "operations"))  # it was shown no words to go by


def test_budgets_read_one_memory(project: Path) -> None:
    outcomes = {
        variant: finished(project, "memalpha", f"hotpotqa-10k@{variant}")
        for variant in ("memocr", "memocr-b256", "memocr-b64", "memocr-b16")
    }
    steps = [line for line in lines(outcomes["memocr"], "operations") if line["units"]]
    assert len(steps) == 3 * 4 * len({line["chunk"] for line in steps})  # three runs of four questions
    most = {
        variant: max(sample["recall_tokens"] for sample in lines(outcome, "samples"))
        for variant, outcome in outcomes.items()
    }
    assert most["memocr-b16"] <= 16 < most["memocr-b64"] <= 64 < most["memocr-b256"] <= 256 < most["memocr"] <= 1024
    folders = [outcome.planned.spec.folder for outcome in outcomes.values()]
    assert len(set(folders)) == 4
    assert {outcome.planned.spec.memory.parent for outcome in outcomes.values()} == {
        folders[0].parent.with_name("hotpotqa-10k@memocr") / "memories"
    }
    assert len({outcome.planned.spec.memory for outcome in outcomes.values()}) == 1
    written = sum(line["calls"].get("memory", 0) for line in steps)
    assert len(keys(outcomes["memocr"].planned.spec.memory / "calls.sqlite")) >= written > 0


def test_sampling_and_repeats_of_the_protocol_reach_the_run(project: Path) -> None:
    (planned,) = plan(
        Options(["memalpha"], ["hotpotqa-10k@memocr"], models={"model": "offline"}, data_dir=project, quiet=True)
    )
    assert planned.spec.repeats == 3
    assert len(planned.question_ids) == 20
    for role in ("memory", "reader"):
        assert {key: planned.spec.models[role].params[key] for key in ("temperature", "top_p")} == {
            "temperature": 0.7,
            "top_p": 0.95,
        }
    options = Options(
        ["memalpha"], ["hotpotqa-10k@memocr"], models={"model": "offline"}, data_dir=project, repeats=1, quiet=True
    )
    assert plan(options)[0].spec.repeats == 1


def test_as_published_changes_the_headline_and_nothing_that_was_asked(project: Path) -> None:
    equal, published = (finished(project, "bm25", f"hotpotqa-10k@{name}") for name in ("memalpha", "memalpha-as-published"))
    assert equal.summary.headline.metric == "substring"
    assert published.summary.headline.metric == "contains_first"
    of_one, of_other = (
        {sample["question_id"]: sample for sample in lines(outcome, "samples")} for outcome in (equal, published)
    )
    assert of_one == of_other  # in whatever order they were answered
    for name in ("substring", "contains_first"):
        assert equal.summary.metrics[name] == published.summary.metrics[name]


@pytest.mark.parametrize(
    "name", ["2wiki-10k", "hotpotqa-10k", "nq-10k", "triviaqa-10k", "memalpha-squad", "memalpha-mab-lme"]
)
@pytest.mark.parametrize("variant", ["memalpha", "memalpha-as-published"])
def test_nothing_thinks_under_mem_alphas_protocol(name: str, variant: str) -> None:
    card = plugins.find_task(f"{name}@{variant}")
    options, agent = Options(["memalpha"], [name]), plugins.find_agent("memalpha")
    plain = {role: ModelSpec("Qwen/Qwen3-32B", "http://here/v1") for role in ("memory", "reader")}
    models = with_sampling(plain, card, agent, options)
    for role, temperature in (("memory", None), ("reader", 0.7)):
        sent = switched(models[role].name, models[role].params)
        assert sent["chat_template_kwargs"] == {"enable_thinking": False}
        assert sent.get("temperature") == temperature  # the writer's is its agent's own
    typed = with_sampling(plain, card, agent, dataclasses.replace(options, thinking={"reader": "auto"}))
    assert "chat_template_kwargs" not in switched(typed["reader"].name, typed["reader"].params)
    assert switched(typed["memory"].name, typed["memory"].params)["chat_template_kwargs"] == {"enable_thinking": False}


LISTENER = '''
from memeval import Recall

class Listener:
    """Says nothing, and writes down how it was asked."""
    def begin(self, session): pass
    def observe(self, chunk): pass
    def recall(self, query):
        with open("asked.txt", "a") as file:
            file.write(repr(query.text) + "\\n")
        return Recall()
'''


def test_a_memory_is_searched_with_the_query_prompt_where_the_paper_does_so(project: Path) -> None:
    Path("agents.py").write_text(LISTENER)
    Path("notes.jsonl").write_text('{"units": ["a"], "questions": [{"text": "Which?", "answer": "b"}]}\n')
    Path("notes.yaml").write_text(
        "source: jsonl\nparams: {file: notes.jsonl}\nrecall_prefix: {Listener: By the rules.}\n"
        "variants: {paper: {protocol: a paper}}\n"
    )
    for task in ("notes.yaml", "notes.yaml@paper"):
        (planned,) = plan(Options(["agents.py:Listener"], [task], models={"model": "offline"}, quiet=True))
        run(planned, quiet=True)
    assert Path("asked.txt").read_text().splitlines() == [repr("Which?"), repr("By the rules.\n\nWhich?")]

    def before(task: str, agent: str) -> str:
        spec = AgentSpec(agent, AgentCard(name="mine", agent=agent))
        return RunSpec(task, plugins.find_task(task), Settings(), spec, models={}, data={}).before

    assert before("memalpha-mab-banking77@memalpha", "memalpha")
    assert not before("memalpha-mab-banking77@memalpha", "bm25")  # RAG-Top2 asks the bare question
    assert not before("memalpha-mab-banking77", "memalpha")
    assert not before("memalpha-squad@memalpha", "memalpha")


def test_a_headline_that_is_not_the_published_rule_is_a_deviation() -> None:
    agents = {name: plugins.find_agent(name) for name in ("memalpha", "bm25")}

    def said(task: str, agent: str) -> list[str]:
        found = deviations(plugins.find_task(task), agents[agent], {})
        return [line for line in found if line.startswith("headline is ")]

    assert said("2wiki-10k@memalpha", "bm25") == [
        "headline is substring; the published number is by contains_first, which is computed too"
    ]
    assert said("memalpha-nlu@memalpha", "memalpha") == []  # boxed is both
    assert said("memalpha-nlu@memalpha", "bm25") == [
        "headline is boxed; the published number is by mab_line, which is computed too"
    ]
    for task in ("2wiki-10k@memalpha-as-published", "memalpha-nlu@memalpha-as-published", "memalpha-nlu"):
        assert said(task, "bm25") == []
    assert said("mab-detective_qa", "bm25")[0].endswith("by mab_exact_match, which is computed too")
