"""The folder of a training run: its log, and the state to resume from. If the run is killed at any moment, the folder holds
the last whole state, and the same command resumes there with the same result.

    OUT/recipe.yaml  log.jsonl  state.pt  warm/  best/

warm/ and best/ are checkpoints in the format of transformers, with a record of what they were trained on.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import torch
import yaml
from msgspec.structs import asdict
from safetensors import SafetensorError

from memeval.errors import UsageError
from memeval.records.files import unwritable
from memeval.records.lock import lock
from memeval.trained import CHECKPOINT_FILE
from memeval.training.recipe import Recipe
from memeval.yamlfile import read_yaml


class TrainingFolder:
    """A context manager that locks the folder for this process. Raises UsageError for a folder of another recipe, where
    another process is training here, and where a file cannot be written."""

    def __init__(self, path: Path, recipe: Recipe) -> None:
        self.path = path
        self._log: list[str] = []
        try:
            path.mkdir(parents=True, exist_ok=True)
            self._held = lock(path / "lock")
        except OSError as error:
            raise unwritable(path, error) from None
        if self._held is None:
            raise UsageError(f"{path}: another memeval process is training here; wait for it or stop it")
        try:
            self._check(recipe)
            for left in path.glob(".*.writing"):  # from a process that was killed while it wrote
                _remove(left)
            self.write("recipe.yaml", yaml.safe_dump(msgspec.to_builtins(recipe), sort_keys=True, allow_unicode=True))
        except UsageError:
            self.close()
            raise

    def _check(self, recipe: Recipe) -> None:
        """Check that the folder has this recipe; keys that it lacks have their defaults. Raises UsageError, which names a
        key that differs."""
        file = self.path / "recipe.yaml"
        if not file.is_file():
            return
        try:
            found = msgspec.convert(read_yaml(file), Recipe)
        except msgspec.ValidationError as error:
            raise UsageError(f"{file}: is not a recipe ({error}); choose another --out") from None
        differs = next((key for key, value in asdict(recipe).items() if getattr(found, key) != value), None)
        if differs is not None:
            raise UsageError(
                f"{self.path}: holds a training run of another recipe ('{differs}' differs in its recipe.yaml); choose "
                "another --out"
            )

    def resume(self) -> dict[str, Any] | None:
        """The last whole state, None at the start. Cuts the log back to that state."""
        state = read_state(self.path)
        self._log = self._read_log()[: state["lines"]] if state else []
        self._write_log()
        return state

    def cut_log(self, step: int) -> None:
        """Cut the log back to the lines up to this step."""
        self._log = [line for line in self._read_log() if json.loads(line)["step"] <= step]
        self._write_log()

    def log(self, **facts: Any) -> None:
        """Add a line to log.jsonl. It has no times, so that two runs of one recipe have equal logs."""
        self._log.append(json.dumps(facts))
        self._write_log()

    def save_state(self, state: dict[str, Any]) -> None:
        """Replace the state from which a later command resumes."""
        self._write_atomically("state.pt", lambda to: torch.save({**state, "lines": len(self._log)}, to))

    def save(
        self,
        name: str,
        model: Any,
        tokenizer: Any,
        trained_on: list[dict[str, Any]],
        weights: dict[str, torch.Tensor],
        generation: Any = None,
    ) -> None:
        """Write a checkpoint in the format of transformers, with a record of what it was trained on. generation: its
        generation config, where it differs from the model's."""
        from transformers.utils.logging import disable_progress_bar

        def write(to: Path) -> None:
            disable_progress_bar()
            model.save_pretrained(to, state_dict=weights)
            if generation is not None:
                generation.save_pretrained(to)
            tokenizer.save_pretrained(to)
            (to / CHECKPOINT_FILE).write_text(json.dumps({"trained_on": trained_on}), encoding="utf-8")

        self._write_atomically(name, write)

    def __enter__(self) -> TrainingFolder:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        """Unlock the folder for other processes."""
        if self._held is not None:
            os.close(self._held)
            self._held = None

    def lines(self) -> list[dict[str, Any]]:
        """The log so far."""
        return [json.loads(line) for line in self._log]

    def write(self, name: str, text: str) -> None:
        """Write a file of the run atomically."""
        self._write_atomically(name, lambda to: to.write_text(text, encoding="utf-8"))

    def _read_log(self) -> list[str]:
        file = self.path / "log.jsonl"
        return file.read_text(encoding="utf-8").splitlines() if file.is_file() else []

    def _write_log(self) -> None:
        self.write("log.jsonl", "".join(f"{line}\n" for line in self._log))

    def _write_atomically(self, name: str, write: Callable[[Path], Any]) -> None:
        """Write a file or folder under another name and rename it, so that what is in its place is always whole."""
        target, beside = self.path / name, self.path / f".{name}.writing"
        try:
            _remove(beside)
            write(beside)
            if target.is_dir():
                shutil.rmtree(target)
            beside.replace(target)
        except (OSError, RuntimeError, SafetensorError) as error:  # torch and safetensors raise the last two for a full disk
            _remove(beside)
            reason = error if isinstance(error, OSError) else OSError(" ".join(str(error).split())[:200])
            raise unwritable(target, reason) from None


def read_state(folder: Path) -> dict[str, Any] | None:
    """The state in a training run's state.pt; None where there is no file. Raises UsageError where it is damaged."""
    file = folder / "state.pt"
    if not file.is_file():
        return None
    try:
        state: dict[str, Any] = torch.load(file, weights_only=True)
    except Exception as error:  # torch raises all kinds of errors for a damaged file
        raise UsageError(f"{file}: cannot be read ({type(error).__name__}); remove it to begin anew") from None
    return state


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
