"""PersonaMem (Jiang et al., COLM 2025, arXiv 2504.14225): four-option questions in the middle of long chat histories.

Per size a CSV with the questions and a JSONL with the histories they share. Upstream shows `history[:end_index]` and then
asks (inference_standalone_openai.py): the end is exclusive and becomes `Question.position`. One unit per turn; the system
turns, which carry the persona, stay.
"""

from __future__ import annotations

from memeval.cards import TaskCard
from memeval.datafiles import files
from memeval.datafiles.lines import JsonLines
from memeval.datafiles.needs import Need
from memeval.datafiles.origin import locate, params
from memeval.errors import UsageError
from memeval.sources import Settings
from memeval.sources.fixed import FixedTask
from memeval.sources.personamem_rows import Asked, history, parse
from memeval.sources.reread import Reread

SIZES = {"32k": "synth-30k", "128k": "synth-100k", "1M": "synth-1m"}
"""Size, as upstream spells it -> the bundled task of about that length."""


class PersonaMem:
    """The source of cards that say `source: personamem`. params: size (32k, 128k or 1M), hub (data set id), revision."""

    def needs(self, card: TaskCard) -> tuple[Need, Need]:
        """The file with the questions, and the one with the histories."""
        given = params(card, {"size": "", "hub": "bowen-upenn/PersonaMem", "revision": ""})
        size = given["size"]
        if size not in SIZES:
            raise UsageError(f"{card.path or card.name}: 'params.size' is {size!r}, expected one of {', '.join(SIZES)}")
        hub = f"{given['hub']}@{given['revision']}" if given["revision"] else given["hub"]
        questions, histories = f"questions_{size}.csv", f"shared_contexts_{size}.jsonl"
        return (
            Need((f"personamem/{questions}",), (f"{hub}/{questions}", f"{hub}/benchmark/{size}-*.parquet")),
            Need((f"personamem/{histories}",), (f"{hub}/{histories}",)),
        )

    def load(self, card: TaskCard, settings: Settings) -> FixedTask:
        """Read the questions, and check the histories against them. Raises UsageError when the data are not at hand,
        damaged, or do not fit each other."""
        needed = self.needs(card)
        bundled = SIZES[card.params["size"]]
        table, file = (locate(card, settings, need.files, need.hub, bundled=bundled) for need in needed)
        loaded = files.read(table)
        asked: dict[str, Asked] = {}
        contexts: dict[str, list[Asked]] = {}
        for place, row in loaded.objects():
            item = parse(row, place)
            if item.question.id in asked:
                raise UsageError(f"{place}: id {item.question.id!r} was already used by {asked[item.question.id].place}")
            others = contexts.setdefault(item.context_id, [])
            if others and others[0].persona != item.persona:
                raise UsageError(f"{place}: persona {item.persona}, but {others[0].place} has another for this context")
            asked[item.question.id] = item
            others.append(item)
        if not asked:
            raise UsageError(f"{table.path}: no questions in it; fetch it again")
        lines = JsonLines(file)
        stored = Reread(lines, lambda row, place, _: history(row, contexts, place), "context")
        held = {context.id for context in stored.contexts()}
        for name, items in contexts.items():
            if name not in held:
                raise UsageError(f"{items[0].place}: its history {name!r} is not in {file.path}")
        data = {
            "files": [loaded.facts, lines.facts],
            "questions": len(asked),
            "contexts": len(contexts),
            "personas": len({item.persona for item in asked.values()}),
            "corpus": lines.facts["sha256"],
        }
        return FixedTask(card, settings, stored.questions, stored.build, data)
