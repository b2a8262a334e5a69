"""Retrieval in several steps: a model sees what was found and may ask for another search, a limited number of times.

A question of several hops names only the first entity; the next name is in what the first search finds. The scheme is that
of interleaved retrieval (IRCoT, arXiv 2212.10509; Search-R1, arXiv 2503.09516), with the search offered as a tool.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import zip_longest
from typing import Any

from memeval.agent import Query, Recall, Session
from memeval.agents.passages import Cut
from memeval.agents.rag import Retrieval
from memeval.agents.search import Hits, Kind
from memeval.prompts import Block, Texts
from memeval.tasks.chunking import JOINT
from memeval.typed import Positive, typed

REPLY_TOKENS = 256
"""The token limit of a reply, which is a tool call of a few words."""


class Iterative(Retrieval):
    """Searches for the question, then shows the model in the role `memory` what was found, and makes each search that it
    asks for, until it asks for none or repeats itself. The hits of all searches are recalled by turns. Its prompts are files
    (`memeval prompts list iterative`).

    searches: the most searches for a question, the first one included; each further one takes at most one call. search: how
    passages are ranked, bm25, dense or hybrid. k: hits of each search."""

    prompts = "iterative"

    def __init__(
        self,
        searches: int = 3,
        search: Kind = "bm25",
        k: int = 8,
        passage: int = 256,
        overlap: int = 32,
        neighbours: int = 0,
        budget: int = 0,
        passage_prefix: str = "",
        question_prefix: str = "",
    ) -> None:
        self.searches: int = typed(searches, Positive, "iterative", "searches")
        kind: Kind = typed(search, Kind, "iterative", "search")
        cut = Cut(k, passage, overlap, neighbours, budget)
        super().__init__("iterative", cut, kind, passage_prefix, question_prefix)

    def begin(self, session: Session) -> None:
        super().begin(session)
        self.texts = Texts(self.prompts, session.prompts)
        self.tool = _tool(self.texts.several("search"))

    async def recall(self, query: Query) -> Recall:
        asked, found = [query.text], [await self.hits(query.text)]
        while len(asked) < self.searches and (wanted := await self._wanted(query, asked, found)):
            for text in wanted[: self.searches - len(asked)]:
                asked.append(text)
                found.append(await self.hits(text))
        return Recall(self.passages.items(_by_turns(found)))

    async def _wanted(self, query: Query, asked: Sequence[str], found: Sequence[Hits]) -> list[str]:
        """The further searches that the model asks for in one reply."""
        more = {"options": query.options or (), "searched": [f"- {text}" for text in asked[1:]]}
        optional = {
            name: self.texts.fill("optional", name, text="\n".join(lines)) if lines else Block()
            for name, lines in more.items()
        }
        question = f"[{query.time}] {query.text}" if query.time else query.text
        user = self.texts.fill("user", memory=self._shown(found), question=question, **optional)
        messages = [{"role": "system", "content": self.texts.fill("system")}, {"role": "user", "content": user}]
        model = self.session.models["memory"]
        reply = await model.generate(messages, [self.tool], temperature=0.0, max_tokens=REPLY_TOKENS)
        queries = ((call.arguments or {}).get("query") for call in reply.tool_calls if call.name == "search")
        wanted = dict.fromkeys(query.strip() for query in queries if isinstance(query, str) and query.strip())
        known = {text.casefold() for text in asked}
        return [text for text in wanted if text.casefold() not in known]

    def _shown(self, found: Sequence[Hits]) -> str:
        """What was found so far, best first, as much of it as fits into the session's budget."""
        texts: list[str] = []
        left = self.session.budget
        for item in self.passages.items(_by_turns(found)):
            left -= self.session.count(item.text)
            if left < 0 and texts:
                break
            texts.append(item.text)
        return JOINT.join(texts)


def _by_turns(rankings: Sequence[Hits]) -> Hits:
    """The best hit of each search, then the second of each, ..."""
    return [hit for place in zip_longest(*rankings) for hit in place if hit is not None]


def _tool(said: Mapping[str, Any]) -> dict[str, Any]:
    """The schema of the tool `search`, from its descriptions."""
    query = {"type": "string", "description": said["query"]}
    schema = {"type": "object", "properties": {"query": query}, "required": ["query"]}
    return {"type": "function", "function": {"name": "search", "description": said["search"], "parameters": schema}}
