"""Mem-alpha's own sets (Wang et al., arXiv 2509.25911) and its MemoryAgentBench subset, from the published parquet schema.

One row is one stream: `chunks` (a JSON string of texts) are its units, kept apart by the card's `one_unit_per_chunk`, and
`questions_and_answers` (a JSON string) is asked of the whole of it. A card's `params` name the `data_source` to take. Rows
of HotpotQA and of our own builders (memeval/training) have evidence, texts that stand in the chunks. As upstream's
process_data.py cuts long articles, some of its sentences stand in none: such a question counts as one without evidence.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from memeval.cards import TaskCard
from memeval.datafiles import files, origin
from memeval.datafiles.fields import is_whole, text_field
from memeval.errors import UsageError
from memeval.sources import Settings
from memeval.sources.fixed import FixedTask
from memeval.task import Context, Evidence, Question, Unit

DEFAULTS: Mapping[str, tuple[str, ...] | str | bool] = {"data_source": "", "files": (), "hub": ()}
"""data_source: which rows. files: names in the data folder, best first. hub: `owner/name@revision/file`, best first."""


class MemAlphaSets:
    """The source of cards that say `source: memalpha`."""

    def load(self, card: TaskCard, settings: Settings) -> FixedTask:
        """Read the rows of one data source. Raises UsageError when there are none, or a row is not as published."""
        params = origin.params(card, DEFAULTS)
        wanted = params["data_source"]
        loaded = files.read(origin.locate(card, settings, params["files"], params["hub"]))
        contexts: dict[str, Context] = {}
        for place, row in loaded.where("data_source", wanted, lambda row, place: text_field(row, "data_source", place)):
            context = parse(row, place)
            if context.id in contexts:
                raise UsageError(f"{place}: instance_id {context.id} was already used for '{wanted}'")
            contexts[context.id] = context
        data = {
            "files": [loaded.facts],
            "contexts": len(contexts),
            "questions": sum(len(context.questions) for context in contexts.values()),
            "chunks": sum(len(context.units) for context in contexts.values()),
            "with_evidence": sum(bool(question.evidence) for item in contexts.values() for question in item.questions),
            "corpus": loaded.facts["sha256"],
        }
        asked = {name: context.questions for name, context in contexts.items()}
        return FixedTask(card, settings, asked, contexts.__getitem__, data)


def parse(row: Mapping[str, Any], place: str) -> Context:
    """One row. Its id is `instance_id`; question n (from 0) of it is `<instance_id>-<n>`.

    `metadata` is not read: where sets of several families were put together upstream, it holds NaN, which is no JSON.
    """
    instance = row.get("instance_id")
    if not is_whole(instance, least=None):
        raise UsageError(f"{place}: 'instance_id' is {instance!r}, expected a whole number")
    chunks = _decoded(row, "chunks", place)
    if not all(isinstance(chunk, str) and chunk.strip() for chunk in chunks):
        raise UsageError(f"{place}: 'chunks' holds something other than texts, or a blank one")
    units = tuple(Unit(chunk.strip()) for chunk in chunks)
    questions = tuple(
        _question(item, f"{instance}-{number}", units, f"{place}: questions_and_answers[{number}]")
        for number, item in enumerate(_decoded(row, "questions_and_answers", place))
    )
    for key, count in (("num_chunks", len(units)), ("num_questions", len(questions))):
        if row.get(key, count) != count:
            raise UsageError(f"{place}: '{key}' is {row[key]!r}, but the row holds {count}; fetch the file again")
    return Context(str(instance), units, questions, cluster=str(instance), meta={"documents": len(units)})


def _decoded(row: Mapping[str, Any], key: str, place: str) -> list[Any]:
    """The non-empty list that a JSON string holds. Never evaluated: upstream's scripts do, on data from anywhere."""
    text = text_field(row, key, place)
    value = files.parse_line(text.encode("utf-8", "surrogatepass"), f"{place}: '{key}'")
    if not isinstance(value, list) or not value:
        raise UsageError(f"{place}: '{key}' is not a list with something in it")
    return value


def _question(item: Any, name: str, units: Sequence[Unit], place: str) -> Question:
    if not isinstance(item, Mapping):
        raise UsageError(f"{place}: expected an object with 'question' and 'answer'")
    answers = item.get("answer")
    listed = answers if isinstance(answers, list) else [answers]
    golds = tuple(str(answer).strip() for answer in listed if isinstance(answer, str) or type(answer) in (int, float))
    if not golds or len(golds) < len(listed) or not all(golds):
        raise UsageError(f"{place}: 'answer' is {repr(answers)[:80]}, expected a text or a list of texts")
    return Question(name, text_field(item, "question", place), golds, evidence=_evidence(item, units, place))


def _evidence(item: Mapping[str, Any], units: Sequence[Unit], place: str) -> tuple[Evidence, ...]:
    """Pieces are texts or [title, text]; none at all where the chunks lack one of them. Upstream's `evidence_idx` is not
    used: for several families it is a mere 0."""
    given = item.get("evidence")
    if given is not None and not isinstance(given, list):
        raise UsageError(f"{place}: 'evidence' is {repr(given)[:80]}, expected a list of texts or [title, text]")
    pieces = []
    for piece in given or ():
        text = piece[-1] if isinstance(piece, list) and len(piece) == 2 else piece
        if not isinstance(text, str):
            raise UsageError(f"{place}: 'evidence' holds {repr(piece)[:80]}, expected a text or [title, text]")
        if text.strip():  # HotpotQA has blank sentences
            held = tuple(number for number, unit in enumerate(units) if text.strip() in unit.text)
            pieces.append(Evidence(text.strip(), held))
    return tuple(pieces) if all(piece.units for piece in pieces) else ()
