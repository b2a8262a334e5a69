"""What a name stands for: sources, agents, metrics and models, built in, from entry points, or `file.py:Class`.

Built-in names are looked up in the tables below and imported only when used. Entry-point groups (`memeval.agents`,
`memeval.tasks`, `memeval.metrics`, `memeval.models`) are scanned only for a name that nothing else has.
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import sys
import traceback
from pathlib import Path
from typing import Any

from memeval import cards
from memeval.cards import AgentCard
from memeval.errors import UsageError, suggest

SOURCES = {
    "synth": "memeval.tasks.synth:Synth",
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
}
AGENTS = {
    "memalpha": "memeval.agents.memalpha:MemAlpha",
    "long-context": "memeval.agents.long_context:LongContext",
    "bm25": "memeval.agents.rag:BM25",
    "recent": "memeval.agents.recent:Recent",
    "random-k": "memeval.agents.recent:RandomK",
}
ARMS = {
    "oracle": "the reader gets the gold evidence (an upper bound for this reader; n/a where the data have none)",
    "none": "the reader's own prompt with an empty memory (the protocol's floor)",
    "closed-book": "a prompt that invites world knowledge (contamination probe)",
    "constant": "the best fixed answer of the task (no model call)",
}


def load_object(reference: str, base: Path | None = None) -> Any:
    """The object behind `package.module:Name` or `path/to/file.py:Name` (a relative file is looked for beside `base`,
    the card that names it, then in the working directory)."""
    module_name, _, attribute = reference.rpartition(":")
    if not module_name or not attribute.isidentifier():
        raise UsageError(f"'{reference}': expected file.py:Class or package.module:Class")
    if module_name.endswith(".py"):
        module = _load_file(module_file(reference, base))
    else:
        try:
            module = importlib.import_module(module_name)
        except ModuleNotFoundError as error:
            raise UsageError(f"'{reference}': no module '{error.name}'; is it installed?") from None
    if not hasattr(module, attribute):
        names = [name for name in vars(module) if not name.startswith("_")]
        raise UsageError(f"'{reference}': {module_name} has no '{attribute}'{suggest(attribute, names)}")
    return getattr(module, attribute)


def module_file(reference: str, base: Path | None = None) -> Path:
    """The file of a `file.py:Name` reference."""
    path = Path(reference.rpartition(":")[0]).expanduser()
    beside = (base.parent / path) if base is not None else path
    found = beside if beside.is_file() else path
    if not found.is_file():
        raise UsageError(f"'{reference}': no file {path}")
    return found.resolve()


def _load_file(path: Path) -> Any:
    name = f"memeval_user_{hashlib.sha256(str(path).encode()).hexdigest()[:12]}"
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise UsageError(f"{path}: cannot be loaded as a Python module")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # before it runs, so that its dataclasses and pickles find their module
    try:
        spec.loader.exec_module(module)
    except BaseException as error:
        del sys.modules[name]
        if isinstance(error, SyntaxError):
            raise UsageError(f"{error.filename}:{error.lineno}: {error.msg}") from None
        if isinstance(error, (KeyboardInterrupt, UsageError)):
            raise
        raise UsageError(f"{path}{_line(error, path)}: {_why(error)}") from error
    return module


def _line(error: BaseException, path: Path) -> str:
    """`:12`, the line of a file at which loading it failed."""
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if Path(frame.filename) == path]
    return f":{lines[-1]}" if lines else ""


def _why(error: BaseException) -> str:
    if isinstance(error, ModuleNotFoundError):
        # files beside it are not found on purpose: a run's identity covers this one alone
        return f"no module '{error.name}'; install it into this environment, or keep all of it in this file"
    return f"loading it raised {type(error).__name__}({' '.join(str(error).split())[:200]})"


def source_hash(reference: str, base: Path | None = None) -> str:
    """sha256 of the source text of a `file.py:Name` reference: part of a run's identity. Empty for installed modules."""
    if not reference.rpartition(":")[0].endswith(".py"):
        return ""
    return hashlib.sha256(module_file(reference, base).read_bytes()).hexdigest()


def entry_point(group: str, name: str) -> Any | None:
    """The object another package registered under `memeval.<group>`, or None."""
    from importlib.metadata import entry_points  # slow: scanned only for names that nothing else has

    for point in entry_points(group=f"memeval.{group}", name=name):
        return point.load()
    return None


def entry_point_names(group: str) -> list[str]:
    from importlib.metadata import entry_points

    return sorted(point.name for point in entry_points(group=f"memeval.{group}"))


def load_metric(name: str, where: str) -> None:
    """Make sure `METRICS` has the metric, from an entry point if need be. where: the card, for the error."""
    from memeval.metrics import METRICS

    if name not in METRICS:
        found = entry_point("metrics", name)
        if found is None:
            raise UsageError(f"{where}: unknown metric '{name}'{suggest(name, METRICS)} (memeval list metrics shows all)")
        METRICS[name] = found


def source(card: cards.TaskCard) -> Any:
    """The source class of a task card."""
    name = card.source
    if name in SOURCES:
        return load_object(SOURCES[name])
    if ":" in name:
        return load_object(name, Path(card.path) if card.path else None)
    found = entry_point("sources", name)
    if found is None:
        raise UsageError(f"{card.path}: unknown source '{name}'{suggest(name, SOURCES)} (known: {', '.join(SOURCES)})")
    return found


def agent_class(card: AgentCard) -> Any:
    """The class an agent card names (never called for engine arms)."""
    if card.agent in AGENTS:
        return load_object(AGENTS[card.agent])
    if ":" in card.agent:
        return load_object(card.agent, Path(card.path) if card.path else None)
    found = entry_point("agents", card.agent)
    if found is None:
        raise UsageError(f"{card.path}: unknown agent '{card.agent}'{suggest(card.agent, AGENTS)}")
    return found


def find_agent(name: str, extra: tuple[str, ...] = ()) -> AgentCard:
    """The agent a user typed: a card, an engine arm, `file.py:Class` or an entry point."""
    if name in ARMS:
        return AgentCard(name=name, agent=name, description=ARMS[name])
    card = cards.find(AgentCard, name, extra)
    if card is not None:
        return card
    if ":" in name:
        track = getattr(load_object(name), "track", "reader")
        return AgentCard(name=name.rpartition(":")[2], agent=name, track=track)
    found = entry_point("agents", name)
    if found is not None:
        return AgentCard(name=name, agent=name, track=getattr(found, "track", "reader"))
    known = [*cards.listing(AgentCard, extra), *ARMS, *entry_point_names("agents")]
    raise UsageError(f"no agent '{name}'{suggest(name, known)} (memeval list agents shows all; or give file.py:Class)")


def find_suite(name: str, extra: tuple[str, ...] = ()) -> list[str] | None:
    """The tasks of a suite the user typed, each with the suite's `@variant`s; None when the name is not a suite's."""
    base, *variants = name.split("@")
    suite = cards.find(cards.SuiteCard, base, extra)
    return None if suite is None else ["@".join([task, *variants]) for task in suite.tasks]


def find_task(name: str, extra: tuple[str, ...] = ()) -> cards.TaskCard:
    """The task a user typed: a card's name or path, or a source's `file.py:Class`, with `@variant`s."""
    base, *variants = name.split("@")
    card = cards.find(cards.TaskCard, base, extra)
    if card is None and ":" in base:
        load_object(base)
        card = cards.TaskCard(name=base.rpartition(":")[2], source=base, cluster="context", questions=0)
    if card is None:
        known = cards.listing(cards.TaskCard, extra)
        ways = "memeval list tasks shows all; or give card.yaml or file.py:Class"
        raise UsageError(f"no task '{base}'{suggest(base, known)} ({ways})")
    for variant in variants:
        card = cards.with_variant(card, variant)
    if card.abstract and not (card.documents or card.tokens):  # a base with a length is a task
        longer = [known for known in cards.listing(cards.TaskCard, extra) if known.startswith(f"{base}-")]
        raise UsageError(f"task '{name}' is a base for others; name one of {', '.join(longer)}")
    return card
