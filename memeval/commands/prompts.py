"""`memeval prompts list|show|fetch`: the prompts of agents, readers and judges."""

from __future__ import annotations

import json
import sys
import textwrap
from dataclasses import dataclass
from pathlib import Path

import click

from memeval import authors, cards, plugins
from memeval.cards import AgentCard
from memeval.data import upstream
from memeval.errors import UsageError, suggest
from memeval.judging.official import OfficialJudge, official
from memeval.prompts import Part, parts, placeholders, sets, shipped
from memeval.results.columns import width
from memeval.runs.prompts import replaced, set_of, shipped_texts

SHARED = ("reader", "judge")
"""Prompts that belong to no agent: the reader's system texts, which task cards name, and the judge's rules by task
family."""


@dataclass(frozen=True)
class PromptPart:
    """A part of the prompts of `owner`, an agent or one of SHARED. text: what is used unless `--prompt` replaces it.
    placeholders: those that the text may contain; for a part with several texts, those that any of them may."""

    owner: str
    part: str
    about: str
    placeholders: tuple[str, ...]
    text: str


def prompt_parts(owner: str, agents_dir: tuple[str, ...] = ()) -> list[PromptPart]:
    """The parts of an agent (as `--agent` names it), of `reader` or of `judge`. Raises UsageError for an unknown name."""
    if owner in SHARED:
        name, texts = owner, shipped(owner)
    else:
        card = plugins.find_agent(owner, agents_dir)
        name, texts = set_of(card), {**shipped_texts(card), **replaced(card, {})}
    known = parts(name) if name else {}
    return [_part(owner, part, known.get(part, Part("")), text) for part, text in texts.items()]


def _part(owner: str, part: str, about: Part, text: str) -> PromptPart:
    held = about.known or (placeholders(text) if not about.about else set())
    return PromptPart(owner, part, about.about, tuple(sorted(held)), text)


def list_command(owner: str | None, agents_dir: tuple[str, ...] = (), form: str = "table") -> str:
    """What `memeval prompts list [AGENT]` prints."""
    owners = [owner] if owner else [*(card.name for card in _agents(agents_dir)), *SHARED]
    found = [part for each in owners for part in prompt_parts(each, agents_dir)]
    if form == "json":
        as_data = [{"of": p.owner, "part": p.part, "placeholders": p.placeholders, "about": p.about} for p in found]
        return json.dumps({"prompts": as_data}, ensure_ascii=False)
    if not found:
        return f"{owner} has no prompts of its own; `--prompt reader=FILE` replaces the reader's"
    lines = []
    for each in owners:
        lines.append(each)
        lines += [line for part in found if part.owner == each for line in _described(part, width(sys.stdout) or 120)]
    listed = "\n".join(lines)
    return f"{listed}\n\n`memeval prompts show OF PART > FILE` gives a start; `run --prompt PART=FILE` uses it."


def _described(part: PromptPart, wide: int) -> list[str]:
    """A part in lines that fit the terminal: its name, what it is, and the placeholders that it may contain."""
    held = " ".join(f"{{{name}}}" for name in part.placeholders)
    said = f"{part.about} ({held})" if part.about and held else part.about or held
    start = f"  {part.part:<16}"
    return textwrap.wrap(said, wide, initial_indent=f"{start}  ", subsequent_indent=" " * (len(start) + 2)) or [start]


def show_command(owner: str, part: str | None, agents_dir: tuple[str, ...] = (), form: str = "table") -> str:
    """What `memeval prompts show AGENT [PART]` prints: the text of a part alone, or all parts under their names."""
    found = {each.part: each.text for each in prompt_parts(owner, agents_dir)}
    if part is not None and part not in found:
        has = f" (known: {', '.join(found)})" if found else " (it has none)"
        raise UsageError(f"the prompts of {owner} have no part '{part}'{suggest(part, found)}{has}")
    if form == "json":
        return json.dumps(found if part is None else {part: found[part]}, ensure_ascii=False)
    return found[part] if part is not None else "\n\n".join(f"=== {each} ===\n{text}" for each, text in found.items())


def fetch_command(name: str, out: Path | None = None, agents_dir: tuple[str, ...] = (), form: str = "table") -> str:
    """Fetch the prompts of a judge, or of an agent's authors. Returns the text on where they are now. Raises UsageError,
    with nothing written."""
    if name in official():
        return _fetch_judge(official()[name], form)
    known = {card.name: pinned for card in _agents(agents_dir) if (pinned := authors.upstream_of(set_of(card)))}
    if name not in known:
        names = [*known, *official()]
        raise UsageError(f"nothing to fetch for '{name}'{suggest(name, names)} (known: {', '.join(names)})")
    if out is None:
        raise UsageError(f"memeval prompts fetch {name}: add --out DIR, the folder for the texts")
    fetched = authors.fetch(known[name], out, name, _say)
    if form == "json":
        found = {"card": str(fetched.card), "files": fetched.files, "source": fetched.source, "licence": fetched.licence}
        return json.dumps(found, ensure_ascii=False)
    said = f"{len(fetched.files) - 1} prompts of {fetched.source} ({fetched.licence}) are in {out}."
    return f"{said}\n`memeval run --agent {fetched.card}` uses them."


def _fetch_judge(judge: OfficialJudge, form: str) -> str:
    """Fetch upstream's file into the user's cache, check it, and return the text on it."""
    path = upstream.get(judge.file, _say)
    if form == "json":
        return json.dumps({"name": judge.name, "path": str(path), "sha256": judge.sha256, "licence": judge.licence})
    use = f"`memeval score RUN --judge MODEL --family {judge.name}` uses it"
    return f"{path}\n{judge.about}; {judge.repository} at {judge.commit[:12]}, {judge.licence}. {use}."


def _say(line: str) -> None:
    click.echo(line, err=True)


def _agents(agents_dir: tuple[str, ...]) -> list[AgentCard]:
    """The agents with prompts of their own."""
    found = (cards.find(AgentCard, name, agents_dir) for name in cards.listing(AgentCard, agents_dir))
    return [card for card in found if card and not card.abstract and set_of(card) in sets()]
