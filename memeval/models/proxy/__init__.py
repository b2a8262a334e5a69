"""An OpenAI-compatible endpoint in front of the models of a run, for agents that are programs of their own.

server.py  the loopback server, with a token for each context, and where the calls of its agent are booked
wire.py    OpenAI's HTTP shapes, from the server's side
"""
