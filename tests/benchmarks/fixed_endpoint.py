"""An endpoint of fixed latency, in a process of its own, with as little of an HTTP server as will do: it must not be what
is measured.

`python fixed_endpoint.py SECONDS` prints its URL and serves until stdin closes. Each reply leaves so long after its request
arrived: made while it waits, and timed by `select`, because `epoll` wakes timers up to a millisecond late. A request with
tools is answered by a call that writes a new memory, others by a word.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import selectors
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

LATENCY = 0.05
_numbers = itertools.count(1)


class Fixed(asyncio.Protocol):
    def __init__(self, latency: float) -> None:
        self.latency = latency

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport, self.received = transport, b""

    def data_received(self, data: bytes) -> None:
        loop = asyncio.get_running_loop()
        due = loop.time() + self.latency
        self.received += data
        while (end := self.received.find(b"\r\n\r\n")) >= 0:
            sizes = self.received[:end].lower().split(b"content-length:")[1:]  # none: a GET, of the list of models
            length = int(sizes[0].split(b"\r\n")[0]) if sizes else 0
            if len(self.received) < end + 4 + length:
                return
            body, self.received = self.received[end + 4 : end + 4 + length], self.received[end + 4 + length :]
            loop.call_at(due, self.transport.write, reply(body))  # type: ignore[attr-defined]


def reply(body: bytes) -> bytes:
    if b'"tools"' in body:
        arguments = {
            "memory_type": "semantic",
            "content": f"Fact {next(_numbers)}: something that is worth keeping in mind.",
        }
        function = {"name": "new_memory_insert", "arguments": json.dumps(arguments)}
        message = {
            "role": "assistant",
            "content": None,
            "tool_calls": [{"id": "1", "type": "function", "function": function}],
        }
    else:
        message = {"role": "assistant", "content": "Paris"}
    choice = {"message": message, "finish_reason": "stop"}
    text = json.dumps({"choices": [choice], "usage": {"prompt_tokens": 500, "completion_tokens": 2}})
    return f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(text)}\r\n\r\n{text}".encode()


@contextmanager
def endpoint(latency: float = LATENCY) -> Iterator[str]:
    """Its URL, while it runs. latency: seconds of each reply."""
    command = [sys.executable, __file__, str(latency)]
    server = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert server.stdout is not None
    try:
        yield server.stdout.readline().strip()
    finally:
        server.communicate()


def latency(url: str) -> float:
    """Seconds of one call over a bare socket, the median of 15: the step of a chain (a timer's 50 ms are nearly 51)."""
    host, port = url.removeprefix("http://").removesuffix("/v1").split(":")
    taken = []
    with socket.create_connection((host, int(port))) as connection:
        for _ in range(15):
            begun = time.perf_counter()
            connection.sendall(b"POST /v1/chat/completions HTTP/1.1\r\nContent-Length: 2\r\n\r\n{}")
            connection.recv(65_536)
            taken.append(time.perf_counter() - begun)
    return statistics.median(taken)


async def serve(latency: float) -> None:
    server = await asyncio.get_running_loop().create_server(lambda: Fixed(latency), "127.0.0.1", 0, backlog=1024)
    print(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1", flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)  # until the parent closes the pipe


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=lambda: asyncio.SelectorEventLoop(selectors.SelectSelector())) as runner:
        runner.run(serve(float(sys.argv[1])))
