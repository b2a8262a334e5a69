"""The notes of a run: what a reader of its numbers must know. They are data, the same in a table, in JSON, in `memeval
show` and on a page.

Each note follows from the summary alone. Notes are shown in the order of this file.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from memeval.models.model_names import same_name
from memeval.records.averages import Average
from memeval.records.numbers import percent, percents
from memeval.records.summary import Contamination, Note, Summary
from memeval.records.verdicts import UNUSABLE
from memeval.runs.controls import NO_EVIDENCE, NO_OPTIONS, ONE_STREAM
from memeval.wording import counted

FEW = 100
"""Questions below which a table ranks nothing."""

SILENT_CUTS = 3
"""Number of prompts with a far too low token count after which a server is reported to cut prompts."""

OFFLINE_JUDGE = "judge offline: a string rule in place of a judge; it checks the harness and is no judged score."


def notes(run: Summary) -> tuple[Note, ...]:
    """All notes about a run."""
    return (*_what_they_are(run), *_whose_they_are(run), *_what_contradicts_them(run))


def _what_they_are(run: Summary) -> Iterator[Note]:
    if run.n < FEW:
        yield Note("few", f"n below {FEW}: this table checks the harness and ranks nothing.")
    if count := run.reasons.get(NO_EVIDENCE, 0):
        yield Note(
            "without-evidence", f"n/a for {count:,} of {counted(run.n, 'question')}: the data have no gold evidence for them"
        )
    if count := run.reasons.get(NO_OPTIONS, 0):
        yield Note("without-options", f"n/a for {count:,} of {counted(run.n, 'question')}: they have no options")
    if run.reasons.get(ONE_STREAM):
        yield Note("one-stream", "n/a: the task has no stream of another cluster to recall from")
    if run.judge_family and run.headline.metric != "judge":
        shown = f"without one (--judge NAME), {run.headline.metric} is shown instead."
        yield Note("not-judged", f"made to be scored by a judge; {shown}")
    if run.judge and run.judge.judge == "offline":
        yield Note("offline-judge", OFFLINE_JUDGE)
    if "offline" in (run.model, run.reader):
        text = "model offline: a rule-based reader to check the harness; not comparable with published results."
        yield Note("offline-model", text)
    if run.embedder == "offline":
        text = "embedder offline: hashed words and spellings; its retrieval is not comparable with published results."
        yield Note("offline-embedder", text)
    if run.judge:
        related = f"; of the family of {', '.join(run.judge.related)}" if run.judge.related else ""
        parts = f": {parts_line(run.judge.parts)}" if run.judge.parts else ""
        yield Note("judged", f"judged by {run.judge.judge} (prompts {run.judge.prompt_hash[:8]}{related}){parts}")
    if run.trained_on:
        yield Note("contamination", trained_text(run.trained_on))
    if not run.replayable:
        text = "the memory does not follow from stored replies: runs of other commands have read another one"
        yield Note("own-memory", text)
    if run.differing:
        yield Note(
            "differing",
            f"{counted(run.differing, 'step')} of reading gave another result when repeated from stored replies: the "
            "memory does not follow from those alone; set 'replayable: false' in the agent's card",
        )
    if run.query.offered:
        yield Note("query-visible", f"the question was shown while reading ({'used' if run.query.used else 'not used'})")
    if run.rebuilt:
        why, factor = "; ".join(run.rebuilt.why), run.rebuilt.factor
        text = f"the agent cannot be copied ({why}): it reads its streams anew for each position, {factor:.1f}x the chunks"
        yield Note("rebuilt", text)
    if run.window is not None:
        room = f"{run.recall_budget:,}" if run.recall_budget is not None else "fewer"
        text = f"the reader's window has {run.window:,} tokens, less than the task allows: agents recall at most {room}"
        yield Note("window", text)


def _whose_they_are(run: Summary) -> Iterator[Note]:
    for url, since in dict.fromkeys((row.url, row.since) for row in run.read_back):
        roles = ", ".join(row.role for row in run.read_back if (row.url, row.since) == (url, since))
        yield Note("read-back", f"read back, made by {url} on {since} ({roles}); --fresh asks again")
    if run.service_read_back:
        text = "read back, 0 calls: the agent's service may have changed since; --fresh asks again"
        yield Note("service-read-back", text)
    asked, served = {"memory": run.model, "reader": run.reader, "embedder": run.embedder}, dict(run.facts.served)
    if run.judge:
        asked["judge"], served["judge"] = run.judge.judge, run.judge.served
    for role, names in served.items():
        yield from (Note("other-model", text) for text in other_than(role, asked.get(role), names))
    if run.adapted:
        yield Note("adapted", f"calls are adapted to their server: {'; '.join(run.adapted)}")
    if changed := ", ".join(run.agent_files.changed):
        yield Note("agent-changed", f"{changed} changed while the run went on: its answers are of more than one agent")
    if missed := ", ".join(run.agent_files.missed):
        text = f"{missed} was imported and is not part of the agent's identity; name it under the card's 'source:'"
        yield Note("agent-missed", text)


def _what_contradicts_them(run: Summary) -> Iterator[Note]:
    facts, found, counts = run.facts, run.operations, run.operations.counts
    if facts.undercounted >= SILENT_CUTS:
        yield Note(
            "silent-cut",
            f"the window cuts silently: in {facts.undercounted:,} calls the server counts fewer than half of the tokens "
            "that were sent; give the server a longer context (Ollama: num_ctx), or set the role's 'context'",
        )
    if facts.estimated:
        of = f"{facts.estimated:,} of {counted(sum(run.calls.values()), 'call')}"
        yield Note("estimated", f"tokens of {of} are estimated: what the server counts is missing or cannot be true")
    if facts.unreadable:
        yield Note(
            "unreadable",
            f"the offline model cannot read {counted(facts.unreadable, 'prompt')} of this agent (none of the tags of "
            "memeval.prompts): these numbers mean nothing; use a real model",
        )
    for reason, number in run.unread.items():
        what = "brought nothing" if reason in (UNUSABLE["overflow"], UNUSABLE["unclosed_think"]) else "brought only a part"
        yield Note("unread", f"{counted(number, 'call')} while reading {what}: {reason}")
    wrong, silent = counts.get("error", 0) + counts.get("cut", 0), counts.get("no call", 0)
    if wrong or silent * 10 > sum(counts.values()):
        listed = ", ".join(f"{number:,} {status}" for status, number in counts.items())
        reason, number = next(iter(found.reasons.get("error", {}).items()), ("", 0))
        yield Note("operations", f"memory operations: {listed}" + (f"; most often: {reason} ({number:,})" if reason else ""))
    if found.unstored * 2 > found.chunks:
        reply = f'; the first reply: "{found.reply}"' if found.reply else "; the first reply is empty"
        yield Note("nothing-stored", f"nothing was stored of {found.unstored:,} of {counted(found.chunks, 'chunk')}{reply}")
    if run.empty_memory:
        of = f"{run.empty_memory:,} of {counted(sum(run.verdicts.values()), 'answer')}"
        yield Note("empty-memory", f"the memory was empty for {of}: their score is the reader's alone")
    useless = {reason: number for reason, number in run.reasons.items() if reason in UNUSABLE.values()}
    for reason, number in useless.items():
        verb = "counts" if number == 1 else "count"
        yield Note("unusable", f"{counted(number, 'reply')} {verb} as wrong: {reason}")
    for what, number in run.trouble.items():
        yield Note("trouble", f"after the answers were given, {counted(number, 'time')}: {what}")
    if run.lost_numbers:
        text = f"left blank in the rows: {counted(run.lost_numbers, 'number')}, not finite or too large for JSON"
        yield Note("lost-numbers", text)
    if run.failure_bounds:
        low, high = run.failure_bounds
        text = f"failures count 0; all wrong or all right: {percent(low)} to {percent(high)}"
        yield Note("failure-bounds", text)
    if run.status != "complete" or run.failed:
        reasons = [reason for reason in run.reasons if run.failed and reason not in useless]
        why = f" ({reasons[0]})" if reasons else ""
        yield Note("failed", f"{run.status}, {run.failed} failed{why}; see {run.path}")


# -- words that tables and notes share --------------------------------------------------------------------


def other_than(role: str, name: str | None, served: Mapping[str, int]) -> Iterator[str]:
    """A line if other models than the one named answered a role. served: name that a server reports -> calls."""
    others = {other: calls for other, calls in served.items() if name and not same_name(name, other)}
    if others:
        answered = ", ".join(f"'{other}' ({counted(calls, 'call')})" for other, calls in others.items())
        yield f"another model than asked for: {role} '{name}' was answered by {answered}"


def trained_text(trained: Contamination) -> str:
    """What is known about the models' training data, in words."""
    how = f": {'; '.join(trained.notes)}" if trained.notes else ""
    text = f"{trained.mark} ({', '.join(trained.by)}{how})"
    if trained.known is not None:
        text += f"; {trained.known} of {trained.asked} asked questions were trained on"
    if trained.others:
        row = trained.others
        text += f"; {row.metric} on the others {percent(row.value)}, {percents(row.low, row.high)}, n {row.n}"
    return text


def parts_line(parts: Mapping[str, Average]) -> str:
    """The parts of a judged score of summaries."""
    return ", ".join(f"{part} {percent(row.value)}" for part, row in parts.items())
