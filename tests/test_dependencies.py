"""Declared equals imported: pyproject.toml names what the package imports, and nothing else."""

from __future__ import annotations

import re
import sys
import tomllib
from collections.abc import Iterable
from pathlib import Path

from test_imports import PACKAGE, imported

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
EXTRAS = PROJECT["optional-dependencies"]
NAMES = {"yaml": "pyyaml", "markdown_it": "markdown-it-py"}
"""Module -> the package that has it, where they differ by more than a hyphen."""
NOT_IMPORTED = {"memeval", "vllm", "gguf"}
"""vllm is a program that is started; gguf is imported by transformers, for `gguf_file=`."""
ELSEWHERE = {"mem0"}
"""Modules that are imported in an interpreter of their own (docs/foreign.md)."""


def declared(requirements: Iterable[str]) -> set[str]:
    return {re.split(r"[^\w-]", text)[0].lower().replace("_", "-") for text in requirements} - NOT_IMPORTED


def used(folder: Path) -> set[str]:
    """The packages that the files of a folder import, deferred imports included."""
    modules = {module.partition(".")[0] for path in folder.rglob("*.py") for module in imported(path)}
    return {NAMES.get(name, name).replace("_", "-") for name in modules - {"memeval", *ELSEWHERE, *sys.stdlib_module_names}}


def test_the_package_imports_what_it_declares() -> None:
    extras = [text for name, texts in EXTRAS.items() if name != "dev" for text in texts]
    assert used(PACKAGE) == declared([*PROJECT["dependencies"], *extras])


def test_what_the_tests_import_is_declared() -> None:
    tests = ROOT / "tests"
    own = {path.stem.replace("_", "-") for path in tests.rglob("*")} | {"slow", "note-agent"}  # two are written by tests
    everything = [*PROJECT["dependencies"], *(text for texts in EXTRAS.values() for text in texts)]
    assert used(tests) - own <= declared(everything)
