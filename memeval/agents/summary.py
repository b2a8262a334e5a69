"""A rolling summary of all that was read. The harness's reader answers from it."""

from __future__ import annotations

from memeval.agents.rolling import Rolling

SYSTEM = (
    "You keep the summary of a long text that you read piece by piece. Each piece is shown once; questions about any of it "
    "will be asked later, when only the summary is left. The summary so far is between <memory> tags, the next piece "
    "between <new_chunk> tags. Write the summary anew so that it covers both: keep names, numbers, dates and who did what, "
    "put what has changed in place of what it changes, and drop what matters least when room is short. Reply with the "
    "summary alone."
)


class Summary(Rolling):
    """The agent. memory_tokens: of the summary, at most."""

    kind = "summary"

    def reading(self) -> str:
        return SYSTEM
