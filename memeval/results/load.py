"""Find runs on disk by path or name. A single run is in run.py.

runs = load_runs("runs")            every run of a folder
run = find_run("synth-10k/bm25")    exactly one
run.values()                        question id -> score
"""

from __future__ import annotations

import glob
import sys
from collections.abc import Iterable, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, overload

from memeval.errors import UsageError, suggest
from memeval.records.files import is_json
from memeval.records.folder import RunFolder
from memeval.records.manifest import Manifest
from memeval.records.memory import MEMORIES
from memeval.records.rows import SampleRow
from memeval.results.frames import Level, frame
from memeval.results.run import Run

if TYPE_CHECKING:
    import pandas

    from memeval.runs.run import Outcome

LATEST = "latest"
SHOWN = 10
"""How many candidates an error lists."""


class Runs(Sequence[Run]):
    """An immutable sequence of runs."""

    def __init__(self, runs: Iterable[Run] = ()) -> None:
        self._runs = tuple(runs)

    @overload
    def __getitem__(self, index: int) -> Run: ...
    @overload
    def __getitem__(self, index: slice) -> Runs: ...
    def __getitem__(self, index: int | slice) -> Run | Runs:
        return Runs(self._runs[index]) if isinstance(index, slice) else self._runs[index]

    def __len__(self) -> int:
        return len(self._runs)

    def __repr__(self) -> str:
        return f"Runs({[str(run.path) for run in self._runs]})"

    def __str__(self) -> str:
        """The table that `memeval run` prints."""
        from memeval.results.run_table import runs_table

        return runs_table([run.summary for run in self._runs])

    def _repr_html_(self) -> str:
        """The HTML that a notebook shows: a row per run. pandas escapes the cells."""
        columns = ["task", "agent", "params", "label", "tag", "model", "metric", "score", "low", "high", "n", "status"]
        return str(self.to_pandas()[columns].to_html())

    def to_pandas(self, level: Level = "run") -> pandas.DataFrame:
        """A row per run, per answer (`question`) or per memory operation (`operation`); frames.COLUMNS names the columns."""
        return frame(self, level)


def of_outcome(outcome: Outcome) -> Run:
    """The run of an outcome, limited to the questions that were asked for."""
    path = Path(outcome.planned.spec.shown)
    manifest = RunFolder(path).known_manifest()
    return Run(path, manifest, frozenset(outcome.planned.question_ids), outcome.summary)


def load_runs(*where: str | Path, runs_dir: str | Path = "runs", limit: int | None = None) -> Runs:
    """Load runs in the order in which they are named, each once; runs of one name are oldest first. where: a folder of
    runs, of one task or of one run; `latest`; or a name that runs of `runs_dir` have: TASK, TASK/AGENT, a folder's name, a
    label, a tag. Without arguments, all runs of `runs_dir`. Folders of memories are skipped, because a shell's `runs/TASK/*`
    includes them. limit: only the first questions of each run, in the order of its task.

    Raises UsageError for a path or name that finds no run, and for a limit below 1.
    """
    found: dict[Path, Run] = {}
    for text in [text for text in where if Path(text).name != MEMORIES] or where or (runs_dir,):
        for run in _by_time(_named(str(text), Path(runs_dir).expanduser())):
            found.setdefault(run.path.resolve(), run)
    return Runs(found.values() if limit is None else (run.first(limit) for run in found.values()))


def find_run(text: str | Path, runs_dir: str | Path = "runs") -> Run:
    """The one run that a path or a name finds (`load_runs`). Raises UsageError, with a list, where there are several."""
    found = load_runs(text, runs_dir=runs_dir)
    if len(found) > 1:
        listed = [f"{run.path} ({run.agent} on {run.task}, {run.when:%Y-%m-%d %H:%M})" for run in reversed(found)]
        more = f" and {len(found) - SHOWN} more" if len(found) > SHOWN else ""
        raise UsageError(f"{text}: {len(found)} runs have this name; give one of: {'; '.join(listed[:SHOWN])}{more}")
    return found[0]


def _named(text: str, runs_dir: Path) -> Sequence[Run]:
    folder = Path(text).expanduser()
    here = _in_folder(folder) if folder.is_dir() else []
    if here:
        return here
    known = _in_folder(runs_dir)
    found = _by_time(known)[-1:] if text == LATEST else [run for run in known if text in run.names]
    if found:
        return found
    if folder.is_dir() and folder != runs_dir:
        RunFolder(folder).known_manifest()  # raises UsageError, which says what is wrong with the folder
    if not known:
        raise UsageError(f"{runs_dir}: no runs here; `memeval run` makes some, --runs-dir names another folder")
    names = sorted({name for run in known for name in run.names})
    tasks = ", ".join(sorted({run.task for run in known}))
    near = suggest(text, [*names, LATEST])
    raise UsageError(f"no run '{text}' in {runs_dir}{near} (tasks with runs: {tasks}; `memeval list runs`)")


def _in_folder(folder: Path) -> list[Run]:
    """The runs of RUNS, of RUNS/<task> or of one run's folder. Folders of memories and other folders are skipped."""
    for pattern in ("manifest.json", "*/manifest.json", "*/*/manifest.json"):
        # glob.glob skips hidden folders and, unlike Path.glob, those that vanish meanwhile
        paths = ((folder / name).parent for name in sorted(glob.glob(pattern, root_dir=folder)))
        paths = (path for path in paths if path.parent.name != MEMORIES)
        found = [Run(path, manifest) for path in paths if (manifest := _manifest(path)) is not None]
        if found:
            return found
    return []


def _manifest(path: Path) -> Manifest | None:
    """The manifest of a run folder; None where another program wrote the file. If the file is not JSON, or is not memeval's
    although the folder has answers, it is damaged, and a line on stderr says so once."""
    folder = RunFolder(path)
    found = folder.manifest()
    if found is None and (file := path / "manifest.json").is_file():
        why = "not JSON" if not is_json(file) else "not memeval's" if folder.file(SampleRow).is_file() else ""
        if why:
            _warn_once(f"{file}: damaged ({why}), so this run is left out; put the file back, or remove the folder")
    return found


def readable(runs: Iterable[Run]) -> Runs:
    """The runs that have a summary; for each other run, a line on stderr says once why it has none."""
    found = {}
    for run in runs:
        try:
            found[run] = run.summary
        except UsageError as error:
            _warn_once(f"{error} (this run is left out)")
    return Runs(found)


@cache
def _warn_once(line: str) -> None:
    print(f"memeval: {line}", file=sys.stderr)


def _by_time(runs: Iterable[Run]) -> list[Run]:
    return sorted(runs, key=lambda run: (run.when, str(run.path)))
