"""What a server lists as its models, and whether it is what made the stored replies."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st

from memeval.models.completion import ModelSpec
from memeval.models.served import Served, parse_served, read_of

VLLM = {"id": "m", "object": "model", "root": "/ckpt/100", "max_model_len": 4096}
LLAMA = {"id": "tiny.gguf", "object": "model", "meta": {"n_ctx": 2048, "n_ctx_train": 32768}}


def asked(reply: Any, status: int = 200, patience: float = 300.0, delay: float = 0.0) -> tuple[Served | None, list[Any]]:
    """What `read_of` makes of a server's reply, and the headers of the requests it got."""
    seen: list[Any] = []

    async def models(request: web.Request) -> web.Response:
        seen.append(request.headers)
        await asyncio.sleep(delay)
        return web.Response(status=status, body=reply if isinstance(reply, bytes) else json.dumps(reply).encode())

    async def main() -> Served | None:
        app = web.Application()
        app.router.add_get("/v1/models", models)
        runner = web.AppRunner(app, handler_cancellation=True)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        port = runner.addresses[0][1]
        try:
            return await read_of(ModelSpec("m", f"http://127.0.0.1:{port}/v1"), patience)
        finally:
            await runner.cleanup()

    return asyncio.run(main()), seen


def test_what_servers_say(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MEMEVAL_API_KEY", "k")
    found, seen = asked({"data": [VLLM, LLAMA, {"id": "plain"}]})
    assert found == Served(("m", "tiny.gguf", "plain"), {"m": "/ckpt/100"}, {"m": 4096, "tiny.gguf": 2048})
    assert [headers["Authorization"] for headers in seen] == ["Bearer k"]
    assert (found.window("m"), found.window("plain"), found.window("gone")) == (4096, None, None)


def test_a_server_of_one_model_answers_to_any_name() -> None:
    found, _ = asked({"data": [LLAMA]})
    assert found is not None
    assert found.window("gpt-4o-mini") == 2048


@pytest.mark.parametrize(
    ("reply", "status"),
    [
        (b"<html>", 200),
        (b"", 200),
        ({"data": {}}, 200),
        ([], 200),
        ({"data": [{"name": "m"}]}, 200),
        ({"data": [VLLM]}, 404),
    ],
)
def test_no_list_is_nothing_to_compare(reply: Any, status: int) -> None:
    assert asked(reply, status)[0] is None


def test_a_server_that_is_slow_or_away_is_nothing_to_compare() -> None:
    assert asked({"data": [VLLM]}, patience=0.05, delay=60.0)[0] is None
    assert asyncio.run(read_of(ModelSpec("m", "http://127.0.0.1:1/v1"), 5.0)) is None


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(),
        lambda inner: (
            st.lists(inner)
            | st.dictionaries(st.sampled_from(["data", "id", "root", "meta", "n_ctx", "max_model_len"]), inner)
        ),
    )
)
def test_whatever_a_server_says_is_read(data: Any) -> None:
    found = parse_served(json.dumps(data).encode())
    assert found is None or all(isinstance(name, str) for name in found.ids)
