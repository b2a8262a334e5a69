"""Agents that are programs or servers of their own, in any language (docs/foreign.md).

agent.py       the agent as the engine sees it: one message for each of its methods
messages.py    replies, parsed and checked in one place
connection.py  the connection to the program or server of one context, and the proxy of its models
program.py     `cmd:`, JSON lines over a process's standard streams
server.py      `http:`, the same messages as POST requests
routes.py      the requests to a server with an API of its own, from templates in a card
"""
