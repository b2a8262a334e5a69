"""What `memeval show` prints about answers: a list of them, one question in full, or a memory."""

from __future__ import annotations

from collections.abc import Mapping

from memeval.records.attribution import AttributedAnswer
from memeval.records.rows import QuestionRow
from memeval.results.lost import WORDS
from memeval.results.story import Given, Memory, Recalled, Ruling, Story
from memeval.wording import counted

SHORT = 160
"""The most characters of a text, unless all is wanted."""


def answer_lines(row: Given) -> list[str]:
    """An answer as part of a list."""
    repeat = f"  repeat {row.repeat}.{row.answer_repeat}" if row.repeat or row.answer_repeat else ""
    return [
        f"{row.question_id}{repeat}  {_verdict(row)}  {pairs(row.metrics)}  {row.kind}".rstrip(),
        f"  question  {short(row.text)}",
        f"  gold      {short(' | '.join(row.golds))}",
        f"  answer    {short(row.answer or row.failure or '')}",
    ]


def story_lines(story: Story, absent: str, limit: int | None = SHORT) -> list[str]:
    """One question: gold, answer, score, what was recalled, the memory at that point, and the calls that wrote it."""
    lines = _asked(story.question, limit)
    for row in story.answers:
        lines += [f"answer    {short(row.answer or '', limit)}", f"score     {_verdict(row)}  {pairs(row.metrics)}".rstrip()]
        if row.reason:
            lines.append(f"reason    {row.reason}")
        lines += [_ruling(ruling, limit) for ruling in row.rulings]
        lines += _attributed(row.attributed, limit)
    lines += [f"keypoint  {short(point, limit)}" for point in story.question.keypoints]
    return [*lines, *_recalled(story, limit), "", *memory_lines(story.memory, absent, limit)]


def memory_lines(memory: Memory | None, absent: str, limit: int | None = SHORT) -> list[str]:
    """A memory: its entries, with a mark on those that hold evidence, and the operations that wrote them. absent: the text
    where there is no memory."""
    if memory is None:
        return [f"memory    {absent}"]
    size = f"{pairs(memory.held)} tokens" if memory.held else "size not reported"
    lines = [f"memory    after {counted(memory.chunks, 'chunk')} ({counted(memory.units, 'unit')}): {size}"]
    if not memory.recorded:
        lines.append("  its entries are not known: the agent records no operations")
    kinds: dict[str, list[str]] = {}
    for entry in memory.entries:
        line = f"   {'*' if entry.evidence else ' '}[{entry.id}] {short(entry.text, limit)}"
        kinds.setdefault(entry.type, []).append(line)
    for kind, texts in kinds.items():
        lines += [f"  {kind} ({len(texts)})", *texts]
    if any(entry.evidence for entry in memory.entries):
        lines.append("  * holds a piece of the evidence")
    if memory.operations:
        lines += ["", f"calls that wrote it ({len(memory.operations)})"]
    half = None if limit is None else limit // 2
    for call in memory.operations:
        arguments = ", ".join(f"{key}={short(str(value), half)!r}" for key, value in call.arguments.items())
        lines.append(f"  {call.chunk} {call.name}({arguments}) -> {call.status} {short(call.message, half)}".rstrip())
    return lines


def _asked(question: QuestionRow, limit: int | None) -> list[str]:
    gold = " | ".join(question.answers) if question.answerable else "(unanswerable: the right reply is to decline)"
    return [
        f"question  {short(question.text, None)}" + (f"  [{question.time}]" if question.time else ""),
        *(f"  option  {short(option, limit)}" for option in question.options or ()),
        f"gold      {short(gold, None)}",
        f"kind      {question.kind}, context {question.context_id}, {counted(question.stream_tokens, 'token')}",
    ]


_FOUND = {True: "recalled", False: "not recalled", None: "cannot be traced: recalled from too many chunks"}


def _recalled(story: Story, limit: int | None) -> list[str]:
    found = iter(story.found)
    lines = []
    for piece in story.question.evidence:
        where = f"in {', '.join(piece.chunks)} ({_FOUND[next(found)]})" if piece.chunks else "not in the stream"
        lines.append(f"evidence  {where}: {short(piece.text, limit)}")
    if story.unsupported:
        lines.append("          the answer is right but unsupported: the evidence is not held in what was recalled")
    lines += [
        "",
        f"recalled  {counted(len(story.recalled), 'item')}, {counted(story.recall_tokens, 'token')}, "
        f"{counted(story.recall_dropped, 'item')} and {counted(story.recall_lost, 'token')} beyond the budget",
        *(_item(item, limit) for item in story.recalled),
    ]
    return lines


def _item(item: Recalled, limit: int | None) -> str:
    score = "" if item.score is None else f" score {item.score:.3f}"
    mark = "*" if item.evidence else " "
    return f" {mark}[{item.id or ','.join(item.chunks) or '-'}]{score} {short(item.text, limit)}"


def _verdict(row: Given) -> str:
    return f"{row.verdict or 'not scored yet'}{f' ({WORDS[row.lost]})' if row.lost else ''}"


def _ruling(row: Ruling, limit: int | None) -> str:
    points = f"items {', '.join(f'{score:g}' for score in row.points)}" if row.points else ""
    said = " ".join(filter(None, (pairs(row.metrics), points, row.reason, row.reply)))
    return f"judge     {row.judge}: {row.verdict}  {short(said, limit)}"


def _attributed(row: AttributedAnswer | None, limit: int | None) -> list[str]:
    """What the reader answered when it was asked again (`memeval attribute`)."""
    if row is None:
        return []
    again = (("evidence", row.with_evidence), ("whole memory", row.with_memory))
    said = (f"with the {what} {short(text, limit)!r}" for what, text in again if text is not None)
    return [f"again     {row.where}: {', '.join(said) or 'not asked'}"]


def pairs(row: Mapping[str, object]) -> str:
    return (
        ", ".join(f"{key} {value:.3g}" if isinstance(value, float) else f"{key} {value}" for key, value in row.items())
        or "none"
    )


def short(text: str, limit: int | None = SHORT) -> str:
    """The text on one line, with printable characters only: text of a model or a data set must not move the cursor."""
    flat = "".join(char if char.isprintable() else " " for char in " ".join(text.split()))
    return flat if limit is None or len(flat) <= limit else flat[: limit - 1] + "…"
