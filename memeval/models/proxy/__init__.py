"""An OpenAI-compatible endpoint in front of the models of a run, for agents that are programs of their own.

server.py  the loopback server, with a token for each context
wire.py    OpenAI's HTTP shapes, from the server's side
slot.py    where the calls of such an agent are booked
"""
