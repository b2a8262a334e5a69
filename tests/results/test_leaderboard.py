"""Published numbers as printed, what is wrong with them, and runs beside them."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner
from made_runs import Asked

from memeval import cards, plugins
from memeval.cards import SuiteCard, TaskCard
from memeval.cli import main
from memeval.prompts import shipped
from memeval.results.badge import Badge, badge
from memeval.results.grid import Grid
from memeval.results.leaderboard import leaderboard
from memeval.results.leaderboard_card import card
from memeval.results.load import load_runs
from memeval.results.published import Published, board, boards, differs, published, row_mean
from memeval.results.run import Run

REPOSITORY = Path(__file__).parents[2] / "leaderboards"
MEMOCR = "MemOCR (arXiv 2601.21468, Table 1), as its code builds and runs it"
Make = Callable[..., Path]


def cell(grid: Grid, column: str, **of: object) -> object:
    """The cell of a column in the only row that has these values."""
    rows = [dict(zip(grid.columns, row, strict=True)) for row in grid.rows]
    (row,) = [row for row in rows if all(row[name] == value for name, value in of.items())]
    return row[column]


def run_cli(*words: str) -> str:
    result = CliRunner().invoke(main, ["leaderboard", *words])
    assert result.exit_code == 0, result.output
    return result.output


# -- the rows ---------------------------------------------------------------------------------------------------------


def test_the_cells_that_the_project_started_from() -> None:
    # Mem-alpha in MemOCR's Table 1 (1024 tokens; NQ 10K is its cell at 256) and in CoMAM's
    grid = leaderboard("memocr-table1")[0]
    wanted = {"HotpotQA 10K": "75.0 ‡", "2WikiMultiHopQA 10K": "47.7", "2WikiMultiHopQA 30K": "40.1"}
    wanted |= {"2WikiMultiHopQA 100K": "50.0", "NQ 10K": "45.6", "TriviaQA 10K": "21.1", "Average 10K": "47.3"}
    assert {column: cell(grid, column, method="Mem-alpha", budget=1024) for column in wanted} == wanted
    assert cell(grid, "NQ 10K", method="Mem-alpha", budget=256) == "47.9"
    persona = leaderboard("comam")[0]
    assert [cell(persona, f"PersonaMem {size}", method="Mem-alpha") for size in ("32K", "128K", "1M")] == ["62", "67", "63"]
    assert cell(persona, "Average", method="Mem-alpha") == "64"


def test_the_table_is_as_large_as_the_published_one() -> None:
    grid = leaderboard("memocr-table1")[0]
    assert len(grid.rows) == 19  # 3 models that read the whole stream, 4 memories at 4 budgets
    assert [name for name in grid.columns if "without" not in name][2:] == [
        f"{data} {length}" if data != "Average" else f"Average {length}"
        for data in ("HotpotQA", "2WikiMultiHopQA", "NQ", "TriviaQA", "Average")
        for length in ("10K", "30K", "100K")
    ]


FLAGGED = {
    # board -> (method, budget, measure) -> our mean; by hand from the printed cells
    "memalpha-table1": {
        ("MemAgent", "", "performance"): 0.2259,
        ("Mem-alpha-4B", "", "performance"): 0.6190,
        ("MemAgent", "", "memory"): 0.8000,
    },
    "memalpha-table2": {
        ("Long-Context (Qwen3-32B, 32K)", "", "performance"): 0.4797,
        ("RAG-Top2 (BM25, Qwen3-32B)", "", "performance"): 0.5318,
        ("MemAgent", "", "memory"): 0.9089,
    },
    "memocr-table1": {("MemOCR-7B", "64", "performance"): 61.825},
    "comam": {},
}


@pytest.mark.parametrize("name", FLAGGED)
def test_printed_averages_that_are_not_the_mean_of_their_row(name: str) -> None:
    rows = [row for row in published() if row.board == name]
    found = {(*row.row, row.measure): row_mean(row) for row in rows if differs(row)}
    assert found == pytest.approx(FLAGGED[name], abs=6e-5)


def test_ours_is_beside_a_printed_average_that_differs() -> None:
    grid = leaderboard("memalpha-table1")[0]
    assert cell(grid, "Average", method="Mem-alpha-4B") == "0.642 (row mean 0.619)"
    assert cell(grid, "Average", method="MEM1") == "0.111"
    assert cell(grid, "Average without † ‡", method="Mem-alpha-4B") is None  # each of its cells is marked
    # (0.039 + 0.068 + 0.269 + 0.056 + 0.175 + 0.085) / 6, without HotpotQA
    assert cell(grid, "Average without † ‡", method="MEM1") == "0.115"


def test_marks_by_look_up_of_what_was_trained_on() -> None:
    grid = leaderboard("memalpha-table1")[0]
    assert cell(grid, "NLU", method="Mem-alpha-4B") == "0.658 †"
    assert cell(grid, "SQuAD", method="Mem-alpha-4B") == "0.786 ‡"
    assert cell(grid, "NLU", method="MEM1") == "0.056"
    ocr = leaderboard("memocr-table1")[0]
    assert cell(ocr, "HotpotQA 10K", method="MemAgent-7B (RL)", budget=1024) == "82.3 ‡"
    assert cell(ocr, "2WikiMultiHopQA 10K", method="MemAgent-7B (RL)", budget=1024) == "65.4"
    assert cell(ocr, "HotpotQA 10K", method="Mem0", budget=1024) == "70.3"


def test_memory_has_a_table_of_its_own() -> None:
    performance, memory = leaderboard("memalpha-table2")
    assert cell(memory, "Multi-Doc", method="RAG-Top2 (BM25, Qwen3-32B)") == "474"
    assert "memory is all chunks" in " ".join(memory.notes)
    assert cell(performance, "Multi-Doc", method="RAG-Top2 (BM25, Qwen3-32B)") == "0.450"


def test_every_row_has_a_source_and_a_task_that_exists() -> None:
    tasks = {row.task for row in published() if row.task}
    for name in sorted(tasks):
        base = name.partition("@")[0]
        assert cards.find(TaskCard, base) or cards.find(SuiteCard, base), name
    assert all(row.source and row.method and row.dataset and row.metric for row in published())
    assert {row.board for row in published()} - {""} == set(boards())
    keys = [(row.board, row.row, row.column, row.measure) for row in published() if row.board]
    assert len(keys) == len(set(keys))


def test_second_hand_rows_are_left_out() -> None:
    assert not [row for row in published() if row.source.endswith("2507.02259")]  # known from reading notes alone
    assert not [row for row in published() if "CoMAM (v1" in row.method]


# -- the tables in the repository -------------------------------------------------------------------------------------


def test_the_tables_in_the_repository_are_those_that_build_makes(tmp_path: Path) -> None:
    run_cli("build", "-o", str(tmp_path))
    run_cli("build", "-o", str(tmp_path), "--layout", "card", "--method", "Mem-alpha")
    made = {path.name: path.read_text(encoding="utf-8") for path in tmp_path.iterdir()}
    kept = {path.name: path.read_text(encoding="utf-8") for path in REPOSITORY.glob("*.md")}
    assert {name: text for name, text in kept.items() if name in made} == made


@pytest.mark.parametrize("form", ["md", "latex", "csv", "html", "json"])
def test_every_form(form: str, tmp_path: Path) -> None:
    run_cli("build", "-o", str(tmp_path), "--layout", "memalpha-table1", "--format", form)
    (path,) = tmp_path.iterdir()
    text = path.read_text(encoding="utf-8")
    if form == "json":
        performance = json.loads(text)[0]["rows"]
        first = performance[0]
        assert (first["method"], first["dataset"], first["value"]) == ("Long-Context (Qwen3-32B, 32K)", "SQuAD", 0.742)
        assert {"protocol", "caveats", "source", "row_mean", "mark"} <= set(first)
    elif form == "csv":
        rows = list(csv.DictReader(io.StringIO(text)))
        assert len(rows) == 80
        flagged = next(row for row in rows if row["differs"] == "True")
        assert (flagged["method"], flagged["row_mean"][:6]) == ("MemAgent", "0.2258")
    else:
        assert "0.642" in text
        assert text.count(r"\begin{tabular}") == (2 if form == "latex" else 0)


def test_a_layout_that_does_not_exist() -> None:
    result = CliRunner().invoke(main, ["leaderboard", "show", "--layout", "memocr-tabel1"])
    assert result.exit_code == 2
    assert "did you mean 'memocr-table1'" in result.output
    assert len(result.output.splitlines()) == 1


def test_a_method_that_has_no_row() -> None:
    result = CliRunner().invoke(main, ["leaderboard", "show", "--layout", "comam", "--method", "mem-alfa"])
    assert result.exit_code == 2
    assert "did you mean 'Mem-alpha'" in result.output


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    result = CliRunner().invoke(main, ["leaderboard", "build", "-o", str(tmp_path / "file" / "x"), "--layout", "comam"])
    assert result.exit_code == 2
    assert "cannot be written" in result.output


# -- runs beside them -------------------------------------------------------------------------------------------------


def column(name: str, dataset: str) -> Published:
    return next(row for row in published() if (row.board, row.dataset) == (name, dataset))


def of_hotpot(run: Run) -> Badge:
    return badge(run, board("memocr-table1"), column("memocr-table1", "HotpotQA"))


def ocr_run(make_run: Make, task: str = "hotpotqa-10k@memocr", score: float = 1.0, count: int = 128, **given: object) -> Run:
    options = {"agent": "memory-agent", "model": "m-7b", "reader": "m-7b", "protocol": MEMOCR, "answer_budget": 1024}
    options |= {"headline": "substring_two_way", "manifest": {"deviations": ("its own draw",)}}
    half = [score] * (count // 2) + [0.0] * (count - count // 2)
    (run,) = load_runs(make_run(half, task=task, **{**options, **given}))
    return run


@pytest.fixture
def faithful(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of a user's whose cards deviate in nothing from what was published."""
    for name, variant in (("hotpotqa-10k", "memocr"), ("memalpha-squad", "memalpha")):
        path = tmp_path / "tasks" / f"{name}.yaml"
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"source: jsonl\ndocuments: 50\nvariants: {{{variant}: {{}}}}\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_run_that_follows_the_protocol_is_similar(make_run: Make, faithful: Path) -> None:
    found = of_hotpot(ocr_run(make_run))
    assert (found.level, found.why) == ("similar", ("its own draw",))


def test_a_run_without_known_deviations_is_the_same(make_run: Make, faithful: Path) -> None:
    assert of_hotpot(ocr_run(make_run, manifest={})).level == "same"


def test_what_the_cards_know_today_counts_for_older_runs(make_run: Make, faithful: Path) -> None:
    found = of_hotpot(ocr_run(make_run, manifest={}, agent="mine"))
    assert found.level == "same"
    (faithful / "baselines").mkdir()
    (faithful / "baselines" / "mine.yaml").write_text("agent: bm25\ndeviations: [its prompts are ours]\n")
    assert of_hotpot(ocr_run(make_run, manifest={}, agent="mine", label="b")) == Badge("similar", ("its prompts are ours",))
    task = faithful / "tasks" / "hotpotqa-10k.yaml"
    task.write_text("source: jsonl\ndocuments: 50\ndeviations: [a]\nvariants: {memocr: {deviations: [b]}}\n")
    found = of_hotpot(ocr_run(make_run, manifest={}, agent="mine", label="c"))
    assert found == Badge("similar", ("its prompts are ours", "a", "b"))


def protocol_variants() -> list[str]:
    """Every bundled task and variant that follows a protocol."""
    bases = [base for name in cards.listing(TaskCard) if (base := cards.find(TaskCard, name)) and not base.abstract]
    names = [name for base in bases for name in (base.name, *(f"{base.name}@{variant}" for variant in base.variants))]
    return [name for name in names if plugins.find_task(name).protocol]


def test_no_bundled_card_passes_for_the_published_protocol(make_run: Make) -> None:
    names = protocol_variants()
    assert {"mab-eventqa_full", "2wiki-10k@memocr", "memalpha-squad@memalpha-as-published"} <= set(names)
    assert [name for name in names if not plugins.find_task(name).deviations] == []
    for agent in ("memory-agent", "memalpha"):  # one without a card, and one with one
        models = {"model": "Memalpha-4B", "reader": "Qwen3-32B"}
        run = ocr_run(
            make_run, "memalpha-squad@memalpha-as-published", agent=agent, protocol="2509.25911", manifest={}, **models
        )
        found = badge(run, board("memalpha-table1"), column("memalpha-table1", "SQuAD"))
        assert found.level == "similar"
        assert any("mean over streams" in line for line in found.why)


def test_thinking_otherwise_than_the_protocol_is_different(make_run: Make, faithful: Path) -> None:
    levels = {}
    for thinking in ("off", "on", None):
        identity = dict(ocr_run(make_run, label=str(thinking), manifest={}).manifest.identity)
        identity["task"] = {**identity["task"], "sampling": {"reader": {"thinking": "off"}}}
        reader = {"name": "m-7b", "params": {} if thinking is None else {"thinking": thinking}}
        identity["models"] = {**identity["models"], "reader": reader}
        found = of_hotpot(ocr_run(make_run, label=f"again {thinking}", manifest={"identity": identity}))
        levels[thinking] = found.level
    assert levels == {"off": "same", "on": "different", None: "different"}


@pytest.mark.parametrize(
    ("given", "dataset", "why"),
    [
        ({"protocol": ""}, "HotpotQA", "does not follow the protocol"),
        ({}, "NQ", "how the paper built these streams is unknown"),
        ({"agent": "memalpha"}, "HotpotQA", "visibility of this method's rows are unknown"),
        ({"agent": "mem0"}, "HotpotQA", "visibility of this method's rows are unknown"),
        ({"headline": "f1"}, "HotpotQA", "substring_two_way, the rule of this table, was not computed"),
        ({"complete": False}, "HotpotQA", "the run is partial"),
        ({"count": 16}, "HotpotQA", "16 questions, the table has 128"),
        ({"agent": "oracle", "control": True}, "HotpotQA", "a control is no memory system"),
        ({"agent": "bm25", "params": {"k": 99}}, "HotpotQA", "parameters of its own: k=99"),
    ],
)
def test_what_makes_a_run_different(make_run: Make, given: dict[str, object], dataset: str, why: str) -> None:
    found = badge(ocr_run(make_run, **given), board("memocr-table1"), column("memocr-table1", dataset))
    assert found.level == "different"
    assert why in " ".join(found.why)


@pytest.mark.parametrize(
    ("memory", "reader", "level"),
    [
        ("YuWangX/Memalpha-4B", "Qwen/Qwen3-32B", "similar"),  # its prompts are ours
        ("YuWangX/Memalpha-4B", "gpt-4o", "different"),
        ("Qwen/Qwen3-4B", "Qwen/Qwen3-32B", "different"),
    ],
)
def test_the_models_of_a_published_row(make_run: Make, faithful: Path, memory: str, reader: str, level: str) -> None:
    given = {"agent": "memalpha", "model": memory, "reader": reader, "answer_budget": 0, "manifest": {}}
    run = ocr_run(
        make_run, "memalpha-squad@memalpha", protocol="Mem-alpha (arXiv 2509.25911)", headline="substring", **given
    )
    assert badge(run, board("memalpha-table1"), column("memalpha-table1", "SQuAD")).level == level


@pytest.mark.parametrize(
    ("agent", "track", "memory", "reader", "level"),
    [
        ("memagent-memalpha", "native", "BytedTsinghua-SIA/RL-MemoryAgent-14B", "offline", "similar"),
        ("memagent-memalpha", "native", "BytedTsinghua-SIA/RL-MemoryAgent-7B", "offline", "different"),
        ("mem1-paper", "reader", "Mem-Lab/Qwen2.5-7B-RL-RAG-Q2-EM-Release", "Qwen/Qwen3-32B", "similar"),
        ("mem1-paper", "reader", "Mem-Lab/Qwen2.5-7B-RL-RAG-Q2-EM-Release", "offline", "different"),
    ],
)
def test_an_agent_that_answers_by_itself_needs_no_reader_of_the_table(
    make_run: Make, agent: str, track: str, memory: str, reader: str, level: str
) -> None:
    given = {"agent": agent, "track": track, "model": memory, "reader": reader, "answer_budget": 0, "manifest": {}}
    run = ocr_run(
        make_run, "memalpha-squad@memalpha", protocol="Mem-alpha (arXiv 2509.25911)", headline="substring", **given
    )
    assert badge(run, board("memalpha-table1"), column("memalpha-table1", "SQuAD")).level == level


@pytest.mark.parametrize(("key", "value"), [("documents", 400), ("tokens", 20_000), ("hard", True), ("shared", 8)])
def test_other_streams_than_those_of_the_column(make_run: Make, faithful: Path, key: str, value: object) -> None:
    own = {"documents": 50, "tokens": 0, "hard": False, "shared": 1}
    levels = []
    for task in (own, {**own, key: value}):
        run = ocr_run(make_run, label=str(task))
        identity = {**run.manifest.identity, "task": {**run.manifest.identity["task"], **task}}
        run = ocr_run(make_run, label=f"again {task}", manifest={"identity": identity})
        levels.append(of_hotpot(run).level)
    assert levels == ["same", "different"]


def test_prompts_of_ones_own_and_a_model_in_place_of_the_cards(make_run: Make) -> None:
    run = ocr_run(make_run)
    identity = {**run.manifest.identity, "prompts": {"reader": "My prompt {question}"}}
    identity["agent"] = {**identity["agent"], "models": {"memory": "Memalpha-4B"}}
    found = badge(
        ocr_run(make_run, label="again", manifest={"identity": identity}),
        board("memocr-table1"),
        column("memocr-table1", "HotpotQA"),
    )
    assert found.level == "different"
    assert found.why == ("the memory is m-7b; the agent's card reproduces Memalpha-4B", "prompts of its own: reader")


def test_the_prompts_that_an_agents_card_names_are_not_ones_own(make_run: Make) -> None:
    ours = dict(shipped("memagent-stated"))
    given = {"agent": "memagent-paper", "track": "native", "model": "RL-MemoryAgent-7B"}
    plain = ocr_run(make_run, **given).manifest.identity
    why = []
    for number, prompts in enumerate((ours, {**ours, "ask": "{question} {memory}"})):
        found = of_hotpot(
            ocr_run(make_run, label=f"{number}", manifest={"identity": {**plain, "prompts": prompts}}, **given)
        )
        why.append((found.level, found.why[0]))
    assert why[0][0] == "similar"  # by the deviations of its card
    assert why[1] == ("different", "prompts of its own: ask")


def test_measured_rows_have_a_table_of_their_own(make_run: Make, tmp_path: Path) -> None:
    for task in ("hotpotqa-10k", "2wiki-10k", "nq-10k", "triviaqa-10k"):
        ocr_run(make_run, f"{task}@memocr")
    ocr_run(make_run, "synth-10k")
    ocr_run(make_run, model="offline", reader="offline")
    first, measured = leaderboard("memocr-table1", load_runs(tmp_path / "runs"))
    assert "m-7b" not in str(first.rows)
    (row,) = measured.rows
    found = dict(zip(measured.columns, row, strict=True))
    assert str(found["HotpotQA 10K"]).startswith("50.0 [41.")
    assert found["Average 10K"] == "50.0"
    assert (found["HotpotQA 30K"], found["Average 30K"]) == (None, None)
    assert found["badge"] == "similar: 2WikiMultiHopQA 10K, HotpotQA 10K; different: NQ 10K, TriviaQA 10K"
    notes = " ".join(measured.notes)
    assert "offline model is not comparable with published results: 1 run." in notes
    assert "on other tasks: 1 run." in notes


@pytest.mark.parametrize(
    ("rules", "shown"),
    [
        ({"memalpha": "exact_match", "*": "f1"}, "exact_match"),  # of memalpha's cells; the headline is f1
        ({"*": "contains_first"}, "f1 f1"),  # the rule was not computed: the headline, by its name
        ({}, "f1"),  # nothing is known of the rule
    ],
)
def test_a_number_is_by_the_rule_of_its_cell(make_run: Make, tmp_path: Path, rules: dict[str, str], shown: str) -> None:
    given = {"agent": "memalpha", "model": "Memalpha-4B", "reader": "Qwen3-32B", "headline": "f1"}
    path = make_run([Asked("q1", 1.0), Asked("q2", 0.5)], task="memalpha-squad@memalpha", **given)
    identity = dict(load_runs(path)[0].manifest.identity)
    identity["task"] = {**identity["task"], "published_metrics": rules}
    make_run([Asked("q1", 1.0), Asked("q2", 0.5)], task="memalpha-squad@memalpha", manifest={"identity": identity}, **given)
    tables = leaderboard("memalpha-table1", load_runs(path))
    measured = next(table for table in tables if "Measured" in table.title and "memory" not in table.title)
    (record,) = [record for record in measured.records() if record["task"] == "memalpha-squad@memalpha"]
    metric, _, suffix = shown.partition(" ")
    assert record["metric"] == metric
    assert str(cell(measured, "SQuAD", agent="memalpha")).endswith(f" {suffix}" if suffix else "]")


def test_an_average_never_mixes_the_rule_of_the_table_with_another(make_run: Make, tmp_path: Path) -> None:
    for task in ("hotpotqa-10k", "2wiki-10k", "nq-10k"):
        ocr_run(make_run, f"{task}@memocr")
    ocr_run(make_run, "triviaqa-10k@memocr", headline="f1")
    _, measured = leaderboard("memocr-table1", load_runs(tmp_path / "runs"))
    (row,) = [dict(zip(measured.columns, row, strict=True)) for row in measured.rows]
    assert str(row["TriviaQA 10K"]).endswith(" f1")
    assert row["Average 10K"] is None


def test_what_runs_held_is_below_what_was_published(make_run: Make, tmp_path: Path) -> None:
    given = {"agent": "memalpha", "model": "Memalpha-4B", "reader": "Qwen3-32B", "headline": "substring"}
    asked = [Asked("q1", memory_tokens=12_000), Asked("q2", memory_tokens=8_000)]
    make_run(asked, task="memalpha-squad@memalpha", **given)
    *_, held = leaderboard("memalpha-table1", load_runs(tmp_path / "runs"))
    assert held.title == "Measured memory, in thousand tokens"
    assert cell(held, "SQuAD", agent="memalpha") == "10.00"
    assert cell(held, "Average", agent="memalpha") is None
    assert held.notes == ("What the agent holds when it is asked, in tokens of o200k_base.",)


def test_the_card_places_a_run_among_the_rows_of_its_budget(make_run: Make, tmp_path: Path) -> None:
    ocr_run(make_run, score=1.0)  # 50 % at 1,024 tokens; published: 84.8, 82.3, 75.0, 70.3
    ocr_run(make_run, answer_budget=16)  # published: 67.2, 37.0, 24.0, 24.0; the interval is 41 to 59
    ocr_run(make_run, agent="memalpha")
    _, measured = card(load_runs(tmp_path / "runs"))
    rows = [dict(zip(measured.columns, row, strict=True)) for row in measured.rows]
    places = {(row["agent"], row["budget"]): row["place"] for row in rows if row["data set"] == "HotpotQA 10K"}
    assert {str(record["place"]) for record in measured.records() if record["length"] == "10K"} == set(places.values())
    assert places == {
        ("memory-agent", "1,024"): "5 beside 4 published",
        ("memory-agent", "16"): "2 beside 4 published",
        ("memalpha", "1,024"): "not placed",
    }


def test_the_card_of_a_published_method() -> None:
    (grid,) = card(methods=["mem-alpha"])
    assert cell(grid, "place", task="hotpotqa-10k", budget="1,024") == "3 of 4"
    assert cell(grid, "place", task="hotpotqa-100k", budget="1,024") == "1 of 4"
    assert cell(
        grid, "result", task="memalpha-validation", method="Mem-alpha-4B", **{"printed in": "arXiv 2509.25911 Table 1"}
    ) == ("0.642 (row mean 0.619)")
    assert any("not a rank" in note for note in grid.notes)
    assert not re.search("MemOCR-7B", str(grid.rows))
