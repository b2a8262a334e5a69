"""`memeval train data`: parquet files and cards from source files, or from the published file, which tasks read."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

import memeval
from memeval.cli import main

pa = pytest.importorskip("pyarrow")
from pyarrow import parquet  # noqa: E402

ROOT = Path(os.environ.get("MEMEVAL_DATA") or Path(memeval.__file__).parents[2] / "shared" / "data")
COLOURS = ("red", "green", "blue", "grey")


def trec_file(folder: Path, texts: int) -> None:
    """Questions of two coarse and four fine classes in TREC's own form, and one in Latin-1."""
    lines = [f"ENTY:{COLOURS[number % 4]} What is {COLOURS[number % 4]} thing number {number} ?" for number in range(texts)]
    (folder / "trec").mkdir(parents=True)
    (folder / "trec" / "train_5500.label").write_bytes(
        "\n".join([*lines, "HUM:ind Who was René number 7 ?"]).encode("latin-1")
    )


def command(*settings: str, out: Path, data: Path | None = None) -> Any:
    words = [word for setting in settings for word in ("--set", setting)]
    return CliRunner().invoke(
        main,
        ["train", "data", "--out", str(out), *words, "--format", "json"],
        env={"MEMEVAL_DATA": str(data) if data else ""},
    )


def test_a_mixture_is_built_split_and_run(tmp_path: Path) -> None:
    trec_file(tmp_path / "data", 1200)
    out = tmp_path / "mix"
    result = command("streams=3", "share=0.4", out=out, data=tmp_path / "data")
    assert result.exit_code == 0, result.output
    made = {(one["family"], one["split"]): one for one in json.loads(result.stdout)}
    assert made.keys() == {(family, split) for family in ("trec-c", "trec-f") for split in ("train", "validation")}
    assert all(one["streams"] == 3 for one in made.values())
    sides = [
        {name for row in parquet.read_table(out / f"trec-f-{split}.parquet").to_pylist() for name in content(row)}
        for split in ("train", "validation")
    ]
    assert min(map(len, sides)) > 100
    assert not sides[0] & sides[1]
    again = tmp_path / "again"
    assert command("streams=3", "share=0.4", out=again, data=tmp_path / "data").exit_code == 0
    assert (again / "trec-f-train.parquet").read_bytes() == (out / "trec-f-train.parquet").read_bytes()
    run = CliRunner().invoke(
        main,
        [
            *("run", "--agent", "recent", "--task", made["trec-f", "validation"]["card"], "--limit", "5"),
            *("--runs-dir", str(tmp_path / "runs"), "--quiet", "--format", "json"),
        ],
    )
    assert run.exit_code == 0, run.output
    [found] = json.loads(run.stdout)["runs"]
    assert (found["n"], found["headline"]["metric"]) == (5, "boxed")


def content(row: dict[str, Any]) -> list[str]:
    found: list[str] = json.loads(row["metadata"])["content"]
    return found


def published(path: Path) -> None:
    """Twenty streams of SQuAD as Mem-alpha publishes them, two and two of which share a chunk; one of another family."""
    rows = [
        {
            "instance_id": number,
            "prompt": "read",
            "chunks": json.dumps([f"text {number}", f"shared by {number // 2}"]),
            "questions_and_answers": json.dumps([{"question": f"What is {number}?", "answer": str(number)}]),
            "data_source": "squad" if number < 20 else "lme_train",
            "metadata": None,
        }
        for number in range(21)
    ]
    parquet.write_table(pa.Table.from_pylist(rows), path)


def test_the_published_file_is_split_by_content(tmp_path: Path) -> None:
    published(tmp_path / "train.parquet")
    result = command(f"published={tmp_path / 'train.parquet'}", "share=0.3", "seed=1", out=tmp_path / "mix")
    assert result.exit_code == 0, result.output
    train, validation = (
        [json.loads(row["chunks"]) for row in parquet.read_table(tmp_path / "mix" / f"squad-{split}.parquet").to_pylist()]
        for split in ("train", "validation")
    )
    assert validation
    assert not {chunk for stream in train for chunk in stream} & {chunk for stream in validation for chunk in stream}
    [found] = [one for one in json.loads(result.stdout) if one["split"] == "train"]
    assert len(train) + len(validation) + found["dropped"]["streams that share a chunk with validation"] == 20


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (["family=squad"], "did you mean 'families'"),
        (["families=sqaud"], "did you mean 'squad'"),
        (["families=squad"], "put squad/train-v1.1.json"),
        (["share=1.5"], "between 0 and 1"),
        (["published=nowhere.parquet"], "nowhere.parquet"),
        ([], "no source data found"),
    ],
)
def test_bad_settings_are_one_line(tmp_path: Path, settings: list[str], said: str) -> None:
    (tmp_path / "data").mkdir()
    result = command(*settings, out=tmp_path / "mix", data=tmp_path / "data")
    assert result.exit_code == 2, result.output
    assert said in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1


def test_a_file_that_is_not_as_published_is_named(tmp_path: Path) -> None:
    folder = tmp_path / "data" / "squad"
    folder.mkdir(parents=True)
    (folder / "train-v1.1.json").write_text(json.dumps({"version": "1.1", "articles": []}))
    result = command("families=squad", out=tmp_path / "mix", data=tmp_path / "data")
    assert result.exit_code == 2
    assert "train-v1.1.json: not as published (no field 'data')" in result.stderr


@pytest.mark.slow
def test_the_data_sets_own_training_files(tmp_path: Path) -> None:
    families = {"nlu": 50, "banking77": 77, "clinc150": 150, "trec-c": 6}
    if not (ROOT / "clinc150").is_dir():
        pytest.skip(f"no {ROOT / 'clinc150'}: set MEMEVAL_DATA to a folder with the data sets")
    result = command(f"families={','.join(families)}", "streams=2", out=tmp_path / "mix", data=ROOT)
    assert result.exit_code == 0, result.output
    made = [one for one in json.loads(result.stdout) if one["split"] == "train"]
    assert [(one["family"], one["streams"], one["questions"]) for one in made] == [(name, 2, 200) for name in families]
    for name, labels in families.items():
        row = parquet.read_table(tmp_path / "mix" / f"{name}-train.parquet").to_pylist()[0]
        assert len(json.loads(row["metadata"])["labels"]) >= labels
        assert row["num_chunks"] == 10
