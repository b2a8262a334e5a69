"""Agents that are programs or servers of their own, in any language (docs/foreign.md).

agent.py      the agent as the engine sees it: one message for each of its methods
messages.py   what comes back, read and checked in one place
line.py       the line to one context's program or server, and the proxy of its models
program.py    `cmd:`, JSON lines over a process's standard streams
server.py     `http:`, the same messages as POST requests
routes.py     the requests of a server that has an API of its own, from templates in a card
"""
