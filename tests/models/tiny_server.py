"""A real OpenAI-compatible server process around a local checkpoint.

`python tiny_server.py FOLDER` prints its URL and serves until its standard input is closed. It does not stream.
"""

from __future__ import annotations

import asyncio
import sys
from typing import Any

from aiohttp import web

from memeval.errors import UsageError
from memeval.models.completion import ModelSpec, Request
from memeval.models.local.hf import HfModel

NOT_SAMPLING = ("model", "messages", "tools", "stream")


class TinyServer:
    """`/v1/chat/completions` and `/v1/models` of one model."""

    def __init__(self, folder: str) -> None:
        self.model = HfModel(folder, ModelSpec(f"hf/{folder}"))

    async def run(self) -> None:
        app = web.Application(client_max_size=2**26)
        app.router.add_post("/v1/chat/completions", self.chat)
        app.router.add_get("/v1/models", self.models)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        print(f"http://127.0.0.1:{site._server.sockets[0].getsockname()[1]}/v1", flush=True)  # type: ignore[union-attr]
        await asyncio.to_thread(sys.stdin.read)
        await runner.cleanup()
        await self.model.close()

    async def chat(self, request: web.Request) -> web.Response:
        asked = await request.json()
        params = {key: value for key, value in asked.items() if key not in NOT_SAMPLING}
        try:
            completion = await self.model.complete(Request(asked["messages"], asked.get("tools"), params))
        except UsageError as error:
            return web.json_response({"error": {"message": str(error)}}, status=400)
        if completion.finish_reason == "overflow":
            message = "This model's maximum context length is exceeded"
            return web.json_response({"error": {"message": message, "code": "context_length_exceeded"}}, status=400)
        if completion.error is not None:
            return web.json_response({"error": {"message": completion.error}}, status=500)
        calls = [
            {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.raw}}
            for call in completion.tool_calls
        ]
        message: dict[str, Any] = {"role": "assistant", "content": completion.text}
        message |= {"reasoning_content": completion.reasoning} if completion.reasoning else {}
        message |= {"tool_calls": calls} if calls else {}
        usage = completion.usage
        counts = {"prompt_tokens": usage.prompt, "completion_tokens": usage.completion}
        finish = "length" if completion.finish_reason == "unclosed_think" else completion.finish_reason
        choice = {"index": 0, "message": message, "finish_reason": finish}
        return web.json_response({"object": "chat.completion", "choices": [choice], "usage": counts})

    async def models(self, request: web.Request) -> web.Response:
        return web.json_response({"object": "list", "data": [{"id": "tiny", "object": "model"}]})


if __name__ == "__main__":
    asyncio.run(TinyServer(sys.argv[1]).run())
