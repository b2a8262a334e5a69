"""`memeval prompts list|show`: the texts that agents, readers and judges are prompted with, and how to replace them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass

from memeval import cards, plugins
from memeval.cards import AgentCard
from memeval.errors import UsageError, suggest
from memeval.prompts import Part, parts, placeholders, sets, shipped
from memeval.results.columns import columns
from memeval.runs.prompts import prompt_set, replaced, shipped_texts

SHARED = ("reader", "judge")
"""Sets of no agent: system texts of the reader, which a task's card names, and the judge's rules by family of tasks."""


@dataclass(frozen=True)
class PromptPart:
    """A part of the prompts of `owner`, an agent or one of SHARED. text: as it is used unless `--prompt` replaces it.
    placeholders: those that its text may hold; of several texts, all that one of them may."""

    owner: str
    part: str
    about: str
    placeholders: tuple[str, ...]
    text: str


def prompt_parts(owner: str, agents_dir: tuple[str, ...] = ()) -> list[PromptPart]:
    """The parts of an agent (as `--agent` names it), of `reader` or of `judge`. Raises UsageError."""
    name: str | Mapping[str, str] = owner
    texts: Mapping[str, str]
    if owner in SHARED:
        texts = shipped(owner)
    else:
        card = plugins.find_agent(owner, agents_dir)
        name = prompt_set(card)
        texts = {**shipped_texts(card), **replaced(card, {})}
    known = parts(name) if isinstance(name, str) else {}
    return [_part(owner, part, known.get(part, Part("")), text) for part, text in texts.items()]


def _part(owner: str, part: str, about: Part, text: str) -> PromptPart:
    held = {*about.may, *about.must} or (placeholders(text) if not about.about else set())
    return PromptPart(owner, part, about.about, tuple(sorted(held)), text)


def list_command(owner: str | None, agents_dir: tuple[str, ...] = (), form: str = "table") -> str:
    """What `memeval prompts list [AGENT]` prints."""
    owners = [owner] if owner else [*_agents(agents_dir), *SHARED]
    found = [part for each in owners for part in prompt_parts(each, agents_dir)]
    if form == "json":
        listed = [{"of": p.owner, "part": p.part, "placeholders": p.placeholders, "about": p.about} for p in found]
        return json.dumps({"prompts": listed}, ensure_ascii=False)
    if not found:
        return f"{owner} has no prompts of its own; `--prompt reader=FILE` replaces the reader's"
    rows = [[p.owner, p.part, " ".join(f"{{{name}}}" for name in p.placeholders), p.about] for p in found]
    header = ["of", "part", "placeholders", "what it is"]
    table = columns(header, rows, ("left",) * 4, keep=header)
    return f"{table}\n\n`memeval prompts show OF PART > FILE` gives a start; `run --prompt PART=FILE` uses it."


def show_command(owner: str, part: str | None, agents_dir: tuple[str, ...] = (), form: str = "table") -> str:
    """What `memeval prompts show AGENT [PART]` prints: the text of a part as it is, or all parts under their names."""
    found = {each.part: each.text for each in prompt_parts(owner, agents_dir)}
    if part is not None and part not in found:
        has = f" (known: {', '.join(found)})" if found else " (it has none)"
        raise UsageError(f"the prompts of {owner} have no part '{part}'{suggest(part, found)}{has}")
    if form == "json":
        return json.dumps(found if part is None else {part: found[part]}, ensure_ascii=False)
    return found[part] if part is not None else "\n\n".join(f"=== {each} ===\n{text}" for each, text in found.items())


def _agents(agents_dir: tuple[str, ...]) -> list[str]:
    """Names of the agents with prompts of their own."""
    found = (cards.find(AgentCard, name, agents_dir) for name in cards.listing(AgentCard, agents_dir))
    return [card.name for card in found if card and not card.abstract and prompt_set(card) in sets()]
