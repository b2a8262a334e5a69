from __future__ import annotations

from typing import Any

import msgspec
import pytest
import yaml

from memeval.records.numbers import money
from memeval.records.rows import CallFacts, ServiceRow
from memeval.records.summary import Summary
from memeval.results.cost_table import costs_frame, costs_table, worth_a_table


def run(agent: str, usd: float | None, built: float | None, asked: float | None, **cost: Any) -> Summary:
    shares = {str(n): None if built is None or asked is None else built / n + asked for n in (1, 10, 100)}
    facts = {
        "status": "complete", "n": 200, "failed": 0, "headline": {"metric": "f1"},
        "agent": agent, "task": "synth-10k", "answer_budget": None, "params": {}, "model": "openai/m", "reader": "r",
        "tokens": {"prompt": 1_234_567, "completion": 890},
        "cost": {
            "usd": usd, "usd_per_right": usd and usd / 2, "usd_per_question": shares, "usd_per_stream": built,
            "usd_per_answer": asked, "tokens_per_question": {"1": 6000.0, "10": 1500.0, "100": 1050.0},
            "tokens_per_stream": 5000.0, "tokens_per_answer": 1000.0, "cached_share": None, "read_amplification": 0.5,
            "ingest_tokens_per_1k": 0.0, "unpriced": [], **cost,
        },
    }  # fmt: skip
    return msgspec.convert(facts, Summary)


def cells(table: str, agent: str) -> list[str]:
    row = next(line for line in table.splitlines() if line.startswith(f"| {agent}"))
    return [cell.strip() for cell in row.strip("|").split("|")]


def test_priced_runs_beside_long_context() -> None:
    rows = [
        run("memalpha", 6.5, 2.0, 0.1, cached_share=0.42, ingest_tokens_per_1k=1900.4),
        run("long-context", 3.0, 0.0, 0.3),
        run("wasteful", 30.25, 1.0, 0.5),
    ]
    table = costs_table(rows)
    assert cells(table, "memalpha") == [
        "memalpha", "6.5", "3.25", "2.1", "0.3", "0.12", "42%", "1,900", "10.0",
    ]  # fmt: skip
    assert table.startswith("all rows: prompt 1,234,567, completion 890, read 0.50x\n")
    assert cells(table, "long-context")[-1] == "-"
    assert cells(table, "wasteful")[-1] == "never"
    assert "USD a question at 1 |" in table
    assert "no price known" not in table
    assert "\nat 1, 10, 100: USD of a question when so many are asked of a stream:" in table
    assert "\npays from: questions a stream from which on a run is cheaper than long-context." in table


def test_without_prices_tokens_stand_in_and_usd_is_blank() -> None:
    table = costs_table([run("memalpha", None, None, None, unpriced=["memory"])])
    assert cells(table, "memalpha")[1:6] == ["-", "-", "6,000", "1,500", "1,050"]
    assert "tokens a question at 1 |" in table
    assert "\nat 1, 10, 100: tokens of a question" in table
    assert "pays from:" not in table
    example = "prices: {openai/m: {input: 0.1, output: 0.4}} (USD per million tokens)"
    assert (
        f"no price known for calls to openai/m: USD stays blank; add it under 'prices:' in memeval.yaml, like {example}"
        in table
    )
    assert set(yaml.safe_load(example.split(" (")[0])["prices"]) == {"openai/m"}


@pytest.mark.parametrize(
    ("usd", "text"),
    [(None, "-"), (0.0, "0"), (0.0000123, "1.2e-05"), (0.01234, "0.0123"), (3.14159, "3.14"), (1234.5, "1,234.50")],
)
def test_money(usd: float | None, text: str) -> None:
    assert money(usd) == text


def test_a_table_is_made_where_a_price_or_the_servers_cache_is_known() -> None:
    cached = run("memalpha", None, None, None, cached_share=0.0, unpriced=["memory"])
    assert [worth_a_table([one]) for one in (run("a", None, None, None), run("a", 6.5, 2.0, 0.1), cached)] == [
        False,
        True,
        True,
    ]


def test_the_numbers_behind_the_table() -> None:
    rows = [run("memalpha", 6.5, 2.0, 0.1, cached_share=0.42), run("long-context", 3.0, 0.0, 0.3), run("b", None, 1.0, 0.5)]
    frame = costs_frame(rows).set_index("agent")
    assert list(frame["task"].unique()) == ["synth-10k"]
    assert frame["usd"].to_dict() == pytest.approx({"memalpha": 6.5, "long-context": 3.0, "b": float("nan")}, nan_ok=True)
    assert frame.loc["memalpha", "usd_at_10"] == pytest.approx(0.3)
    assert frame.loc["memalpha", "pays_from"] == pytest.approx(10)  # 2 / 10 + 0.1 = 0.3
    assert frame.loc["b", "pays_from"] == float("inf")
    assert frame["prompt"].sum() == 3 * 1_234_567


def test_what_rests_on_estimated_tokens_is_marked() -> None:
    guessed = msgspec.structs.replace(run("memalpha", 6.5, 2.0, 0.1), facts=CallFacts(estimated=3))
    assert cells(costs_table([guessed, run("recent", 3.0, 0.0, 0.3)]), "memalpha")[1:5] == ["~6.5", "~3.25", "~2.1", "~0.3"]
    assert "~" not in costs_table([run("recent", 3.0, 0.0, 0.3)])


def test_a_service_without_a_price_is_named() -> None:
    row = msgspec.structs.replace(run("mine", None, None, None, unpriced=["service"]), services={"service": ServiceRow()})
    assert "the cost of the service of mine (service) is not known" in costs_table([row])
