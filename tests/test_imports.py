"""Imports point one way: a module imports only from lines above its own, deferred imports included."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import memeval

PACKAGE = Path(memeval.__file__).parent
ORDER = """
errors wording process typed sampling yamlfile config tokens prompts source_files bm25
task
agent
trained cards protocol digests loading plugins
data authors
synth tasks
metrics stats
records
models
memory agents
judging
contamination
costs runs
check doctor dry_run
estimate
results
training
commands
cli_results
cli __main__
"""
PLACES = {name: (row, column) for row, line in enumerate(ORDER.split("\n")) for column, name in enumerate(line.split())}
ANYTHING = {
    "__init__",
    "commands",
    "cli_results",
    "cli",
    "__main__",
}  # the first imports an agent's types when asked for them
# Imports that are still backwards. Entries are only ever removed.
ALLOWED = {
    "memeval/agent.py imports memeval.models.bound",
}


def imported(path: Path) -> Iterator[str]:
    """The modules that a file imports anywhere in its text, as memeval.part..."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: a relative import"
            whole = node.module == "memeval"  # from memeval import part
            yield from (f"memeval.{alias.name}" for alias in node.names) if whole else [str(node.module)]


def part(module: str) -> str:
    return module.split(".")[1]


def backwards() -> Iterator[str]:
    """Imports of a line below the importing module's own, or of what stands to its right in the same line."""
    for path in sorted(PACKAGE.rglob("*.py")):
        file = path.relative_to(PACKAGE.parent)
        own = part(".".join(file.with_suffix("").parts))
        for module in imported(path):
            if not module.startswith("memeval.") or own in ANYTHING or part(module) in ("__version__", own):
                continue
            if PLACES[part(module)] > PLACES[own]:
                yield f"{file} imports {module}"


def test_every_part_of_the_package_has_its_place() -> None:
    parts = {path.stem for path in PACKAGE.iterdir() if path.suffix == ".py" or (path / "__init__.py").is_file()}
    assert parts - {"__init__"} <= set(PLACES)


def test_a_module_imports_only_from_lines_above_it() -> None:
    assert set(backwards()) <= ALLOWED
