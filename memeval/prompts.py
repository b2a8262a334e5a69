"""The tags that mark material in every prompt, and the prompts of the shared reader.

Every agent, control and model of memeval marks material with these tags. Nothing else about a prompt may be relied on:
the offline model works on the tags and on tool schemas alone (validity section 7). The wording is our own.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from memeval.errors import UsageError

CHUNK, MEMORY, QUESTION, OPTIONS = "new_chunk", "memory", "question", "options"
TAGS = (CHUNK, MEMORY, QUESTION, OPTIONS)
_TAG = re.compile(rf"<(/?)({'|'.join(TAGS)})>")


def tagged(tag: str, text: str) -> str:
    """`text` between `<tag>` and `</tag>`, each on its own line. Look-alikes inside the text are defused: a stream is
    untrusted and must not be able to close its own tag."""
    return f"<{tag}>\n{_defuse(text)}\n</{tag}>"


def untag(tag: str, prompt: str) -> str | None:
    """What stands between the last `<tag>` and its close; None where the prompt has no such tag."""
    found = re.findall(rf"<{tag}>\n(.*?)\n</{tag}>", prompt, re.DOTALL)
    return found[-1] if found else None


def _defuse(text: str) -> str:
    return _TAG.sub(r"‹\1\2›", text) if "<" in text else text


READER = {
    "reader": (
        "You answer questions from a memory of a long text that you can no longer see. The memory is between "
        "<memory> tags. Use only what stands there. Reply with the answer alone: a name, a number, a date, yes or no, or "
        "a phrase of a few words, without a sentence around it. If the memory does not hold the answer, reply: I don't know"
    ),
    "reader-options": (
        "You answer multiple-choice questions from a memory of a long conversation that you can no longer see. The memory "
        "is between <memory> tags, the choices between <options> tags. Think briefly if you must, then end with the letter "
        "of the best choice after the token <final_answer>, like this: <final_answer> (a)"
    ),
    "reader-chats": (
        "You answer a user's question from a memory of your earlier chats with that user, which you can no longer see. "
        "The memory is between <memory> tags. A date in square brackets says when something was said; the one before the "
        "question is today's. Use only what stands there, and where things changed, the latest. Reply with the answer "
        "alone, in a few words; when the user wants advice, with a sentence or two that fit what you know of the user. If "
        "the memory does not hold the answer, reply: I don't know"
    ),
    "reader-assistant": (
        "You are a user's assistant. Reply to the user from a memory of your earlier chats, which you can no longer see. "
        "The memory is between <memory> tags; a date in square brackets says when something was said. Use only what "
        "stands there. Reply with the answer alone, as long as it has to be; things in an order go one on a line. If the "
        "memory does not hold what is asked for, say that there is no information about it."
    ),
    "reader-dialogue": (
        "You answer questions about two people from a memory of their conversations, which you can no longer see. The "
        "memory is between <memory> tags. A date in square brackets says when something was said: work out from it when "
        "things happened, and give dates like 7 May 2023. Reply with the answer alone: a short phrase, in words of the "
        "conversation where possible, several things separated by commas. Where a question asks what is likely, infer it "
        "from what was said. If it was never spoken of, reply: Not mentioned in the conversation"
    ),
    "reader-label": (
        "You sort a text into one of several numbered classes. What the numbers mean you know only from a memory of "
        "labelled examples that you can no longer see; it is between <memory> tags and holds examples, rules drawn from "
        "them, or both. Work out which class fits the text in the question. End with its number, and nothing else, in a "
        "box, like this: \\boxed{3}. Do so also where the question asks for other marks around the answer."
    ),
    "reader-summary": (
        "You tell what a book is about from a memory of it; the book itself you can no longer see. The memory is between "
        "<memory> tags. Use only what stands there. Write the summary that is asked for, in the order of events, and "
        "name the people, places, objects, dates, decisions and themes that the memory names."
    ),
    "reader-facts": (
        "You answer questions from a memory of numbered facts that you can no longer see. The memory is between <memory> "
        "tags. Facts may contradict each other and what you know of the world: the one with the highest number is the "
        "newest, and it alone holds. Some questions need several facts in a row. Reply with the answer alone, in as few "
        "words as possible."
    ),
    "reader-event": (
        "You have read a part of a book that you can no longer see; a memory of it is between <memory> tags. The "
        "question lists what has happened and several events that may come next. Choose the one that does come next "
        "according to the memory, and reply with that event, word for word as it is listed, and nothing else."
    ),
    "reader-format": (
        "You answer questions about a novel from a memory of it; the novel itself you can no longer see. The memory is "
        "between <memory> tags. Weigh the clues that stand there, and reply in exactly the output format that the "
        "question asks for."
    ),
    "reader-movies": (
        "You recommend movies. A memory of dialogues between users and a recommender, which you can no longer see, is "
        "between <memory> tags. The question is a new dialogue. Reply with 20 titles that suit its user, best first, as "
        "a numbered list with one title on a line (1. Title) and nothing else."
    ),
    "closed-book": (
        "You answer questions from your own knowledge of the world. Reply with the answer alone: a name, a number, a date, "
        "yes or no, or a phrase of a few words. If you do not know, reply: I don't know"
    ),
}
"""System prompts by name. A task card names one (`reader_prompt`); `--prompt reader=FILE` replaces it."""

ANSWER_TOKENS = {"reader-chats": 512, "reader-options": 1024, "reader-label": 1024, "reader-format": 1024,
                 "reader-movies": 1024, "reader-assistant": 2048, "reader-summary": 2048}  # fmt: skip
"""Name of a reader's prompt -> tokens that its reply may have, where its task card names no `answer_tokens`."""

SHORT_ANSWER_TOKENS = 256
"""The same for prompts that ask for a few words. The longest gold answers have some 30 tokens; the rest is room for models
that wrap their answer in a paragraph. A model that thinks gets more once it is seen to think (models/body.py)."""


def reader_messages(
    system: str, memory: str | None, question: str, time: str | None = None, options: Sequence[str] | None = None
) -> list[dict[str, str]]:
    """The reader's prompt: system text, then the memory, then the question, so that servers can cache the prefix of
    questions asked of the same memory. `memory=None` leaves the memory block out (closed-book)."""
    parts = [] if memory is None else [tagged(MEMORY, memory)]
    parts.append(tagged(QUESTION, f"[{time}] {question}" if time else question))
    if options:
        parts.append(tagged(OPTIONS, "\n".join(options)))
    return [{"role": "system", "content": system}, {"role": "user", "content": "\n\n".join(parts)}]


def load_prompts(files: Mapping[str, str]) -> dict[str, str]:
    """role -> text of the prompt file named by `--prompt role=FILE` or by a card's `prompts:`."""
    prompts = {}
    for role, name in files.items():
        try:
            prompts[role] = Path(name).expanduser().read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise UsageError(f"--prompt {role}={name}: cannot read the prompt file ({error})") from None
    return prompts
