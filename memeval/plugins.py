"""Find the classes of sources and agents by name: built in, `file.py:Class`, or from entry points.

Built-in names are in the tables below; their modules are imported only when used. Entry-point groups (`memeval.agents`,
`memeval.sources`, `memeval.metrics`, `memeval.models`) are read only for names that are not found otherwise.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from memeval import cards, typed
from memeval.cards import AgentCard, TaskCard
from memeval.errors import UsageError, suggest
from memeval.loading import fixed, importing, load_object

SOURCES = {
    "synth": "memeval.tasks.synth:Synth",
    "synth-tiny": "memeval.tasks.synth_tiny:SynthTiny",
    "hotpotqa": "memeval.tasks.multihop:HotpotQA",
    "2wiki": "memeval.tasks.multihop:TwoWiki",
    "nq": "memeval.tasks.nq:NQ",
    "triviaqa": "memeval.tasks.triviaqa:TriviaQA",
    "jsonl": "memeval.tasks.jsonl:Jsonl",
    "memalpha": "memeval.tasks.memalpha:MemAlphaSets",
    "memoryagentbench": "memeval.tasks.memoryagentbench:MemoryAgentBench",
    "personamem": "memeval.tasks.personamem:PersonaMem",
    "longmemeval": "memeval.tasks.longmemeval:LongMemEval",
    "locomo": "memeval.tasks.locomo:LoCoMo",
    "beam": "memeval.tasks.beam:Beam",
    "personamem_v2": "memeval.tasks.personamem_v2:PersonaMemV2",
}
AGENTS = {
    "memalpha": "memeval.agents.memalpha:MemAlpha",
    "long-context": "memeval.agents.long_context:LongContext",
    "bm25": "memeval.agents.rag:BM25",
    "dense": "memeval.agents.rag:Dense",
    "hybrid": "memeval.agents.rag:Hybrid",
    "iterative": "memeval.agents.iterative:Iterative",
    "memagent": "memeval.agents.memagent:MemAgent",
    "mem1": "memeval.agents.mem1:Mem1",
    "summary": "memeval.agents.rolling:Summary",
    "recent": "memeval.agents.recent:Recent",
    "random-k": "memeval.agents.recent:RandomK",
    "write-all": "memeval.agents.writers:Writer",
    "write-random": "memeval.agents.writers:Writer",
    "cmd": "memeval.agents.foreign.program:Program",
    "http": "memeval.agents.foreign.server:Server",
    "mem0": "memeval.agents.mem0:Mem0",
}
ALIASES = {"rag": "bm25"}
"""Other names of agents."""
FOREIGN = ("cmd", "http", "mem0")
"""Agents with a parameter `timeout`, the seconds to wait for them; it does not change any answer."""
CONTROLS = {
    "oracle": "the reader gets the gold evidence (an upper bound for this reader; n/a where the data have none)",
    "none": "the reader's own prompt with an empty memory (a lower bound)",
    "closed-book": "a prompt that invites world knowledge (contamination probe)",
    "constant": "the best fixed answer of the task (no model call)",
    "shuffled": "the reader gets what bm25 recalls from another question's stream (right answers do not come from memory)",
    "longest-option": "the longest of the options (no model call): the floor where right options are longer",
    "shotgun": "every name and number of the 2 chunks that bm25 recalls: how much a metric rewards length (no model call)",
}


def entry_point(group: str, name: str) -> Any | None:
    """The object that another package registered under `memeval.<group>`, or None."""
    from importlib.metadata import entry_points  # slow: scanned only for names that are not found otherwise

    for point in entry_points(group=f"memeval.{group}", name=name):
        with importing(f"'{name}' of {group}", Path.cwd()):
            return point.load()
    return None


def entry_point_names(group: str) -> list[str]:
    from importlib.metadata import entry_points

    return sorted(point.name for point in entry_points(group=f"memeval.{group}"))


def source(card: TaskCard) -> Any:
    """The source class of a task card."""
    return _made(card.source, SOURCES, "sources", card.path)


def agent_class(card: AgentCard) -> Any:
    """The class that an agent's card names (never called for controls). A class that starts programs finds them beside
    the card, or in the current working directory."""
    made = _made(card.agent, AGENTS, "agents", card.path)
    return made.beside(Path(card.path).parent if card.path else Path.cwd()) if is_foreign(made) else made


def is_foreign(made: Any) -> bool:
    """Whether an agent's class is memeval's own for programs and servers (agents/foreign)."""
    return getattr(made, "is_foreign", False) is True


def _made(name: str, table: Mapping[str, str], group: str, path: str) -> Any:
    """The class that a card names: built in, by a reference, or from an entry point. path: of the card."""
    if name in table:
        return load_object(table[name])
    if ":" in name:
        return load_object(name, Path(path) if path else None)
    found = entry_point(group, name)
    if found is None:
        raise UsageError(f"{path}: unknown {group[:-1]} '{name}'{suggest(name, table)} (known: {', '.join(table)})")
    return found


def find_agent(name: str, extra: tuple[str, ...] = ()) -> AgentCard:
    """The agent a user typed: a card, a control, `cmd:PROGRAM`, `http:URL`, `file.py:Class` or an entry point."""
    if name in CONTROLS:
        return AgentCard(name=name, agent=name, description=CONTROLS[name])
    kind, _, rest = name.partition(":")
    if kind == "cmd":
        short = " ".join(word.rpartition("/")[2] for word in rest.split())
        return AgentCard(name=short or name, agent=kind, params={"command": rest})
    if kind in ("http", "https"):
        url = name if rest.startswith("//") else rest
        return AgentCard(name=url.partition("//")[2] or name, agent="http", params={"url": url})
    card = _card(AgentCard, name, extra) or _card(AgentCard, ALIASES.get(name, ""), extra)
    if card is not None:
        return replace(card, agent=fixed(card.agent, Path(card.path))) if ":" in card.agent else card
    if ":" in name:
        reference = fixed(name)
        return AgentCard(name=name.rpartition(":")[2], agent=reference, track=_track(load_object(reference), reference))
    found = entry_point("agents", name)
    if found is not None:
        return AgentCard(name=name, agent=name, track=_track(found, name))
    known = [*cards.listing(AgentCard, extra), *CONTROLS, *entry_point_names("agents")]
    ways = "file.py:Class, cmd:PROGRAM or http:URL"
    raise UsageError(f"no agent '{name}'{suggest(name, known)} (memeval list agents shows all; or give {ways})")


def _track(made: Any, name: str) -> Any:
    """The class's track, `reader` or `native`. Raises UsageError for anything else."""
    return typed.typed(getattr(made, "track", "reader"), typed.fields(AgentCard)["track"].type, name, "track")


def _card(kind: type[cards.Card], name: str, extra: tuple[str, ...]) -> cards.Card | None:
    """`cards.find`, whose error adds that a key belongs under `params` if the card's source or agent has it."""
    try:
        return cards.find(kind, name, extra)
    except cards.UnknownKey as error:
        table, group = (SOURCES, "sources") if kind is TaskCard else (AGENTS, "agents")
        known: Iterable[str] = ()
        with suppress(UsageError):  # the unknown key must be fixed first
            made = _made(str(error.data.get(group[:-1])), table, group, name)
            known = typed.fields(made.Params) if hasattr(made, "Params") else inspect.signature(made).parameters
        if error.key not in known:
            raise
        raise UsageError(f"{str(error).partition(';')[0]}; it belongs under 'params'") from None


def find_suite(name: str, extra: tuple[str, ...] = ()) -> list[str] | None:
    """The tasks of a suite, each with the suite's `@variant`s; None if the name is not a suite's."""
    base, *variants = name.split("@")
    suite = cards.find(cards.SuiteCard, base, extra)
    return None if suite is None else ["@".join([task, *variants]) for task in suite.tasks]


def find_task(name: str, extra: tuple[str, ...] = ()) -> TaskCard:
    """The task a user typed: a card's name or path, or a source's `file.py:Class`, with `@variant`s."""
    base, *variants = name.split("@")
    card = _card(TaskCard, base, extra)
    if card is None and ":" in base:
        reference = fixed(base)
        load_object(reference)
        card = TaskCard(name=base.rpartition(":")[2], source=reference, cluster="context", questions=0)
    if card is None:
        known = cards.listing(TaskCard, extra)
        ways = "memeval list tasks shows all; or give card.yaml or file.py:Class"
        raise UsageError(f"no task '{base}'{suggest(base, known)} ({ways})")
    if ":" in card.source and card.path:
        card = replace(card, source=fixed(card.source, Path(card.path)))
    for variant in variants:
        card = cards.with_variant(card, variant)
    if card.abstract and not (card.documents or card.tokens):  # a base with a length is a task
        longer = [known for known in cards.listing(TaskCard, extra) if known.startswith(f"{base}-")]
        raise UsageError(f"task '{name}' is a base for others; name one of {', '.join(longer)}")
    return card
