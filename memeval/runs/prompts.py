"""The prompts of a run: what an agent ships, what its card replaces, and what the user does (docs/prompts.md)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from memeval import plugins
from memeval.cards import AgentCard
from memeval.errors import UsageError, suggest
from memeval.prompts import check, load_prompts, shipped

GENERAL = ("reader",)
"""Parts that are no agent's own."""


def prompt_set(card: AgentCard) -> str | Mapping[str, str]:
    """The prompts that an agent has unless a file replaces them: a set by its name, or texts by part."""
    return card.prompt_set or plugins.own_prompts(card)


def shipped_texts(card: AgentCard) -> Mapping[str, str]:
    """The same as texts by part."""
    own = prompt_set(card)
    return shipped(own) if isinstance(own, str) else own


def replaced(card: AgentCard, typed: Mapping[str, str]) -> dict[str, str]:
    """part -> text, of all that is not as the agent's class has it: by the set that its card names, by its card's prompt
    files (relative to it), and by `--prompt PART=FILE` (typed: part -> file), as far as this agent has the part. Raises
    UsageError."""
    texts = shipped_texts(card)

    def part_of(name: str) -> str:
        return "system" if name == "memory" and "system" in texts else name

    files = {part_of(name): str(Path(card.path).parent / file) for name, file in card.prompts.items()}
    files |= {part: file for name, file in typed.items() if (part := part_of(name)) in texts or name in GENERAL or not texts}
    own = load_prompts(files)
    if isinstance(name := prompt_set(card), str):
        check(name, files, own)
    return {**(texts if card.prompt_set else {}), **own}


def check_parts(cards: Sequence[AgentCard], typed: Mapping[str, str]) -> None:
    """Raises UsageError for a part of `--prompt` that no agent of a run has."""
    known = {"memory", "judge", *GENERAL, *(part for card in cards for part in shipped_texts(card))}
    for part in typed:
        if part not in known:
            raise UsageError(f"--prompt {part}: no such part{suggest(part, known)} (one of {', '.join(sorted(known))})")
