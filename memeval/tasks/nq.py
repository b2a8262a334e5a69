"""Natural Questions, open form (Kwiatkowski et al., TACL 2019; Lee et al., ACL 2019): questions typed into a search
engine, each with the Wikipedia passage that answers it, and one or several short answers.

Read from lost-in-the-middle's files (arXiv 2307.03172): `nq-open-oracle` has only the gold passage; the files with 10, 20
and 30 documents also have a retriever's distractors, and all of them belong to the question.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from memeval.data.fields import texts
from memeval.data.files import DataFile
from memeval.task import Question
from memeval.tasks.base import hash64, plain
from memeval.tasks.paragraphs import ParagraphQA
from memeval.tasks.pool import Passage
from memeval.tasks.streams import Example


class NQ(ParagraphQA):
    """The part of NQ-open's dev set whose gold passages are known. Ids are hashes of the question, because the files share
    no ids."""

    file = DataFile(
        ("nq/nq-open-oracle.jsonl",),
        url="https://raw.githubusercontent.com/nelson-liu/lost-in-the-middle/"
        "dc5c20a60a52c46cce60d13c659f698c1343596e/qa_data/nq-open-oracle.jsonl.gz",
    )

    def parse(self, row: Mapping[str, Any]) -> tuple[Sequence[Passage], Example]:
        asked = row["question"].strip()
        answers = tuple(dict.fromkeys(filter(None, texts(row["answers"]))))
        question = Question(f"nq-{hash64(plain(asked)):016x}", asked, answers)
        items = [item for item in row["ctxs"] if item["text"].strip()]
        own = tuple(Passage(item["title"].strip(), item["text"].strip()) for item in items)
        gold = [index for index, item in enumerate(items) if item["isgold"]]
        if len(gold) > 1:
            raise ValueError(f"{len(gold)} passages are gold, expected one")
        return own, Example(question, own, tuple((index, own[index].unit().text) for index in gold))
