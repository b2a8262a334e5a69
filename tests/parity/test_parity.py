"""What users see of some hundred commands is what was recorded (`python tests/parity/record.py`), to the last sample."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from parity_runner import Scenario, perform
from parity_scenarios import SCENARIOS, SLOW

HERE = Path(__file__).parent


@pytest.mark.parametrize(
    "scenario",
    [pytest.param(scenario, id=scenario.name, marks=[pytest.mark.slow] * (scenario.name in SLOW)) for scenario in SCENARIOS],
)
def test_parity(scenario: Scenario, tmp_path: Path) -> None:
    recorded = json.loads((HERE / f"{scenario.name}.json").read_text(encoding="utf-8"))
    assert perform(scenario, tmp_path) == recorded


def test_nothing_else_is_recorded() -> None:
    assert {path.stem for path in HERE.glob("*.json")} == {scenario.name for scenario in SCENARIOS}
