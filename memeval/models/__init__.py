"""Language models: the offline one, scripted ones, OpenAI-compatible endpoints; and what stands between them and a run.

completion.py       the data: Request, Completion, ToolCall, Usage, ModelSpec
bound.py, usage.py  the model as an agent holds it, and the ledger that its calls are booked in
registry.py         what a model's name means, and the model behind it
gateway.py          journal.py, then cache.py, then one flight per identical call (flights.py), then the model
rules.py            tables of what servers do differently (_data/servers.yaml): errors, finish reasons, tool calls, thinking
endpoint.py         the aiohttp transport (transport.py: proxies, certificates, headers; streamed.py: streamed replies)
adaptive.py, body.py   what is sent, and what a server has taught us to send otherwise; room for thinking
limits.py, faults.py   how many calls at once, how often again, when to stop; what an error comes to
reply.py, toolcalls.py   what a server sends, read: text, thinking, calls, usage
offline/            the rule-based model that needs no key, GPU or network
scripted.py, litellm_model.py   replies for tests; every provider that litellm knows
embeddings.py       vectors: the offline embedder, endpoints
local/              models that run on this machine: `hf/` in this process, `vllm/` behind a server that memeval starts
proxy/              an OpenAI-compatible endpoint in front of the models of a run, for agents in other processes
"""
