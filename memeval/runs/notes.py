"""What a reader of a run's numbers must know: data, the same in a table, in JSON, in `memeval show` and in a page.

Each note is a pure function from a summary to the texts it has to say about it, mostly none. `NOTES` is the table of them,
in the order in which they are shown; its keys are the codes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from memeval.models.model_names import same_name
from memeval.records.averages import Average
from memeval.records.summary import Contamination, Note, Summary
from memeval.records.verdicts import UNUSABLE
from memeval.runs.controls import NO_EVIDENCE, NO_OPTIONS, ONE_STREAM

Texts = Iterator[str]

FEW = 100
"""Questions below which a table ranks nothing."""

SILENT_CUTS = 3
"""Prompts that a server must count far too low before its window is said to cut them."""

OFFLINE_JUDGE = "judge offline: a string rule in place of a judge; it checks the harness and is no judged score."


def notes(run: Summary) -> tuple[Note, ...]:
    """All that is to be said about a run."""
    return tuple(Note(code, text) for code, texts in NOTES.items() for text in texts(run))


# -- what the numbers are ---------------------------------------------------------------------------------------------


def few(run: Summary) -> Texts:
    if run.n < FEW:
        yield f"n below {FEW}: this table shows the machinery, it ranks nothing."


def without_evidence(run: Summary) -> Texts:
    count = run.reasons.get(NO_EVIDENCE, 0)
    if count:
        yield f"n/a for {count:,} of {run.n:,} questions: the data have no gold evidence for them"


def without_options(run: Summary) -> Texts:
    if count := run.reasons.get(NO_OPTIONS, 0):
        yield f"n/a for {count:,} of {run.n:,} questions: they have no options"


def without_another_stream(run: Summary) -> Texts:
    if run.reasons.get(ONE_STREAM):
        yield "n/a: the task has no stream of another cluster to recall from"


def not_judged(run: Summary) -> Texts:
    if run.judge_family and run.headline.metric != "judge":
        yield f"made to be scored by a judge; without one (--judge NAME), {run.headline.metric} is shown instead."


def offline_judge(run: Summary) -> Texts:
    if run.judge and run.judge.judge == "offline":
        yield OFFLINE_JUDGE


def offline_model(run: Summary) -> Texts:
    if "offline" in (run.model, run.reader):
        yield "model offline: a rule-based reader; these rows check the harness and never stand beside published ones."


def offline_embedder(run: Summary) -> Texts:
    if run.embedder == "offline":
        yield "embedder offline: hashed words and spellings; what it retrieves compares with no published row."


def judged(run: Summary) -> Texts:
    if run.judge:
        related = f"; of the family of {', '.join(run.judge.related)}" if run.judge.related else ""
        parts = f": {parts_line(run.judge.parts)}" if run.judge.parts else ""
        yield f"judged by {run.judge.judge} (prompts {run.judge.prompt_hash[:8]}{related}){parts}"


def contamination(run: Summary) -> Texts:
    if run.trained_on:
        yield trained_text(run.trained_on)


def own_memory(run: Summary) -> Texts:
    if not run.replayable:
        yield "the memory does not follow from stored replies: runs of other commands have read another one"


def differing(run: Summary) -> Texts:
    if run.differing:
        yield (
            f"{run.differing:,} steps of reading came out otherwise when they were made again from stored replies: the "
            "memory does not follow from those alone; set 'replayable: false' in the agent's card"
        )


def query_visible(run: Summary) -> Texts:
    if run.query.offered:
        yield f"the question was shown while reading ({'used' if run.query.used else 'not used'})"


def rebuilt(run: Summary) -> Texts:
    if run.rebuilt:
        why, factor = "; ".join(run.rebuilt.why), run.rebuilt.factor
        yield f"the agent cannot be copied ({why}): it reads its streams anew for each position, {factor:.1f}x the chunks"


def window(run: Summary) -> Texts:
    if run.window is not None:
        room = f"{run.recall_budget:,}" if run.recall_budget is not None else "fewer"
        yield f"the reader's window has {run.window:,} tokens, less than the task allows: agents recall at most {room}"


# -- whose numbers they are -------------------------------------------------------------------------------------------


def read_back(run: Summary) -> Texts:
    for url, since in dict.fromkeys((row.url, row.since) for row in run.read_back):
        roles = ", ".join(row.role for row in run.read_back if (row.url, row.since) == (url, since))
        yield f"read back, made by {url} on {since} ({roles}); --fresh asks again"


def service(run: Summary) -> Texts:
    if run.service_read_back:
        yield "read back, 0 calls: the agent's service may have changed since; --fresh asks again"


def other_model(run: Summary) -> Texts:
    asked, served = {"memory": run.model, "reader": run.reader, "embedder": run.embedder}, dict(run.facts.served)
    if run.judge:
        asked["judge"], served["judge"] = run.judge.judge, run.judge.served
    for role, names in served.items():
        yield from other_than(role, asked.get(role), names)


def adapted(run: Summary) -> Texts:
    if run.adapted:
        yield f"calls are adapted to their server: {'; '.join(run.adapted)}"


def agent_changed(run: Summary) -> Texts:
    if run.agent_files.changed:
        yield f"{', '.join(run.agent_files.changed)} changed while the run went on: its answers are of more than one agent"


def agent_missed(run: Summary) -> Texts:
    if run.agent_files.missed:
        names = ", ".join(run.agent_files.missed)
        yield f"{names} was imported and is not part of the agent's identity; name it under the card's 'source:'"


# -- what contradicts them --------------------------------------------------------------------------------------------


def silent_cut(run: Summary) -> Texts:
    calls = run.facts.undercounted
    if calls >= SILENT_CUTS:
        yield (
            f"the window cuts silently: in {calls:,} calls the server counts fewer than half of the tokens that were sent; "
            "give the server a longer context (Ollama: num_ctx), or set the role's 'context'"
        )


def estimated(run: Summary) -> Texts:
    calls = run.facts.estimated
    if calls:
        of = f"{calls:,} of {sum(run.calls.values()):,} calls"
        yield f"tokens of {of} are estimated: what the server counts is missing or cannot be true"


def unreadable(run: Summary) -> Texts:
    calls = run.facts.unreadable
    if calls:
        yield (
            f"the offline model cannot read {calls:,} prompts of this agent (none of the tags of memeval.prompts): "
            "these numbers mean nothing; use a real model"
        )


def unread(run: Summary) -> Texts:
    for reason, number in run.unread.items():
        what = "brought nothing" if reason in (UNUSABLE["overflow"], UNUSABLE["unclosed_think"]) else "were not whole"
        yield f"{number:,} calls while reading {what}: {reason}"


def operations(run: Summary) -> Texts:
    counts = run.operations.counts
    wrong, silent = counts.get("error", 0) + counts.get("cut", 0), counts.get("no call", 0)
    if wrong or silent * 10 > sum(counts.values()):
        found = ", ".join(f"{number:,} {status}" for status, number in counts.items())
        reason, number = next(iter(run.operations.reasons.get("error", {}).items()), ("", 0))
        yield f"memory operations: {found}" + (f"; most often: {reason} ({number:,})" if reason else "")


def nothing_stored(run: Summary) -> Texts:
    found = run.operations
    if found.unstored * 2 > found.chunks:
        reply = f'; the first reply: "{found.reply}"' if found.reply else "; the first reply is empty"
        yield f"nothing was stored of {found.unstored:,} of {found.chunks:,} chunks{reply}"


def empty_memory(run: Summary) -> Texts:
    if run.empty_memory:
        answers = sum(run.verdicts.values())
        yield f"the memory was empty for {run.empty_memory:,} of {answers:,} answers: their score is the reader's alone"


def unusable(run: Summary) -> Texts:
    for reason, number in _unusable(run).items():
        yield f"{number} replies count as wrong: {reason}"


def lost_numbers(run: Summary) -> Texts:
    if run.lost_numbers:
        yield f"{run.lost_numbers:,} numbers in the rows are blank: they are not finite, or too large for JSON"


def failure_bounds(run: Summary) -> Texts:
    if run.failure_bounds:
        low, high = run.failure_bounds
        yield f"failures count 0; all wrong or all right: {percent(low)} to {percent(high)}"


def failed(run: Summary) -> Texts:
    if run.status != "complete" or run.failed:
        useless = _unusable(run)
        reasons = [reason for reason in run.reasons if run.failed and reason not in useless]
        why = f" ({reasons[0]})" if reasons else ""
        yield f"{run.status}, {run.failed} failed{why}; see {run.path}"


def _unusable(run: Summary) -> dict[str, int]:
    return {reason: number for reason, number in run.reasons.items() if reason in UNUSABLE.values()}


NOTES: Mapping[str, Callable[[Summary], Texts]] = {
    "few": few,
    "without-evidence": without_evidence,
    "without-options": without_options,
    "one-stream": without_another_stream,
    "not-judged": not_judged,
    "offline-judge": offline_judge,
    "offline-model": offline_model,
    "offline-embedder": offline_embedder,
    "judged": judged,
    "contamination": contamination,
    "own-memory": own_memory,
    "differing": differing,
    "query-visible": query_visible,
    "rebuilt": rebuilt,
    "window": window,
    "read-back": read_back,
    "service-read-back": service,
    "other-model": other_model,
    "adapted": adapted,
    "agent-changed": agent_changed,
    "agent-missed": agent_missed,
    "silent-cut": silent_cut,
    "estimated": estimated,
    "unreadable": unreadable,
    "unread": unread,
    "operations": operations,
    "nothing-stored": nothing_stored,
    "empty-memory": empty_memory,
    "unusable": unusable,
    "lost-numbers": lost_numbers,
    "failure-bounds": failure_bounds,
    "failed": failed,
}


# -- words and numbers that tables and notes share --------------------------------------------------------------------


def other_than(role: str, name: str | None, served: Mapping[str, int]) -> Texts:
    """That a role was answered by other models than the one of its name. served: name that a server gives -> calls."""
    others = {other: calls for other, calls in served.items() if name and not same_name(name, other)}
    if others:
        answered = ", ".join(f"'{other}' ({calls:,} calls)" for other, calls in others.items())
        yield f"another model than asked for: {role} '{name}' was answered by {answered}"


def trained_text(trained: Contamination) -> str:
    """What is known of the models' training data, in words."""
    how = f": {'; '.join(trained.notes)}" if trained.notes else ""
    text = f"{trained.mark} ({', '.join(trained.by)}{how})"
    if trained.known is not None:
        text += f"; {trained.known} of {trained.asked} asked questions were trained on"
    if trained.others:
        row = trained.others
        text += f"; {row.metric} on the others {percent(row.value)}, {range_text(row)}, n {row.n}"
    return text


def parts_line(parts: Mapping[str, Average]) -> str:
    """What a judged score of summaries is made of."""
    return ", ".join(f"{part} {percent(row.value)}" for part, row in parts.items())


def percent(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.1f}"


def range_text(row: Average) -> str:
    return "-" if row.low is None else f"{percent(row.low)} to {percent(row.high)}"
