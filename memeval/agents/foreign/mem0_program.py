"""The program of the agent `mem0`: mem0's open-source package behind the messages of docs/foreign.md.

It runs in an interpreter that has mem0 but not memeval, so it imports nothing of memeval. Language model and embedder are
those of the run, through the proxy; vectors and history are in the context's own scratch folder. Telemetry is off, which is
also needed for correctness: with telemetry, mem0 opens a second store, which two instances in one process cannot share.
"""

from __future__ import annotations

import json
import os
import sys
import urllib.request
from typing import Any

memories: dict[str, tuple[Any, dict[str, Any]]] = {}
"""Context -> (mem0's Memory, the settings it was opened with)"""


def begin(message: dict[str, Any]) -> dict[str, Any]:
    os.environ |= {"MEM0_TELEMETRY": "False", "MEM0_DIR": message["workdir"]}  # before mem0 is imported
    vector = embedded(message, "How many numbers has a vector?")
    config = {"message": message, "dimensions": len(vector), "user": message["context"], "k": message["params"]["k"]}
    memories[message["context"]] = (opened(config, message["workdir"]), config)
    return {"methods": ["memory", "fork"]}


def observe(message: dict[str, Any]) -> None:
    memory, config = memories[message["context"]]
    chunk = message["chunk"]
    text = f"[{chunk['time']}] {chunk['text']}" if chunk["time"] else chunk["text"]
    memory.add([{"role": "user", "content": text}], user_id=config["user"], metadata={"chunk": chunk["id"]})


def recall(message: dict[str, Any]) -> dict[str, Any]:
    memory, config = memories[message["context"]]
    text = message["query"]["text"]
    found = memory.search(text, filters={"user_id": config["user"]}, top_k=config["k"])["results"] if text.strip() else []
    return {"items": [item(entry) for entry in found]}


def held(message: dict[str, Any]) -> dict[str, Any]:
    memory, config = memories[message["context"]]
    found = memory.get_all(filters={"user_id": config["user"]}, top_k=10**6)["results"]
    return {"entries": [item(entry) for entry in found]}


def fork(message: dict[str, Any]) -> None:
    """Open the memory of a fork; its scratch folder is already a copy."""
    _, config = memories[message["context"]]
    memories[message["to"]] = (opened(config, message["workdir"]), config)


METHODS: dict[str, Any] = {"begin": begin, "observe": observe, "recall": recall, "memory": held, "fork": fork}


def opened(config: dict[str, Any], folder: str) -> Any:
    """Open a Memory on the files in `folder`."""
    from mem0 import Memory

    message = config["message"]
    endpoint = {"api_key": message["api_key"], "openai_base_url": message["base_url"]}
    store = {"path": os.path.join(folder, "vectors"), "embedding_model_dims": config["dimensions"], "on_disk": True}
    return Memory.from_config(
        {
            "llm": {"provider": "openai", "config": {"model": "memory", **endpoint}},
            "embedder": {"provider": "openai", "config": {"model": "embedder", **endpoint}},
            "vector_store": {"provider": "qdrant", "config": store},
            "history_db_path": os.path.join(folder, "history.db"),
        }
    )


def item(entry: dict[str, Any]) -> dict[str, Any]:
    chunk = (entry.get("metadata") or {}).get("chunk")
    return {"text": entry["memory"], "id": entry["id"], "score": entry.get("score"), "chunks": [chunk] if chunk else []}


def embedded(message: dict[str, Any], text: str) -> list[float]:
    """The vector of a text, to tell mem0 how long vectors are."""
    body = json.dumps({"model": "embedder", "input": text}).encode()
    headers = {"Authorization": f"Bearer {message['api_key']}", "Content-Type": "application/json"}
    request = urllib.request.Request(f"{message['base_url']}/embeddings", body, headers)
    with urllib.request.urlopen(request) as response:
        vector: list[float] = json.load(response)["data"][0]["embedding"]
        return vector


def main() -> None:
    replies = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what a package prints must not count as a reply
    for line in sys.stdin.buffer:
        message = json.loads(line)
        reply = METHODS[message["method"]](message) or {}
        replies.write(json.dumps({"id": message["id"], **reply}) + "\n")
        replies.flush()


if __name__ == "__main__":
    main()
