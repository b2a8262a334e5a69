"""A rolling summary of all that was read. The harness's reader answers from it."""

from __future__ import annotations

from memeval.agents.rolling import Rolling


class Summary(Rolling):
    """The agent. memory_tokens: of the summary, at most."""

    prompts = "summary"
    kind = "summary"
