"""`memeval doctor` against servers that misbehave in every way, and against wrong set-ups. Keys are never shown."""

from __future__ import annotations

import contextlib
import json
import os
import re
import socket
import stat
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from faulty_server import FAULTS, FaultyServer, always, in_thread

import memeval
from memeval import doctor, tokens
from memeval.commands.doctor import doctor_command
from memeval.doctor import findings, unwritable
from memeval.errors import install_hint
from memeval.models import prices
from memeval.models.probe import Finding
from memeval.runs.options import Options

pytestmark = pytest.mark.usefixtures("project")
KEY = "sk-secret-key-of-a-user"
MODELS = [{"id": "m", "max_model_len": 40_960}, {"id": "other"}]


@pytest.fixture
def serve() -> Iterator[Any]:
    """`serve(faults=..., ...)` starts a server; all are stopped at the end."""
    with contextlib.ExitStack() as stack:
        yield lambda **options: stack.enter_context(in_thread(FaultyServer(**options)))


def options(tasks: tuple[str, ...] = (), base_url: str | None = None, **models: str) -> Options:
    return Options(agents=(), tasks=tasks, models=models, base_url=base_url)


def about(found: list[Finding], level: str, text: str = "") -> list[str]:
    return [f"{finding.subject}: {finding.says}" for finding in found if finding.level == level and text in finding.says]


def look(chosen: Options, patience: float = 300.0) -> list[Finding]:
    found = list(findings(chosen, patience))
    assert all("\n" not in finding.says and KEY not in finding.says for finding in found)
    return found


def broken(chosen: Options, patience: float = 300.0) -> list[str]:
    return about(look(chosen, patience), "FAIL")


# -- what works -------------------------------------------------------------------------------------------------------


def test_the_offline_model_needs_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    assert doctor_command(options(("synth-10k",), model="offline")) == 0
    out = capsys.readouterr().out
    assert "ok   task synth-10k: its data are at hand" in out
    assert "ok   memory, reader: offline: needs no key, GPU or network" in out
    assert "a run should work; 0 warnings" in out
    assert not (Path.cwd() / "cache").exists()  # it writes nothing
    assert not (Path.cwd() / "runs").exists()


def test_a_good_server(serve: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MEMEVAL_API_KEY", KEY)
    (Path.cwd() / "memeval.yaml").write_text("prices: {m: {prompt: 2, completion: 8}}\n")
    server = serve(key=KEY, models=MODELS)
    found = look(options(("synth-10k",), server.url, model="m"))
    assert about(found, "FAIL") == about(found, "warn") == []
    said = [finding.says for finding in found if finding.subject == f"memory, reader: m@{server.url}"]
    assert said[0] == "key found in MEMEVAL_API_KEY"
    assert said[1].startswith("chat works (")
    assert said[2:] == [
        "tool calling works",
        "context length 40,960 tokens",
        "2 USD a million prompt tokens, 8 completion (memeval.yaml)",
    ]
    assert [asked.get("tools") is None for asked in server.seen] == [True, False, True]  # the last is the long prompt
    assert all(asked["max_tokens"] <= 256 for asked in server.seen)
    assert [len(str(asked["messages"])) > 1000 for asked in server.seen] == [False, False, True]


def test_each_model_is_asked_once_and_readers_need_no_tools(serve: Any) -> None:
    one, two = serve(models=MODELS), serve(models=MODELS)
    look(options(memory=f"m@{one.url}", reader=f"m@{two.url}", judge=f"m@{two.url}"))
    assert ([bool(asked.get("tools")) for asked in one.seen], len(two.seen)) == ([False, True, False], 2)


def test_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert doctor_command(options(model="offline"), form="json") == 0
    found = json.loads(capsys.readouterr().out)
    assert found["ok"] is True
    assert {"level": "ok", "subject": "tokenizer o200k_base", "says": "found"} in found["findings"]
    assert doctor_command(options(model="nope"), form="json") == 3
    assert json.loads(capsys.readouterr().out)["ok"] is False


# -- endpoints --------------------------------------------------------------------------------------------------------

SAYS = {
    "429": "HTTP 429: slow down",
    "429-seconds": "HTTP 429: slow down",
    "429-date": "HTTP 429: slow down",
    "500": "HTTP 500: trouble 500; look into the server's log",
    "503": "HTTP 503: trouble 503",
    "hang": "no reply within 0.5",
    "cut": "chat: ",
    "html": "the reply is not JSON: '<html><body>Bad gateway</body></html>'; check the URL (most end in /v1)",
    "not-json": "the reply is not JSON",
    "empty-choices": "the reply has no choices",
    "wrong-types": "the reply's content has the wrong type",
    "error-200": "HTTP 502: upstream went away",
    "drip": "no reply within 0.5",
    "reset": "chat: ",
}


@pytest.mark.parametrize("fault", [fault for fault in FAULTS if fault != "damaged-arguments"])
def test_every_fault_is_one_line(serve: Any, fault: str) -> None:
    server = serve(faults=always(fault), models=MODELS)
    said = broken(options(base_url=server.url, model="m"), patience=0.5 if fault in ("hang", "drip") else 300.0)
    assert len(said) == 1, said
    assert SAYS[fault] in said[0]
    assert said[0].startswith(f"memory, reader: m@{server.url}: chat: ")


def test_a_port_without_a_server() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}/v1"
    (said,) = broken(options(base_url=url, model="m"))
    assert "cannot connect: " in said
    assert "ssl" not in said
    assert "check the server and the URL" in said


def test_a_server_that_never_replies() -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/v1"
        (said,) = broken(options(base_url=url, model="m"), patience=0.3)
    assert "no reply within 0.3 s (--timeout); check the server and the URL" in said


def test_a_wrong_key(serve: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MEMEVAL_API_KEY", KEY)
    for models in (MODELS, None):  # also where only the call itself is refused
        server = serve(key="another-key", models=models)
        (said,) = broken(options(base_url=server.url, model="m"))
        assert "HTTP 401" in said
        assert "check the key" in said
        assert "[key]" in said


def test_a_warning_when_openais_key_is_sent_elsewhere(serve: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    server = serve(models=MODELS)
    found = look(options(base_url=server.url, model="m"))
    (said,) = about(found, "warn", "OPENAI_API_KEY")
    assert f"is sent to {server.url}; set MEMEVAL_API_KEY" in said


def test_where_openai_is_elsewhere_its_key_is_the_right_one(serve: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    server = serve(key=KEY, models=MODELS)
    monkeypatch.setenv("OPENAI_BASE_URL", server.url)
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.setenv("MEMEVAL_API_KEY", "another-key")
    (said,) = about(look(options(model="openai/m")), "ok", "key found")
    assert "in OPENAI_API_KEY" in said


def test_keys_that_are_missing_or_unusable(monkeypatch: pytest.MonkeyPatch) -> None:
    (said,) = broken(options(model="openai/gpt-4o-mini"))
    assert "set OPENAI_API_KEY" in said
    monkeypatch.setenv("OPENAI_API_KEY", f"{KEY} with blanks")
    (said,) = broken(options(model="openai/gpt-4o-mini"))
    assert "OPENAI_API_KEY: the key holds blanks" in said


def test_another_model_is_served(serve: Any) -> None:
    server = serve(models=[{"id": f"model-{n}"} for n in range(9)])
    (said,) = about(look(options(base_url=server.url, model="modle-1")), "warn", "list")
    assert "does not list 'modle-1' (it has model-0, model-1, model-2, model-3, model-4, ...)" in said


def test_a_long_list_is_read_to_its_end(serve: Any) -> None:
    server = serve(
        models=[*({"id": f"model-{n}", "about": "x" * 200} for n in range(5000)), {"id": "m", "max_model_len": 77}]
    )
    assert about(look(options(base_url=server.url, model="m")), "ok", "context length 77 tokens")


@pytest.mark.parametrize("models", ["nonsense", [], [{"name": "m"}, 7], {"m": 1}])
def test_lists_of_models_in_other_shapes_break_nothing(serve: Any, models: Any) -> None:
    server = serve(models=models)
    assert broken(options(base_url=server.url, model="m")) == []


# -- what comes back --------------------------------------------------------------------------------------------------


def says(content: str | None, finish: str = "stop", tools: str | None = None, **message: Any) -> Any:
    """A server's body: what it says, and what it says when it is offered tools."""

    def body(asked: dict[str, Any]) -> dict[str, Any]:
        text = tools if asked.get("tools") and tools is not None else content
        return {"choices": [{"message": {"role": "assistant", "content": text, **message}, "finish_reason": finish}]}

    return body


def test_tool_calls_in_the_text(serve: Any) -> None:
    call = '<tool_call>{"name": "remember", "arguments": {"fact": "nine"}}</tool_call>'
    found = look(options(base_url=serve(models=MODELS, body=says("ready", tools=call)).url, model="m"))
    assert about(found, "ok", "tool calling works")


@pytest.mark.parametrize(
    ("tools", "said"),
    [
        ("I will remember that.", "answered without a call; agents that write by tools would store nothing"),
        ('<tool_call>{"name": "remember", "arguments": "nonsense"}</tool_call>', "a call could not be read"),
        ('<tool_call>{"name": "delete_all", "arguments": {}}</tool_call>', "it called 'delete_all', which was not offered"),
    ],
)
def test_tool_calls_that_do_not_come(serve: Any, tools: str, said: str) -> None:
    found = look(options(base_url=serve(models=MODELS, body=says("ready", tools=tools)).url, model="m"))
    assert about(found, "warn", said)
    assert about(found, "FAIL") == []


@pytest.mark.parametrize(
    ("message", "fix"),
    [
        (
            '"auto" tool choice requires --enable-auto-tool-choice and --tool-call-parser to be set',
            "start the server with tool calling on",
        ),
        ("library/gemma:2b does not support tools", "choose another with --memory NAME[@URL]"),
    ],
)
def test_a_server_without_tool_calling(message: str, fix: str) -> None:
    class NoTools(FaultyServer):
        async def _respond(self, request: Any) -> Any:
            from aiohttp import web

            if (await request.json()).get("tools"):
                return web.json_response({"error": {"message": message}}, status=400)
            return await super()._respond(request)

    with in_thread(NoTools(models=MODELS)) as server:
        (said,) = broken(options(base_url=server.url, model="m"))
    assert fix in said


def test_damaged_arguments_are_repaired_as_in_a_run(serve: Any) -> None:
    assert broken(options(base_url=serve(faults=always("damaged-arguments"), models=MODELS).url, model="m")) == []


def test_thinking(serve: Any) -> None:
    def reader(body: Any) -> list[Finding]:
        return look(options(reader=f"m@{serve(models=MODELS, body=body).url}"))

    assert about(reader(says("<think>Well, well.</think>ready")), "ok", "tokens of thinking)")
    unfinished = about(reader(says("<think>Well, well, well", finish="length")), "warn")
    assert "still thinking after 256 tokens: give replies room" in unfinished[0]
    assert about(reader(says("")), "warn", "but the reply is empty")


# -- windows and prices -----------------------------------------------------------------------------------------------


def test_windows_against_what_the_task_needs(serve: Any) -> None:
    """The card has 30,000 tokens for the reader (and 1000 around it, 2048 for the reply) and chunks of 2048 (and 4096
    around them, 2048 for the reply): neither fits 8000."""
    server = serve(models=[{"id": "m", "max_model_len": 8000}])
    (said,) = broken(options(("synth-10k",), server.url, model="m"))
    assert "context length 8,000 tokens, but a chunk of synth-10k takes up to 8,192" in said
    assert "the reader's budget on synth-10k (--answer-budget) takes up to 33,048; lower that" in said


def test_an_answer_budget_makes_it_fit(serve: Any) -> None:
    server = serve(models=[{"id": "m", "max_model_len": 8200}])
    assert any("33,048" in said for said in broken(options(("synth-10k",), server.url, model="m")))
    chosen = Options(agents=(), tasks=("synth-10k",), models={"model": "m"}, base_url=server.url, answer_budgets=(4000,))
    assert broken(chosen) == []


def test_a_warning_for_unknown_windows_and_prices(serve: Any) -> None:
    found = look(options(("synth-10k",), serve().url, model="m"))
    assert about(found, "warn", "context length not known; this needs 33,048 tokens")
    assert about(found, "warn", "price not known: costs stay blank")
    assert about(found, "FAIL") == []


class Cutting:
    """A server that keeps the last 2,048 tokens of a prompt and says nothing about it, as Ollama does by default."""

    def __init__(self, most: int) -> None:
        self.most = most

    def __call__(self, asked: dict[str, Any]) -> dict[str, Any]:
        count = sum(tokens.counter("o200k_base")(str(message["content"])) for message in asked["messages"])
        call = {"id": "1", "type": "function", "function": {"name": "remember", "arguments": '{"fact": "nine"}'}}
        message = {"role": "assistant", "content": "ready", **({"tool_calls": [call]} if asked.get("tools") else {})}
        usage = {"prompt_tokens": min(count, self.most), "completion_tokens": 1}
        return {"choices": [{"index": 0, "message": message, "finish_reason": "stop"}], "usage": usage}


@pytest.mark.parametrize("tasks", [(), ("synth-10k",)])
def test_a_window_that_cuts_without_a_word_is_found_by_a_long_prompt(serve: Any, tasks: tuple[str, ...]) -> None:
    (said,) = broken(options(tasks, serve(body=Cutting(2048)).url, model="m"), 60.0)
    assert "the server counted 2,048: it silently cuts what is too long; use a longer context (Ollama: " in said
    assert broken(options(tasks, serve(body=Cutting(40_000)).url, model="m"), 60.0) == []


def test_no_prompt_is_longer_than_the_window_that_a_server_names(serve: Any) -> None:
    server = serve(models=[{"id": "m", "meta": {"n_ctx": 4096}}], body=Cutting(4096))
    (said,) = broken(options(("synth-10k",), server.url, model="m"), 60.0)
    assert "context length 4,096 tokens, but a chunk of synth-10k takes up to 8,192" in said
    assert max(len(str(asked["messages"])) for asked in server.seen) < 30_000


# -- the rest ---------------------------------------------------------------------------------------------------------


def test_embedders(serve: Any) -> None:
    assert about(look(options(model="offline", embedder="offline")), "ok", "embedding works (512 dimensions)")
    server = serve()
    server.embedder = None
    (said,) = broken(options(model="offline", embedder=f"m@{server.url}"))
    assert "embedding: " in said
    assert "404" in said


def test_models_that_mean_nothing() -> None:
    said = broken(options(memory="offlin", reader="scripted:gone.jsonl"))
    assert any("did you mean 'offline'" in line for line in said)
    assert any("gone.jsonl" in line for line in said)


def test_local_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hub"))
    monkeypatch.setenv("PATH", "")
    (tmp_path / "model").mkdir()
    said = broken(options(memory="vllm/model", reader=f"hf/{tmp_path}/model"))
    assert any("needs the program 'vllm'" in line for line in said)
    assert any("has no config.json" in line for line in said)


def test_local_weights_that_are_there(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "config.json").write_text('{"max_position_embeddings": 8000}')
    header = b'{"__metadata__": {}}'
    (folder / "model.safetensors").write_bytes(len(header).to_bytes(8, "little") + header)
    here = options(("synth-10k",), memory="offline", reader=f"hf/{folder}")
    assert "has no tokenizer" in broken(here)[0]
    (folder / "tokenizer.json").write_text("{}")
    assert "has no chat template" in broken(here)[0]
    (folder / "tokenizer_config.json").write_text('{"chat_template": "{{ messages }}"}')
    writing = look(options(memory=f"hf/{folder}", reader="offline"))
    assert any("shows the model no tools" in finding.says for finding in writing)
    found = [f for f in look(here) if "hf/" in f.subject]
    assert [finding.level for finding in found] == ["ok", "ok", "FAIL"]
    assert f"in {folder} (not loaded here)" in found[1].says
    assert "context length 8,000 tokens, but the reader's budget" in found[2].says
    assert not broken(options(model="offline", embedder=f"hf/{folder}"))


def test_vllm_serves_no_embedder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MEMEVAL_VLLM", "true")
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "model.safetensors").write_bytes(b"")
    (said,) = broken(options(model="offline", embedder=f"vllm/{tmp_path}"))
    assert "use offline, openai/NAME, NAME@URL or hf/WEIGHTS" in said


def test_wrong_settings(tmp_path: Path) -> None:
    (tmp_path / "memeval.yaml").write_text("modle: offline\n")
    assert "unknown key 'modle'; did you mean 'model'?" in broken(options(model="offline"))[0]
    (tmp_path / "memeval.yaml").write_text("prices: {m: {prompt: cheap, completion: 1}}\n")
    assert "prices.m.prompt is 'cheap'" in broken(options(model="offline"))[0]
    (tmp_path / "memeval.yaml").write_text("model: offline\n")
    assert about(look(options()), "ok", "sets model")


def test_tasks_and_their_data(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    chosen = Options(
        agents=(), tasks=("2wiki-10k", "synth-10", "synth-10k"), models={"model": "offline"}, data_dir=tmp_path / "data"
    )
    said = broken(chosen)
    assert len(said) == 2
    assert said[0].startswith("task 2wiki-10k: no ")
    assert "memeval data fetch 2wiki-10k" in said[0] or "put " in said[0]
    assert "task synth-10: no task 'synth-10'; did you mean 'synth-10k'?" in said[1]
    nowhere = Options(agents=(), tasks=(), models={"model": "offline"}, data_dir=tmp_path / "nowhere")
    assert "no such folder" in broken(nowhere)[0]


def test_tokenizers(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("extends: synth-10k\ntokenizer: Qwen/no-such-tokenizer\n")
    found = look(options(("a.yaml",), model="offline"))
    assert about(found, "warn", "not on this machine: counts are those of o200k_base (approximating Qwen/no-such-tokenizer)")


def test_a_vocabulary_that_is_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    def gone(name: str) -> Any:
        raise doctor.UsageError(f"tokenizer '{name}': its vocabulary is not on this machine")

    monkeypatch.setattr(doctor.tokens, "counter", gone)
    assert broken(options(model="offline")) == [
        "tokenizer o200k_base: tokenizer 'o200k_base': its vocabulary is not on this machine"
    ]


def test_a_price_table_that_moved(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prices, "table_path", lambda: None)
    assert about(look(options(model="offline")), "warn", "litellm's price table is not where it was")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_folders_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache").chmod(stat.S_IRUSR | stat.S_IXUSR)
    assert about(look(options(model="offline")), "warn", "cannot be written; set MEMEVAL_CACHE")


def test_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    assert unwritable(tmp_path / "a" / "b") == ""
    assert unwritable(tmp_path / "file" / "b") == f"{tmp_path}/file/b: {tmp_path}/file is no folder"
    chosen = Options(agents=(), tasks=(), models={"model": "offline"}, runs_dir=tmp_path / "file" / "runs")
    assert any("is no folder; use --runs-dir" in said for said in broken(chosen))
    monkeypatch.setattr(doctor.shutil, "disk_usage", lambda path: SimpleNamespace(free=10_000_000))
    assert unwritable(tmp_path) == f"{tmp_path}: only 10 MB are free"


def test_no_text_names_the_package_of_the_index() -> None:
    """`memeval` of the package index is another one: hints install an extra from the checkout."""
    root = Path(memeval.__file__).parents[1]
    files = [*(root / "memeval").rglob("*.py"), *(root / "docs").glob("*.md"), root / "README.md"]
    assert [path.name for path in files if re.search(r"install\W+(-\S+ )*'?memeval\b", path.read_text())] == []
    assert install_hint("hf") == "pip install -c constraints.txt -e '.[hf]' in memeval's checkout"


def test_packages_of_this_installation(monkeypatch: pytest.MonkeyPatch) -> None:
    assert about(look(options(model="offline")), "FAIL") == []
    monkeypatch.setattr(doctor.metadata, "requires", lambda name: ["no-such-package>=1", "x; extra == 'vllm'"])
    found = look(options(model="offline"))
    assert about(found, "FAIL") == ["packages: no-such-package missing; pip install no-such-package"]
    assert about(
        found,
        "ok",
        "not installed (x); where it is needed: pip install -c constraints.txt -e '.[vllm]' in memeval's checkout",
    )

    def absent(name: str) -> Any:
        raise doctor.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(doctor.metadata, "requires", absent)
    assert about(look(options(model="offline")), "warn", "memeval is not installed, only found")
