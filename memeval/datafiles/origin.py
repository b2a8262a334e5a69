"""Where a card's data are: the `params` that name its files, and the file that is found first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from memeval.cards import TaskCard
from memeval.datafiles import files
from memeval.datafiles.fields import is_whole
from memeval.errors import NoData, UsageError, suggest
from memeval.sources import Settings

_EXPECTED = {str: "a text", bool: "true or false", int: "a whole number, 0 or more"}


def params(card: TaskCard, defaults: Mapping[str, tuple[str, ...] | str | bool | int]) -> dict[str, Any]:
    """The card's `params` over a source's defaults, of the defaults' types (one text will do for a list of texts).

    Raises UsageError for a key that the source does not know, and for a value of another type.
    """
    values: dict[str, Any] = dict(defaults)
    for key, value in card.params.items():
        place = card.path or card.name
        if key not in defaults:
            raise UsageError(f"{place}: unknown key 'params.{key}'{suggest(key, defaults)}")
        wanted = type(defaults[key])
        if wanted is tuple:
            parts = (value,) if isinstance(value, str) else value
            if not isinstance(parts, Sequence) or not parts or not all(isinstance(part, str) for part in parts):
                raise UsageError(f"{place}: 'params.{key}' is {value!r}, expected a list of texts")
            value = tuple(parts)
        elif not (is_whole(value) if wanted is int else isinstance(value, wanted)):
            raise UsageError(f"{place}: 'params.{key}' is {value!r}, expected {_EXPECTED[wanted]}")
        values[key] = value
    return values


def beside(card: TaskCard, settings: Settings, name: str) -> files.DataFile:
    """A file of one's own (plain or .gz), which lies beside the card or in the data folder. Raises UsageError."""
    folder = Path(card.path).parent if card.path else Path()
    for root in (folder, files.data_folder(settings)):
        if root is not None:
            path = root / Path(name).expanduser()
            for found in (path, path.with_name(f"{path.name}.gz")):
                if found.is_file():
                    return files.DataFile(found.name.removesuffix(".gz"), found)
    raise UsageError(f"{card.path or card.name}: 'params.file': no file {folder / name} (and none in the data folder)")


def locate(
    card: TaskCard,
    settings: Settings,
    names: Sequence[str],
    hub: Sequence[str] = (),
    origin: str = "",
    bundled: str = "synth-10k",
) -> files.DataFile:
    """The first of `names` in the data folder, else the first of `hub` (`owner/name/file` or `owner/name@revision/file`) on
    the Hugging Face hub or in its cache. origin: where the data can be had by hand. bundled: the task to run instead. Raises
    NoData with every remedy when there is none."""
    for name in names:
        file = files.find(settings, name)
        if file is not None:
            return file
    reasons: list[str] = []
    for place in hub:
        owner, _, rest = place.partition("/")
        name, _, path = rest.partition("/")
        if not path:
            raise UsageError(f"{card.path or card.name}: 'params.hub' holds '{place}', expected owner/name/file")
        name, _, revision = name.partition("@")
        found, reason = files.from_hub(f"{owner}/{name}", path, revision or None)
        if found:
            return found[0]
        reasons.append(reason)
    folder = files.data_folder(settings)
    where = f"{folder}" if folder else "a folder DIR and pass --data-dir DIR (or set MEMEVAL_DATA)"
    remedies = [f"put {files.named(names)} into {where}{f' (from {origin})' if origin else ''}"]
    if hub:
        state = "; ".join(dict.fromkeys(reasons))
        remedies.append(f"get {' or '.join(hub)} from the Hugging Face hub (network or a filled HF cache; now: {state})")
    remedies.append(f"run the bundled {bundled}, which needs no data")
    raise NoData(f"task '{card.name}': no data; {', or '.join(remedies)}")
