"""Puts each fault of mutations.yaml into a copy of the project and runs the tests of its part: which faults go unnoticed?

python tests/mutations/run.py [PART OF A FILE NAME]
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[2]
COPIED = ("memeval", "tasks", "baselines", "tests", "pyproject.toml", "README.md", "docs", "constraints.txt")
PYTEST = (
    sys.executable,
    "-m",
    "pytest",
    "-o",
    "addopts=-q -x -p no:cacheprovider --no-header",
    "-o",
    "timeout=60",  # some faults make a test wait for ever
    "-m",
    "not slow and not long and not benchmark",
)


def fails(copy: Path, tests: list[str]) -> bool:
    done = subprocess.run([*PYTEST, *tests], cwd=copy, capture_output=True, text=True, check=False)
    if done.returncode not in (0, 1, 2):  # 2: a module cannot even be imported
        raise RuntimeError(done.stdout + done.stderr)
    return done.returncode != 0


def noticed(copy: Path, file: str, old: str, new: str, tests: list[str]) -> bool:
    """Whether the tests fail with the fault in the copy. Raises ValueError where the text is not there once."""
    path = copy / "memeval" / file
    sound = path.read_text(encoding="utf-8") if path.is_file() else ""
    if sound.count(old) != 1:
        raise ValueError(f"{file}: {old!r} stands there {sound.count(old)} times")
    path.write_text(sound.replace(old, new), encoding="utf-8")
    try:
        return fails(copy, tests)
    finally:
        path.write_text(sound, encoding="utf-8")


def main(part: str = "") -> int:
    parts = yaml.safe_load((Path(__file__).parent / "mutations.yaml").read_text(encoding="utf-8"))
    found, missed = 0, 0
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "memeval-copy"
        copy.mkdir()
        for name in COPIED:
            source = ROOT / name
            shutil.copytree(source, copy / name) if source.is_dir() else shutil.copy(source, copy)
        for group in parts:
            faults = [fault for fault in group["faults"] if part in fault[0]]
            if faults and fails(copy, group["tests"]):
                raise RuntimeError(f"{' '.join(group['tests'])} fail without a fault")
            for file, old, new in faults:
                try:
                    caught = noticed(copy, file, old, new, group["tests"])
                except ValueError as error:
                    print(f"gone    {error}", flush=True)
                    missed += 1
                    continue
                found += caught
                missed += not caught
                print(f"{'noticed' if caught else 'MISSED '} {file}: {old!r} -> {new!r}", flush=True)
    print(f"{found} of {found + missed} noticed")
    return int(missed > 0)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
