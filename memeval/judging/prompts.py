"""The prompts of a judge: pinned, per family of tasks and type of question (`_data/prompts/judge`), in our own words.

Families. `longmemeval`: the rules of LongMemEval's src/evaluation/evaluate_qa.py (`get_anscheck_prompt`), one per question
type. `locomo`: the form in which most papers judge LoCoMo, after mem0's evaluation/metrics/llm_judge.py: it is generous
about wording, length and the form of dates, and known to accept vague answers. `generic`: any other task. Beyond their
sources, all families say that an answer with several rival answers is wrong, and that an answer cannot instruct the judge.

`infbench` differs: an answer is the summary of a book, and three calls rate aspects of it (ASPECTS), by the rules of
MemoryAgentBench's llm_based_eval/summarization_evaluate.py, which are those of HELMET's scripts/eval_gpt4_summ.py for books.
The judge of fluency sees only the summary, that of recall also the numbered keypoints, that of precision also the expert's
summary.

`beam` also gives shares: one call for each item of a question's rubric (RUBRICS), and one more about an order, by the rules
of BEAM's src/evaluation/compute_metrics.py and its `unified_llm_judge_base_prompt`. shares.py computes the scores.

Any change of wording changes `prompt_hash`, and with it the name of the scores file.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence

from memeval.digests import digest
from memeval.errors import UsageError, suggest
from memeval.judging.official import official
from memeval.prompts import OPTIONS, QUESTION, TAGS, defused, filled, several
from memeval.task import Question

ANSWER, GOLD, RUBRIC, EXPLANATION, KEYPOINTS = "answer", "gold", "rubric", "explanation", "keypoints"
CRITERION, EVENTS = "criterion", "events"
VERDICT, YES_NO, FLUENCY, RECALL, PRECISION = "verdict", "yes_no", "fluency", "recall", "precision"
SENTENCES, SCORE, ORDER = "sentence_count", "score", "order"
ABSTENTION, PREFERENCE, ORDERING = "abstention", "single-session-preference", "event_ordering"
_FENCES = (*TAGS, ANSWER, GOLD, RUBRIC, EXPLANATION, KEYPOINTS, CRITERION, EVENTS)
_FRAME, _FORMS = several("judge", "frame"), several("judge", "forms")
"""_FRAME: the texts around the rules. _FORMS: what is asked for -> how the judge's reply must end."""
RULES: Mapping[str, Mapping[str, str]] = {name: several("judge", name) for name in ("longmemeval", "locomo", "generic")}
"""family -> question type -> rules. A type without rules of its own uses `default`."""
ASPECTS: Mapping[str, Mapping[str, str]] = {"infbench": several("judge", "infbench")}
"""family -> aspect -> rules, for families whose answers are summaries, which get a share instead of right or wrong."""
RUBRICS: Mapping[str, Mapping[str, str]] = {"beam": several("judge", "beam")}
"""family -> what is asked -> rules, for families whose answers get the mean score of the items of a rubric."""
SHARES = {**ASPECTS, **RUBRICS}
"""The families whose answers get a share. All others give a verdict, right or wrong."""
_MENTION = re.compile(r"^LLM response should (?:state|mention|contain|include)s?:?\s*", re.IGNORECASE)


def fenced(tag: str, text: str) -> str:
    """`text` between `<tag>` and `</tag>`. Anything in it that looks like one of the judge's tags loses its bracket, so that
    an answer cannot close its tag and continue as the harness."""
    return f"<{tag}>\n{defused(text, _FENCES)}\n</{tag}>"


def judge_calls(family: str, question: Question, answer: str, prompt: str | None = None) -> dict[str, list[dict[str, str]]]:
    """The calls about one answer: what is asked for (`verdict` or `yes_no`; for a summary each aspect; for a rubric
    `score 1`, `score 2` ... and `order`) -> the messages of the call. An official judge asks for one verdict.

    prompt: the user's rules in place of the family's; the note on the answer and the form of the reply are kept. For a
    summary, the rules of each aspect follow a line `# fluency`, `# recall` or `# precision`. A prompt whose judge ends with
    yes or no, such as an official one, begins with a line `parse: yes_no`. If it contains `{answer}`, it is the whole
    message, with `{question}`, `{gold}` and `{answer}` filled in. Raises UsageError for an unknown family and for a prompt
    without the lines that it needs.
    """
    if family in official() and prompt is None:
        return {VERDICT: official()[family].messages(question, answer)}
    if family in SHARES:
        return _share_calls(family, question, answer, prompt)
    form, own = _form(prompt)
    if own is not None and "{answer}" in own:
        given = {"question": question.text, "gold": "\n".join(question.answers), "answer": answer}
        return {form: [{"role": "user", "content": filled(own, given, "the judge's prompt file")}]}
    kind = ABSTENTION if not question.answerable else question.kind
    rules = _rules(family)
    text = own if own is not None else rules.get(kind, rules["default"])
    system = f"{_FRAME['role']}\n{text}\n{_FRAME['close']}\n\n{_FORMS[form]}"
    parts = [fenced(QUESTION, f"[{question.time}] {question.text}" if question.time else question.text)]
    if question.options:
        parts.append(fenced(OPTIONS, "\n".join(question.options)))
    if kind == ABSTENTION:
        parts.append(fenced(EXPLANATION, "\n".join(question.answers) or "The information does not hold the answer."))
    else:
        tag = RUBRIC if kind == PREFERENCE and kind in rules else GOLD
        parts += [fenced(tag, gold) for gold in question.answers]
    return {form: _messages(system, *parts, fenced(ANSWER, answer))}


def _messages(system: str, *parts: str) -> list[dict[str, str]]:
    return [{"role": "system", "content": system}, {"role": "user", "content": "\n\n".join(parts)}]


def reminded(messages: list[dict[str, str]], asked: str, said: str) -> list[dict[str, str]]:
    """The messages of a second try, after a reply that could not be read: they state the form of the reply again."""
    form = f"Your reply could not be read. Please {_FORMS[form_of(asked)].partition('Then ')[2]}"
    if said.strip():
        return [*messages, {"role": "assistant", "content": said}, {"role": "user", "content": form}]
    *before, last = messages
    return [*before, {**last, "content": f"{last['content']}\n\n{form}"}]


def form_of(asked: str) -> str:
    """The form of the reply to a call: `score` for `score 3`."""
    return asked.partition(" ")[0]


def items_of(question: Question) -> tuple[str, ...]:
    """The items of a question's rubric; its golds where it has no rubric, as in a calibration."""
    return question.keypoints or question.answers or ("It says that this is not known.",)


def shown_order(items: Sequence[str]) -> list[int]:
    """The indices of a rubric's events in the order in which the judge sees them: sorted by text, because the rubric has
    them in the right order."""
    return sorted(range(len(items)), key=lambda at: (_MENTION.sub("", items[at]), at))


def _share_calls(family: str, question: Question, answer: str, prompt: str | None) -> dict[str, list[dict[str, str]]]:
    rules = {**SHARES[family], **(_sections(family, prompt) if prompt is not None else {})}
    kind, shown = ("rubric", _rubric(question)) if family in RUBRICS else ("summary", _summary(question))
    role, close = _FRAME[f"{kind}_role"], _FRAME[f"{kind}_close"]
    calls = {}
    for asked, parts in shown.items():
        form = form_of(asked)
        system = f"{role} {rules[form]}\n\n{close}\n\n{_FORMS[form]}"
        calls[asked] = _messages(system, *parts, fenced(ANSWER, answer.strip()))
    return calls


def _rubric(question: Question) -> dict[str, list[str]]:
    """What is asked for -> the parts shown before the answer: the question, with an item of its rubric or with its
    events."""
    asked, items = fenced(QUESTION, question.text), items_of(question)
    shown = {f"{SCORE} {at}": [asked, fenced(CRITERION, item)] for at, item in enumerate(items, start=1)}
    if question.kind == ORDERING:
        events = _numbered(_MENTION.sub("", items[at]) for at in shown_order(items))
        shown[ORDER] = [asked, fenced(EVENTS, events)]
    return shown


def _summary(question: Question) -> dict[str, list[str]]:
    """Aspect -> the parts shown before the summary."""
    return {
        FLUENCY: [],
        RECALL: [fenced(KEYPOINTS, _numbered(question.keypoints))],
        PRECISION: [fenced(GOLD, "".join(question.answers[:1]))],
    }


def _numbered(texts: Iterable[str]) -> str:
    return "\n".join(f"{number}. {' '.join(text.split())}" for number, text in enumerate(texts, start=1))


def prompt_hash(family: str, prompt: str | None = None) -> str:
    """sha256 (hex) of the whole prompts of a family, for a fixed question, gold and answer."""
    if family in official() and prompt is None:
        return official()[family].prompt_hash()
    if family in SHARES:
        asked = [Question("id", "question", ("gold",), ORDERING, keypoints=("point",))]
    else:
        kinds = [(kind, True) for kind in sorted(_rules(family))] + [("all", False)]
        asked = [Question("id", "question", ("gold",), kind, "time", ("option",), answerable=known) for kind, known in kinds]
    return digest([judge_calls(family, question, "answer", prompt) for question in asked])


def _form(prompt: str | None) -> tuple[str, str | None]:
    """(form of the reply, rules) of a user's prompt. Raises UsageError for an unknown form."""
    first, _, rest = (prompt or "").partition("\n")
    if not first.startswith("parse:"):
        return VERDICT, prompt
    form = first.removeprefix("parse:").strip()
    if form not in (VERDICT, YES_NO):
        raise UsageError(f"the judge's prompt file: parse: {form}: expected {VERDICT} or {YES_NO}")
    return form, rest.strip()


def _sections(family: str, prompt: str) -> dict[str, str]:
    """aspect -> the rules below its heading in a user's prompt. Raises UsageError where there are none."""
    asked = SHARES[family]
    before, *parts = re.split(rf"(?m)^#[ \t]*({'|'.join(asked)})[ \t]*$", prompt)
    found = dict(zip(parts[::2], (text.strip() for text in parts[1::2]), strict=True))
    if before.strip() or not found or not all(found.values()) or len(found) < len(parts) // 2:
        headings = ", ".join(f"'# {aspect}'" for aspect in asked)
        raise UsageError(
            f"the judge's prompt file: family '{family}' asks for several things; put the rules of each below a line "
            f"of its own (once): {headings}"
        )
    return found


def _rules(family: str) -> Mapping[str, str]:
    """The rules of a family; the generic ones for an official judge whose prompt a user's prompt replaces."""
    return RULES["generic" if family in official() else checked_family(family)]


def checked_family(family: str) -> str:
    """Return a family that has prompts. Raises UsageError for an unknown family."""
    known = [*RULES, *SHARES, *official()]
    if family not in known:
        raise UsageError(f"judge family '{family}' is unknown{suggest(family, known)} (known: {', '.join(known)})")
    return family
