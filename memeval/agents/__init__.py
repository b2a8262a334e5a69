"""The bundled agents (docs/agents.md): each is a class that keeps the contract of `memeval.agent.Agent`.

memalpha.py      a model writes memory by tool calls (memory/); how it calls them: qwen_wire.py, quote_wire.py
rolling.py       one text that a model rewrites at each chunk; memagent.py, mem1.py
long_context.py  the stream itself, as much as fits; the base of all agents that keep chunks; recent.py: a few chunks
rag.py           the best passages of the stream; passages.py cuts it, search.py ranks; iterative.py searches several times
writers.py       lines chosen by a rule, for comparison with a trained writer
foreign/         programs and servers in any language; mem0.py is one
"""
