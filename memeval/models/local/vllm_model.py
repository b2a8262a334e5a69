"""`vllm/<folder or hub id>`: a model behind a `vllm serve` that memeval starts. UNTESTED ON A GPU.

The server is started at the first call that no store can answer. Roles and runs of one command that use the same model
with the same settings share one server. Settings are under `backend:` of the model in a card: `revision`,
`local_files_only`, `start_timeout` (seconds), `gpus` ("0,1"), and every option of `vllm serve` by its name with
underscores (max_model_len, tool_call_parser, dtype, tensor_parallel_size, ...). The role's `context` is the default of
max_model_len.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from memeval.errors import UsageError, install_hint
from memeval.models import window
from memeval.models.completion import Completion, ModelSpec, Request
from memeval.models.endpoint import EndpointModel
from memeval.models.limits import Limiter
from memeval.models.local import kept_open, weights
from memeval.models.local.vllm_server import ServerEnded, VllmServer, free_port

LOOK = 0.5  # seconds between two checks of a server with calls in flight
START_TIMEOUT = 900.0  # seconds; loading and compiling a large model takes minutes
PARSERS = {"llama": "llama3_json", "mistral": "mistral", "gpt_oss": "openai", "deepseek_v3": "deepseek_v3"}
"""model_type of config.json -> vLLM's tool-call parser; `hermes` for all others (Qwen2.5, Qwen3, Hermes)."""
OURS = frozenset({"revision", "local_files_only", "start_timeout", "gpus"})
RESERVED = frozenset(
    {"model", "host", "port", "uds", "root_path", "served_model_name", "api_key", "hf_token", "ssl_keyfile", "ssl_certfile"}
)
NEUTRAL = OURS | {
    *("tensor_parallel_size", "pipeline_parallel_size", "data_parallel_size", "gpu_memory_utilization", "max_num_seqs"),
    *("max_num_batched_tokens", "swap_space", "cpu_offload_gb", "disable_log_stats", "enable_prefix_caching"),
}
"""Settings that affect speed and memory, but not replies: not part of the identity."""


class VllmModel:
    """adapted: as in `Thinking`. The constructor raises UsageError for settings that vLLM does not take, and like
    `weights.find`."""

    def __init__(self, name: str, spec: ModelSpec, limiter: Limiter) -> None:
        backend = _checked(name, spec)
        self.adapted: list[str] = []
        self._name = name
        self._weights = weights.find(name, backend.get("revision"), not backend.get("local_files_only", False))
        matters = {key: value for key, value in backend.items() if key not in NEUTRAL}
        self.identity = f"vllm {self._weights.digest}{f' {json.dumps(matters, sort_keys=True)}' if matters else ''}"
        self._backend = backend
        self._limiter = limiter
        self._key = ("vllm", self._weights.digest, json.dumps(backend, sort_keys=True))
        self._server: VllmServer | None = None
        self._starting: asyncio.Task[EndpointModel] | None = None

    async def complete(self, request: Request) -> Completion:
        """One call, like `EndpointModel.complete`. Raises ServerEnded if the server cannot be started or has ended: at
        once, before the call's time-out."""
        misplaced = sorted({"max_model_len", "tool_call_parser", "dtype", "quantization"} & set(request.params))
        if misplaced:
            raise UsageError(
                f"model 'vllm/{self._name}': {misplaced[0]} is a setting of the server: put it under 'backend:'"
            )
        if self._server is None or self._starting is None:
            self._server = kept_open.take(self._key, self._make)
            self._starting = asyncio.create_task(self._start(self._server))
        server = self._server
        client = await asyncio.shield(self._starting)  # shared by all callers; goes on if one is cancelled
        call = asyncio.ensure_future(client.complete(request))
        try:
            while not (await asyncio.wait({call}, timeout=LOOK))[0]:
                if not server.usable:
                    words = server.why_ended()
                    await asyncio.to_thread(server.close)
                    raise ServerEnded(words)
            return call.result()
        finally:
            call.cancel()

    async def _start(self, server: VllmServer) -> EndpointModel:
        if not server.usable:
            await asyncio.to_thread(server.start)
        client = EndpointModel(self._name, server.base_url, server.key, self._limiter)
        client.adapted = self.adapted
        return client

    async def close(self) -> None:
        starting, server = self._starting, self._server
        self._starting = self._server = None
        if server is None or starting is None:
            return
        if not starting.done():
            await asyncio.to_thread(server.close)
        await asyncio.to_thread(kept_open.give_back, self._key, server)  # may wait until the server has ended
        for client in await asyncio.gather(starting, return_exceptions=True):
            if isinstance(client, EndpointModel):
                await client.close()

    def _make(self) -> VllmServer:
        port, config = free_port(), self._weights.read("config.json")
        command = serve(executable(), self._weights.folder, self._name, port, config, self._backend)
        gpus = self._backend.get("gpus")
        environment = {} if gpus is None else {"CUDA_VISIBLE_DEVICES": str(gpus)}
        return VllmServer(self._name, port, command, float(self._backend.get("start_timeout", START_TIMEOUT)), environment)


def executable() -> str:
    """The `vllm` program: MEMEVAL_VLLM, else on the PATH, else beside the running Python. Raises UsageError."""
    own = os.environ.get("MEMEVAL_VLLM")
    if own:
        found = shutil.which(os.path.expanduser(own))
        if found is None:
            raise UsageError(f"MEMEVAL_VLLM: '{own}' is not an executable program")
        return found
    beside = Path(sys.executable).parent
    found = shutil.which("vllm") or shutil.which("vllm", path=str(beside))
    if found is None:
        raise UsageError(f"vllm/ needs the program 'vllm': {install_hint('vllm')}, or set MEMEVAL_VLLM to where it is")
    return found


def serve(
    program: str, folder: Path, name: str, port: int, config: Mapping[str, Any], backend: Mapping[str, Any]
) -> list[str]:
    """The command line of `vllm serve`. It does not contain the key, because other users of the machine can read
    command lines."""
    options: dict[str, Any] = {
        "host": "127.0.0.1",
        "port": port,
        "served_model_name": name,
        "enable_prefix_caching": True,
        "enable_prompt_tokens_details": True,  # otherwise the server does not report cached tokens
        "enable_auto_tool_choice": True,
        "tool_call_parser": PARSERS.get(str(config.get("model_type")), "hermes"),
    }
    options.update({key: value for key, value in backend.items() if key not in OURS})
    words = [program, "serve", str(folder.resolve())]
    for key, value in options.items():
        flag = key.replace("_", "-")
        if isinstance(value, bool):
            words.append(f"--{flag}" if value else f"--no-{flag}")
        else:
            words += [f"--{flag}", value if isinstance(value, str) else json.dumps(value)]
    return words


def _checked(name: str, spec: ModelSpec) -> dict[str, Any]:
    """The settings of a spec. Raises UsageError that names the wrong key."""
    backend = window.backend(spec)
    if taken := sorted(RESERVED & set(backend)):
        raise UsageError(f"model 'vllm/{name}': backend.{taken[0]}: memeval sets this itself")
    timeout = backend.get("start_timeout", START_TIMEOUT)
    if isinstance(timeout, bool) or not isinstance(timeout, (int, float)) or not timeout > 0:
        raise UsageError(f"model 'vllm/{name}': backend.start_timeout is {timeout!r}, expected seconds")
    return backend
