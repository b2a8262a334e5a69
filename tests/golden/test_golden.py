"""Questions, streams and chunks of every data set are what they were in the first version, bit for bit.

`golden.py` describes how the files were made. A test is skipped if the data set is not available.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from golden import SEEDS, TASKS, file_of, record, root_of
from golden_data import folder

from memeval.errors import NoData

SLOW = {
    *("2wiki-30k", "2wiki-100k@memocr", "2wiki-100k@hard", "2wiki-1m", "hotpotqa-100k"),
    *(f"hotpotqa-10k@{variant}" for variant in ("hard", "memocr", "shared-8")),
    *(f"nq-{size}" for size in ("30k", "100k")),
    *(f"nq-10k@{variant}" for variant in ("hard", "memocr", "memagent", "tokens-5000", "shared-8")),
    *("synth-100k", "synth-1m", "synth-10k@train", "synth-10k@validation"),
}
"""Tasks that the default run leaves out, because it covers a smaller task or one of another data set."""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("pyarrow")
    return folder(tmp_path_factory.mktemp("made"))


@pytest.mark.parametrize("seed", [seed if seed == 42 else pytest.param(seed, marks=pytest.mark.slow) for seed in SEEDS])
@pytest.mark.parametrize("name", [pytest.param(name, marks=[pytest.mark.slow] * (name in SLOW)) for name in TASKS])
def test_a_task_is_what_it_was(name: str, seed: int, made: Path) -> None:
    root = root_of(name, made)
    if not root.is_dir() and not name.startswith("synth"):
        pytest.skip(f"needs the data of {name} in MEMEVAL_DATA or ../shared/data")
    try:
        found = record(name, root if root.is_dir() else made, seed)
    except NoData as error:
        pytest.skip(str(error))
    wanted = json.loads(file_of(name).read_text())["seeds"][str(seed)]
    found["data"] = {key: found["data"][key] for key in wanted["data"]}  # a manifest may say more than it did
    assert json.loads(json.dumps(found)) == wanted
