"""Rows of the Hugging Face hub, from a local mirror of its layout: `memeval run` reads them by `datasets`, offline."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from hubcache import REVISION, placed

from memeval.records.folder import RunFolder

ROW = {
    "instance_id": 7,
    "prompt": "",
    "chunks": json.dumps(["Ann lives in Arlen.", "Bo has a cat."]),
    "questions_and_answers": json.dumps([{"question": "Where does Ann live?", "answer": "Arlen"}]),
    "data_source": "squad",
    "metadata": "{}",
    "num_chunks": 2,
    "num_questions": 1,
}


@pytest.mark.slow
def test_a_run_reads_a_mirror_of_the_hub(tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    path = placed(tmp_path / "mirror", "YuWangX/Memalpha", "test.parquet")
    datasets.Dataset.from_list([ROW]).to_parquet(path)
    environment = {key: value for key, value in os.environ.items() if key != "MEMEVAL_DATA"}
    environment |= {
        "HF_HUB_CACHE": str(tmp_path / "mirror"),
        "HF_HUB_OFFLINE": "1",
        "MEMEVAL_CACHE": str(tmp_path / "cache"),
    }
    words = ["--agent", "long-context", "--task", "memalpha-squad", "--model", "offline", "--format", "json", "--quiet"]
    command = [sys.executable, "-X", "importtime", "-m", "memeval", "run", *words]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    run = json.loads(done.stdout)["runs"][0]
    assert (run["n"], run["metrics"]["contains_first"]["value"]) == (1, 1.0)
    imported = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert "datasets" in imported
    manifest = RunFolder(tmp_path / run["path"]).known_manifest()
    (file,) = manifest.identity["data"]["files"]
    assert (file["hub"], file["revision"], file["records"]) == ("YuWangX/Memalpha", REVISION, 1)
