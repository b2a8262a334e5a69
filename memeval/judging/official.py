"""Published judges (`_data/judges.yaml`): upstream's prompt for each type of question, its parameters, and its way of
reading a reply.

We may not ship the texts: `memeval prompts fetch NAME` fetches the file that contains them, which is parsed but never run.
As upstream does, question, gold and answer are put into one message unchanged, and a reply without a yes is a no.
"""

from __future__ import annotations

import ast
import functools
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import msgspec

from memeval.data import upstream
from memeval.digests import digest
from memeval.task import Question
from memeval.typed import typed
from memeval.yamlfile import read_yaml

TABLE = Path(__file__).parent.parent / "_data" / "judges.yaml"
_PLACE = re.compile(r"\{(\w*)\}")


class OfficialJudge(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One row of the table; the comment at its top explains the keys."""

    name: str
    about: str
    repository: str
    commit: str
    path: str
    sha256: str
    licence: str
    variable: str
    types: tuple[str, ...]
    fill: tuple[str, ...] | dict[str, str]
    right: Literal["says yes", "says yes and not no", "label CORRECT"]
    params: dict[str, Any]
    model: str

    @property
    def file(self) -> upstream.Pinned:
        return upstream.Pinned(self.repository, self.commit, self.path, self.sha256)

    def texts(self) -> Mapping[str, str]:
        """Type of question -> prompt. Raises UsageError where the prompts were not fetched."""
        source = upstream.text(self.file, f"memeval prompts fetch {self.name}")
        return dict(zip(self.types, assigned(source, self.variable), strict=True))

    def messages(self, question: Question, answer: str) -> list[dict[str, str]]:
        """The one message by which upstream asks about an answer."""
        texts = self.texts()
        kind = question.kind if question.answerable else "abstention"
        given = {"question": question.text, "gold": ", ".join(question.answers), "answer": answer}
        names = iter(self.fill)

        def put(found: re.Match[str]) -> str:
            return given[self.fill[found[1]] if isinstance(self.fill, dict) else next(names)]

        return [{"role": "user", "content": _PLACE.sub(put, texts.get(kind, texts["default"]))}]

    def read(self, reply: str) -> str | None:
        """`right` or `wrong` by upstream's rule; None where upstream would stop with an error."""
        text = reply.strip().lower()
        if self.right == "label CORRECT":
            label = _label(reply)
            return label and ("right" if label == "CORRECT" else "wrong")
        return "right" if "yes" in text and (self.right == "says yes" or "no" not in text) else "wrong"

    def prompt_hash(self) -> str:
        """sha256 (hex) of the prompts and of the rule by which a reply is read."""
        return digest([self.name, dict(self.texts()), self.right])


@functools.cache
def official() -> Mapping[str, OfficialJudge]:
    """name -> judge"""
    return {name: typed({"name": name, **row}, OfficialJudge, str(TABLE), name) for name, row in read_yaml(TABLE).items()}


@functools.lru_cache(maxsize=8)
def assigned(source: str, variable: str) -> tuple[str, ...]:
    """The texts that a Python file assigns to a variable, in the order of the file. The file is parsed, never run."""
    nodes = (node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Assign))
    named = [node for node in nodes if any(isinstance(to, ast.Name) and to.id == variable for to in node.targets)]
    values = [node.value for node in sorted(named, key=lambda node: node.lineno)]
    return tuple(value.value for value in values if isinstance(value, ast.Constant) and isinstance(value.value, str))


def _label(reply: str) -> str | None:
    """The value of "label" in the JSON object in a reply, with or without a code fence around it; None where there is
    none."""
    start, stop = reply.find("{"), reply.rfind("}") + 1
    try:
        found = json.loads(reply[start:stop])["label"]
    except (ValueError, LookupError, TypeError, RecursionError):
        return None
    return found if isinstance(found, str) else None
