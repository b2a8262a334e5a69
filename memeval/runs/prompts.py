"""The prompts of a run: those of the agent, and replacements by its card and by the user (docs/prompts.md)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from memeval import plugins
from memeval.authors import is_authors, upstream_of
from memeval.cards import AgentCard, TaskCard
from memeval.errors import UsageError, suggest
from memeval.prompts import READER, check, load_prompts, sets, shipped
from memeval.protocol import of_agent, scored
from memeval.yamlfile import at_key

GENERAL = ("reader",)
"""Parts that belong to no agent."""


def own_prompts(card: AgentCard) -> str | Mapping[str, str]:
    """The prompts of an agent's class: the name of a shipped set, or its texts by part; empty if the class declares
    none."""
    own: Any = {}
    if card.agent not in plugins.CONTROLS:
        with suppress(UsageError):  # a class that cannot be loaded is reported where it is used
            own = getattr(plugins.agent_class(card), "prompts", {})
    return own if isinstance(own, Mapping) or (isinstance(own, str) and own in sets()) else {}


def set_of(card: AgentCard) -> str:
    """The shipped set of an agent's prompts: its card's, else its class's; empty if it has none."""
    own = card.prompt_set or own_prompts(card)
    return own if isinstance(own, str) else ""


def shipped_texts(card: AgentCard) -> Mapping[str, str]:
    """part -> text of an agent's prompts before any file replaces them."""
    own = card.prompt_set or own_prompts(card)
    return shipped(own) if isinstance(own, str) else own


def replaced(card: AgentCard, typed: Mapping[str, str]) -> dict[str, str]:
    """part -> text of every part that differs from the agent's class: by the set that its card names, by the card's
    prompt files (relative to it), or by `--prompt PART=FILE` (typed: part -> file) if this agent has the part. Raises
    UsageError."""
    texts = shipped_texts(card)
    declared = bool(texts) or card.agent in (*plugins.AGENTS, *plugins.CONTROLS)  # else the class may read any part
    known = {"memory": "system"} if "system" in texts else {}
    known |= {part: part for part in (*GENERAL, *texts)}
    for part in card.prompts:
        if declared and part not in known:
            place = at_key(Path(card.path), "prompts", part)
            raise UsageError(f"{place}: no part '{part}'{suggest(part, known)} (one of {', '.join(known)})")
    files = {known.get(part, part): str(Path(card.path).parent / file) for part, file in card.prompts.items()}
    files |= {known.get(part, part): file for part, file in typed.items() if part in known or not declared}
    own = load_prompts(files)
    check(set_of(card), files, own)
    return {**(texts if card.prompt_set else {}), **own}


def deviations(task: TaskCard, agent: AgentCard, prompts: Mapping[str, str]) -> tuple[str, ...]:
    """Known differences from a published protocol: those that the cards list, and prompt texts that are not the
    authors'. prompts: of the run's identity."""
    found = [*agent.deviations, *task.deviations]
    rule, headline = of_agent(task.published_metrics, agent), scored(task, agent).headline
    if task.protocol and rule not in ("", "judge", headline):
        found.append(f"headline is {headline}; the published number is by {rule}, which is computed too")
    if task.reader_deviation and prompts.get("reader") in READER.values():
        found.append(task.reader_deviation)
    own, pinned = shipped_texts(agent), upstream_of(set_of(agent))
    of_authors = pinned.parts if pinned else ()
    ours = [part for part in own if part in of_authors and not is_authors(set_of(agent), part, prompts.get(part, own[part]))]
    if ours:
        found.append(f"in our own words: {', '.join(ours)} (`memeval prompts fetch {agent.name}` brings the authors' texts)")
    return tuple(found)


def users_parts(agent: AgentCard | None, prompts: Mapping[str, str]) -> list[str]:
    """The parts of a run's prompts that are neither shipped nor the authors'. agent: None if its card is gone. prompts:
    of the run's identity."""
    ours = shipped_texts(agent) if agent else {}
    return [
        part
        for part, text in prompts.items()
        if text != ours.get(part)
        and not (part == "reader" and text in READER.values())
        and not (agent and is_authors(set_of(agent), part, text))
    ]


def check_parts(cards: Sequence[AgentCard], typed: Mapping[str, str]) -> None:
    """Raises UsageError for a part of `--prompt` that no agent of the run has."""
    known = {"memory", "judge", *GENERAL, *(part for card in cards for part in shipped_texts(card))}
    for part in typed:
        if part not in known:
            raise UsageError(f"--prompt {part}: no such part{suggest(part, known)} (one of {', '.join(sorted(known))})")
