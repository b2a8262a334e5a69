"""Rewrite the recorded facts from the code at hand: `python tests/parity/record.py [SCENARIO]...`"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent / "models"), str(HERE.parent / "runs")]

from parity_runner import perform  # noqa: E402
from parity_scenarios import SCENARIOS  # noqa: E402


def main(names: list[str]) -> None:
    for scenario in SCENARIOS:
        if not names or scenario.name in names:
            begun = time.monotonic()
            with tempfile.TemporaryDirectory() as folder:
                facts = perform(scenario, Path(folder))
            text = json.dumps(facts, indent=1, ensure_ascii=False)
            (HERE / f"{scenario.name}.json").write_text(f"{text}\n", encoding="utf-8")
            print(f"{scenario.name}: {len(facts)} commands, {time.monotonic() - begun:.1f} s")


if __name__ == "__main__":
    main(sys.argv[1:])
