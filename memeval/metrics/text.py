"""Find the final answer inside a longer reply."""

from __future__ import annotations

import re
from collections.abc import Iterator

_BOXED, _BOXED_BLANK, _STATED = "\\boxed{", "\\boxed ", "the answer is"
_FINAL, _FINAL_END = "<final_answer>", "</final_answer>"
_ANSWER_MARK = re.compile(r"(?:^[^\w\n]*|[.!?]\s+)(?:final )?answer\*{0,2}:", re.IGNORECASE | re.MULTILINE)


def answer_text(text: str) -> str:
    """The final answer of a reply, by the first of these marks that occurs and is followed by text; else the whole reply.

    1. after the last `<final_answer>`, up to a closing tag (PersonaMem, inference_standalone_openai.py);
    2. in the last `\\boxed{}` (MemOCR, `extract_boxed_answer`);
    3. after the last "the answer is", without asterisks and a final full stop (MemAgent, `extract_answer`);
    4. after the last "Answer:" or "Final answer:" that opens a line or a sentence (MemoryAgentBench, `parse_output`, which
       takes the first, anywhere).

    It is used by rules about the final answer: first yes or no, abstention. The official rules of `exact_match` and `f1` do
    not use marks: they score the whole reply.
    """
    return next(filter(None, _marked(text)), text.strip())


def _marked(text: str) -> Iterator[str | None]:
    """The text after each mark of `answer_text`, in order; None where the mark does not occur."""
    if _FINAL in text:
        yield text.rpartition(_FINAL)[2].strip().removesuffix(_FINAL_END).strip()
    yield boxed_text(text, text.rfind(_BOXED))
    yield _stated(text)
    ends = [found.end() for found in _ANSWER_MARK.finditer(text)]
    if ends:
        yield text[ends[-1] :].lstrip("* \n\t").rstrip()


def published_answer(text: str) -> str:
    """The answer of a reader that was not asked for a mark: `answer_text` with only the marks 2 and 3."""
    return boxed_text(text, text.rfind(_BOXED)) or _stated(text) or text.strip()


def marked_answer(text: str) -> str:
    """The answer as MemAgent's and MemOCR's scripts extract it: the text in the last `\\boxed{}` or after the last "the
    answer is", whichever comes last; empty where the reply has neither mark.

    Source: `extract_boxed_answer` and `extract_answer` (taskutils/memory_eval/utils; `\\boxed ` with a space extends to the
    next "$" or the end). Upstream, each script uses one of the two marks; here the last one counts, which makes a difference
    only for a reply with both.
    """
    bare = text.replace("*", "")
    if bare.rfind(_STATED) > bare.rfind("\\boxed"):
        return _stated(text) or ""
    if _BOXED_BLANK in text:
        return text.rpartition(_BOXED_BLANK)[2].partition("$")[0]
    return _inside(text, text.rfind(_BOXED)) or ""


def _stated(text: str) -> str | None:
    _, mark, behind = text.replace("*", "").rpartition(_STATED)
    return behind.strip().strip(".").strip() if mark else None


def boxed_text(text: str, start: int) -> str | None:
    """The stripped text between the braces of the box that opens at `start`, with balanced braces inside; None where there
    is no box (start -1) or its brace is never closed."""
    inside = _inside(text, start)
    return None if inside is None else inside.strip()


def _inside(text: str, start: int) -> str | None:
    if start < 0:
        return None
    depth, first = 0, text.index("{", start)
    for position in range(first, len(text)):
        if text[position] == "{":
            depth += 1
        elif text[position] == "}":
            depth -= 1
            if depth == 0:
                return text[first + 1 : position]
    return None
