"""What a finished run costs to look at again: the same command a second time, on a file of real size (DESIGN section 8: no
model call, below 2 s)."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from memeval.data.records import RACY

pytestmark = pytest.mark.benchmark

RECORDS, PARAGRAPHS, WORDS = 12_576, 10, 110  # as many as 2WikiMultihopQA's dev set has, of about its length


def record(n: int) -> dict[str, Any]:
    titles = [f"Person {n}.{at}" for at in range(PARAGRAPHS)]
    text = " ".join(f"word{(n * 31 + at * 7) % 9973}" for at in range(WORDS // 2))
    return {
        "_id": f"{n:032x}",
        "type": "bridge",
        "question": f"Where was the teacher of person {n} born?",
        "context": [[title, [f"{title} was born in Town {n}.", f"{text} {title}."]] for title in titles],
        "supporting_facts": [[titles[0], 0], [titles[1], 0]],
        "answer": f"Town {n}",
    }


def test_a_finished_run_again(tmp_path: Path) -> None:
    path = tmp_path / "data/2wikimultihopqa/dev.json"
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps([record(n) for n in range(RECORDS)]))
    time.sleep(RACY / 1e9 + 0.1)  # what was changed just now is read again

    def seconds(*words: str) -> tuple[float, str]:
        environment = {**os.environ, "MEMEVAL_CACHE": str(tmp_path / "cache"), "MEMEVAL_DATA": str(tmp_path / "data")}
        begun = time.monotonic()
        done = subprocess.run([sys.executable, *words], capture_output=True, check=True, env=environment, text=True)
        return time.monotonic() - begun, done.stdout

    options = ("--model", "offline", "--limit", "16", "--quiet", "--format", "json", "--runs-dir", str(tmp_path / "runs"))
    command = ("-m", "memeval.cli", "run", "--agent", "bm25", "--task", "2wiki-10k", *options)
    first, printed = seconds(*command)
    again = [seconds(*command) for _ in range(5)]
    resumed = statistics.median(wall for wall, _ in again)
    reading = statistics.median(seconds(*command, "--no-cache")[0] for _ in range(3))
    click = statistics.median(seconds("-c", "import click")[0] for _ in range(5))
    for _, text in again:
        assert json.loads(text)["runs"][0] == {**json.loads(printed)["runs"][0], "requests": 0}
    print(
        f"\na finished run of {RECORDS} records ({path.stat().st_size / 1e6:.0f} MB), again: {resumed:.2f} s, "
        f"{resumed / click:.0f}x importing click, {resumed / first:.2f} of the first time ({first:.2f} s), "
        f"{resumed / reading:.2f} of reading the data again ({reading:.2f} s)"
    )
