"""Agents of a user, in a file of the user's: copied beside the tasks of each scenario, and never imported by the suite."""

import asyncio
import re

from memeval import Answer, Item, MemoryStats, Recall


def words(text):
    return set(re.findall(r"\w{4,}", text.casefold()))


class Notes:
    """One call of the memory's model for each chunk; recalls the notes that share most words with the question."""

    def __init__(self, top=3):
        self.top = top

    def begin(self, session):
        self.session, self.notes = session, []

    async def observe(self, chunk):
        prompt = f"Note what is new.\n<new_chunk>\n{chunk.text}\n</new_chunk>"
        reply = await self.session.models["memory"].generate([{"role": "user", "content": prompt}], max_tokens=200)
        self.notes.append(Item(f"{len(self.notes)}. {reply.text}", (chunk.id,)))

    def recall(self, query):
        wanted = words(query.text)
        return Recall(sorted(self.notes, key=lambda note: -len(wanted & words(note.text)))[: self.top])

    def memory(self):
        return MemoryStats({"notes": sum(self.session.count(note.text) for note in self.notes)})

    def fork(self, session):
        twin = type(self)(self.top)
        twin.session, twin.notes = session, list(self.notes)
        return twin


class Plain(Notes):
    """The same with plain methods."""

    def observe(self, chunk):
        prompt = f"Note what is new.\n<new_chunk>\n{chunk.text}\n</new_chunk>"
        reply = self.session.models["memory"].generate_sync([{"role": "user", "content": prompt}], max_tokens=200)
        self.notes.append(Item(f"{len(self.notes)}. {reply.text}", (chunk.id,)))


class Unforkable(Notes):
    """It has to be built anew for every position that is asked at."""

    fork = None


class Native(Notes):
    """Answers by itself, with a call of its own."""

    track = "native"

    async def answer(self, query, recall):
        memory = "\n".join(item.text for item in recall.items)
        prompt = f"<memory>\n{memory}\n</memory>\n\n<question>\n{query.text}\n</question>"
        reply = await self.session.models["reader"].generate([{"role": "user", "content": prompt}], max_tokens=100)
        return Answer(reply.text)


class Curious(Notes):
    """Keeps only chunks that share words with the question, where it is shown one."""

    async def observe(self, chunk):
        query = self.session.query
        if query is None or len(words(query.text) & words(chunk.text)) > 1:
            await super().observe(chunk)


class Fragile(Notes):
    """Breaks on certain chunks and questions, in different ways."""

    async def observe(self, chunk):
        if "Gandor" in chunk.text:
            raise RuntimeError("no room for Gandor")
        await super().observe(chunk)

    def recall(self, query):
        if "Hesper" in query.text:
            raise SystemExit("I leave")
        if "Ilona" in query.text:
            raise StopIteration
        return super().recall(query)


class Searching(Notes):
    """Calls the memory's model while it recalls, too."""

    async def recall(self, query):
        await asyncio.sleep(0)
        prompt = f"<new_chunk>\n{query.text}\n</new_chunk>"
        await self.session.models["memory"].generate([{"role": "user", "content": prompt}], max_tokens=50)
        return super().recall(query)
