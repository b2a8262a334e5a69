"""An OpenAI-compatible endpoint in front of the models of a run, for agents that are separate programs.

server.py  the loopback server, with a token for each context, and the counting of its agent's calls
wire.py    OpenAI's HTTP formats, from the server's side
"""
