"""Language models: the offline one, scripted ones, OpenAI-compatible endpoints; and what stands between them and a run.

completion.py  the data: Request, Completion, ToolCall, Usage, ModelSpec
bound.py       the model as an agent holds it: bound to a role, books usage
gateway.py     journal, cache, one flight per identical call
endpoint.py    the aiohttp transport; limits.py its retries and concurrency
toolcalls.py   tool calls read from text, repaired where that is unambiguous
offline.py     the rule-based model that needs no key, GPU or network; scripted.py replies for tests
"""
