"""How `vllm serve` is started, watched and ended. It runs a stand-in: nothing here has met the real one, or a GPU."""

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from gateways import gateway
from stand_in_vllm import StandIn, alive, until
from tiny_qwen import safetensors

from memeval.errors import StopRun, UsageError
from memeval.models.completion import ModelSpec, Request
from memeval.models.local import kept_open, vllm_model, vllm_server
from memeval.models.local.vllm_model import executable, serve
from memeval.models.local.vllm_server import ServerEnded, VllmServer, last_error
from memeval.models.registry import open_model

pytestmark = pytest.mark.skipif(os.name != "posix", reason="vllm runs on POSIX systems")


@pytest.fixture
def folder(tmp_path, own_cache, monkeypatch):
    """Weights of no meaning, and a grace that is enough on a busy machine."""
    monkeypatch.setattr(vllm_server, "GRACE", 30.0)
    monkeypatch.setattr(vllm_server, "POLL", 0.05)
    made = tmp_path / "model"
    made.mkdir()
    (made / "config.json").write_text('{"model_type": "qwen3"}')
    safetensors(made / "model.safetensors")
    return made


@pytest.fixture
def program(tmp_path, monkeypatch):
    """`program(**behaviour)` puts a stand-in where memeval looks."""
    made = []

    def make(**behaviour):
        (tmp_path / str(len(made))).mkdir()
        made.append(StandIn(tmp_path / str(len(made)), **behaviour))
        monkeypatch.setenv("MEMEVAL_VLLM", str(made[-1].path))
        return made[-1]

    yield make
    with contextlib.suppress(AssertionError):
        until(lambda: not any(each.running() for each in made))  # a killed process takes a moment to go
    left = [pid for each in made for pid in each.running()]
    for pid in left:
        os.kill(pid, signal.SIGKILL)
    assert not left, "a server was left behind"


def asked(text):
    return Request([{"role": "user", "content": text}], None, {"temperature": 0.0})


def ask(folder, *texts, **spec):
    """Completions of a gateway that is closed again."""

    async def main():
        door = gateway()
        try:
            return await asyncio.gather(*(door.call(ModelSpec(f"vllm/{folder}", **spec), asked(text)) for text in texts))
        finally:
            await door.close()

    return asyncio.run(main())


def test_it_is_started_for_the_first_call_and_gone_after_the_last(folder, program, capsys, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-of-somebody")
    vllm = program(delay=0.3)
    completions = ask(folder, *(f"question {number}" for number in range(20)))
    until(lambda: not vllm.running())
    assert [completion.text for completion in completions] == [f"echo: question {number}" for number in range(20)]
    (start,) = vllm.starts
    until(lambda: not vllm.running())
    words = start["argv"]
    assert words[:2] == ["serve", str(folder)]
    for option in ("--enable-prefix-caching", "--enable-auto-tool-choice", "--enable-prompt-tokens-details"):
        assert option in words
    assert words[words.index("--tool-call-parser") + 1] == "hermes"
    assert words[words.index("--host") + 1] == "127.0.0.1"
    key = start["environment"]["VLLM_API_KEY"]
    assert len(key) >= 32
    assert not [word for word in words if key in word]
    assert "OPENAI_API_KEY" not in start["environment"]
    noticed = capsys.readouterr().err
    assert noticed.startswith("memeval: starting vllm serve ")
    log = Path(noticed.strip().rpartition("log: ")[2].rstrip(")"))
    assert log.read_text().splitlines()[-1] == "told to end"  # before it is killed
    assert "starting" in log.read_text()
    assert log.stat().st_mode & 0o077 == 0


def test_what_is_sent_otherwise_to_the_server_is_noted(folder, program):
    program()

    async def main():
        door = gateway()
        await door.call(ModelSpec(f"vllm/{folder}"), asked("<think>hm</think> yes"))
        await door.close()
        return door.adapted

    assert asyncio.run(main()) == (f"vllm/{folder}: the model thinks: its replies may have 8192 tokens",)


def test_roles_of_one_model_share_a_server_and_runs_of_one_command_keep_it(folder, program):
    vllm = program()

    def run():
        async def main():
            door = gateway()
            memory = ModelSpec(f"vllm/{folder}", params={"temperature": 1.0})
            reader = ModelSpec(f"vllm/{folder}", params={"temperature": 0.0})
            await asyncio.gather(door.call(memory, asked("a")), door.call(reader, asked("b")))
            await door.close()

        asyncio.run(main())

    run()
    assert len(vllm.starts) == 1
    with kept_open.keep_open():
        run()
        run()
        assert len(vllm.starts) == 2
        assert vllm.running()
    until(lambda: not vllm.running())


def test_a_model_that_needs_the_room_ends_one_that_nobody_uses(folder, program):
    vllm = program()
    with kept_open.keep_open():
        ask(folder, "a")
        ask(folder, "a", backend={"max_model_len": 100})
        first, second = vllm.starts
        until(lambda: not alive(first["pid"]))
        assert alive(second["pid"])


def test_nothing_is_started_where_the_cache_knows_the_reply(folder, program, tmp_path):
    vllm = program()

    async def main():
        door = gateway(tmp_path / "calls.sqlite")
        completion = await door.call(ModelSpec(f"vllm/{folder}"), asked("a"))
        await door.close()
        return completion

    assert asyncio.run(main()) == asyncio.run(main())
    assert len(vllm.starts) == 1


def test_a_crash_at_start_stops_the_run_with_what_the_log_says(folder, program):
    vllm = program(crash_start=True)
    with pytest.raises(ServerEnded) as caught:
        ask(folder, "a", "b", "c")
    said = str(caught.value)
    assert isinstance(caught.value, StopRun)
    assert "\n" not in said
    assert "exit status 1" in said
    assert "ValueError: no room for the KV cache" in said
    assert "root cause above" in said
    assert vllm.starts[0]["environment"]["VLLM_API_KEY"] not in said
    assert Path(said.rpartition("(log: ")[2].rstrip(")")).is_file()
    assert len(vllm.starts) == 1
    until(lambda: not vllm.running())


def test_a_crash_in_flight_stops_the_run_at_once(folder, program):
    vllm = program(crash_call=True)
    with pytest.raises(ServerEnded, match="the server ended .exit status 0.*CUDA out of memory"):
        ask(folder, "a", "b")
    until(lambda: not vllm.running())


def test_one_that_never_gets_healthy_is_given_up_and_ended(folder, program):
    vllm = program(never=True)
    with pytest.raises(ServerEnded, match="not healthy after 0.5 s"):
        ask(folder, "a", backend={"start_timeout": 0.5})
    assert len(vllm.starts) <= 1  # none where the machine is slower than that
    until(lambda: not vllm.running())


def test_one_that_hangs_on_stop_is_killed(folder, program, monkeypatch):
    monkeypatch.setattr(vllm_server, "GRACE", 0.3)
    vllm = program(hang_stop=True)
    assert ask(folder, "a")[0].text == "echo: a"
    until(lambda: not vllm.running())


def test_another_server_on_the_port_is_not_taken_for_ours(folder, program, tmp_path, monkeypatch):
    """It is healthy, serves a model of that name, and knows another key; ours cannot listen and says so in its log."""
    port = vllm_server.free_port()
    (tmp_path / "other").mkdir()
    other = StandIn(tmp_path / "other")
    words = [str(other.path), "serve", "m", "--served-model-name", str(folder), "--host", "h", "--port", str(port)]
    process = subprocess.Popen(words, env={"VLLM_API_KEY": "another"})
    until(lambda: other.starts)
    monkeypatch.setattr(vllm_model, "free_port", lambda: port)
    program()
    try:
        with pytest.raises(ServerEnded, match="in use|not healthy"):
            ask(folder, "a", backend={"start_timeout": 20})
    finally:
        for pid in other.running():
            os.kill(pid, signal.SIGKILL)
        process.wait()


def test_cancelling_the_run_while_it_starts_ends_it(folder, program):
    vllm = program(delay=600)

    async def main():
        door = gateway()
        with kept_open.keep_open():
            call = asyncio.create_task(door.call(ModelSpec(f"vllm/{folder}"), asked("a")))
            await asyncio.sleep(0)  # the start goes on in a thread
            await asyncio.to_thread(until, lambda: vllm.starts)
            await door.close()
            return call

    assert asyncio.run(main()).cancelled()
    until(lambda: not vllm.running())


def test_closing_before_the_start_has_begun_ends_it(folder, program):
    vllm = program(delay=600)

    async def main():
        model = open_model(ModelSpec(f"vllm/{folder}"))
        call = asyncio.create_task(model.complete(asked("a")))
        await asyncio.sleep(0)
        await model.close()
        with pytest.raises(ServerEnded, match="the server was stopped"):
            await call

    asyncio.run(asyncio.wait_for(main(), 60))
    until(lambda: not vllm.running())


SCRIPT = """
import asyncio, os, signal, sys
from memeval.models.local import vllm_server
from memeval.models.completion import ModelSpec, Request
from memeval.models.calls import CallSettings
from memeval.models.gateway import Gateway

vllm_server.GRACE = 1.0
signal.signal(signal.SIGHUP, signal.SIG_DFL)  # nohup and some shells start the tests with these signals ignored
signal.signal(signal.SIGINT, signal.default_int_handler)
async def main():
    gateway = Gateway(CallSettings(use_cache=False), {})
    request = Request([{"role": "user", "content": "a"}])
    print((await gateway.call(ModelSpec("vllm/" + sys.argv[1]), request)).text, flush=True)
    if sys.argv[2] == "exception":
        raise ValueError("a bug")
    if sys.argv[2] == "exit":
        sys.exit(3)
    await asyncio.sleep(600)
asyncio.run(main())
"""


@pytest.mark.parametrize(
    "way",
    [
        "exception",
        "SIGKILL",
        "SIGHUP",
        *(pytest.param(way, marks=pytest.mark.slow) for way in ("exit", "SIGINT", "SIGTERM")),
    ],
)
def test_it_ends_with_memeval_however_that_ends(folder, program, way):
    """Even where nobody closes the gateway, and where memeval cannot do anything any more."""
    vllm = program(hang_stop=way == "SIGKILL")
    words = [sys.executable, "-c", SCRIPT, str(folder), way]
    process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    assert process.stdout.readline() == "echo: a\n"
    assert vllm.running()
    if way.startswith("SIG"):
        process.send_signal(getattr(signal, way))
    process.wait()
    until(lambda: not vllm.running())
    process.stdout.close()


def test_it_ends_when_its_guardian_is_killed(folder, program):
    """The server itself dies with it (Linux), and memeval ends what the server had started."""
    vllm = program()

    async def main():
        door = gateway()
        spec = ModelSpec(f"vllm/{folder}")
        await door.call(spec, asked("a"))
        os.kill(os.getpgid(vllm.starts[0]["pid"]), signal.SIGKILL)
        await asyncio.to_thread(until, lambda: not alive(vllm.starts[0]["pid"]))
        with pytest.raises(ServerEnded):
            await door.call(spec, asked("b"))
        await asyncio.to_thread(until, lambda: not vllm.running())
        await door.close()

    asyncio.run(main())


# -- the command line and its settings --------------------------------------------------------------------------------


def test_settings_become_options(tmp_path):
    backend = {
        "max_model_len": 32768, "enforce_eager": True, "enable_prefix_caching": False, "dtype": "bfloat16",
        "rope_scaling": {"factor": 2.0}, "gpu_memory_utilization": 0.8, "gpus": "1", "start_timeout": 5, "revision": "main",
    }  # fmt: skip
    words = serve("/bin/vllm", tmp_path, "org/name", 81, {"model_type": "llama"}, backend)
    assert words == [
        "/bin/vllm", "serve", str(tmp_path), "--host", "127.0.0.1", "--port", "81", "--served-model-name", "org/name",
        "--no-enable-prefix-caching", "--enable-prompt-tokens-details", "--enable-auto-tool-choice",
        "--tool-call-parser", "llama3_json", "--max-model-len", "32768", "--enforce-eager", "--dtype", "bfloat16",
        "--rope-scaling", '{"factor": 2.0}', "--gpu-memory-utilization", "0.8",
    ]  # fmt: skip


def test_context_and_gpus_reach_the_server(folder, program):
    vllm = program()
    ask(folder, "a", params={"context": 4096}, backend={"gpus": "1,2", "tool_call_parser": "qwen3_coder"})
    words, environment = vllm.starts[0]["argv"], vllm.starts[0]["environment"]
    assert words[words.index("--max-model-len") + 1] == "4096"
    assert words[words.index("--tool-call-parser") + 1] == "qwen3_coder"
    assert environment["CUDA_VISIBLE_DEVICES"] == "1,2"


@pytest.mark.parametrize(
    ("backend", "said"),
    [
        ({"port": 80}, "backend.port: memeval sets this itself"),
        ({"api_key": "x"}, "backend.api_key: memeval sets this itself"),
        ({"start_timeout": "long"}, "start_timeout is 'long'"),
    ],
)
def test_settings_that_are_wrong(folder, backend, said):
    with pytest.raises(UsageError) as caught:
        open_model(ModelSpec(f"vllm/{folder}", backend=backend))
    assert said in str(caught.value)


def test_settings_of_the_server_among_the_sampling_parameters_are_pointed_out(folder, program):
    program()
    with pytest.raises(UsageError, match="max_model_len is a setting of the server: put it under 'backend:'"):
        ask(folder, "a", params={"max_model_len": 5})


def test_the_identity_is_of_the_weights_and_of_what_changes_replies(folder):
    def named(**backend):
        return open_model(ModelSpec(f"vllm/{folder}", backend=backend)).identity

    assert str(folder) not in named()
    assert named(tensor_parallel_size=2, gpus="0,1", start_timeout=5) == named()
    assert named(quantization="fp8") != named()
    before = named()
    safetensors(folder / "model.safetensors", b"\x01" * 64)
    assert named() != before


def test_the_program_is_looked_for(tmp_path, monkeypatch):
    monkeypatch.delenv("MEMEVAL_VLLM", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(vllm_model.sys, "executable", str(tmp_path / "bin" / "python"))
    with pytest.raises(UsageError, match=r"-e '\.\[vllm\]' in memeval's checkout"):
        executable()
    (tmp_path / "bin").mkdir()
    for place in (tmp_path / "bin", tmp_path):
        (place / "vllm").write_text("#!/bin/sh\n")
        (place / "vllm").chmod(0o755)
        assert executable() == str(place / "vllm")
    monkeypatch.setenv("MEMEVAL_VLLM", str(tmp_path / "nothing"))
    with pytest.raises(UsageError, match="MEMEVAL_VLLM"):
        executable()


def test_a_program_that_cannot_be_run_is_named(folder, monkeypatch, tmp_path):
    server = VllmServer("m", 9, ["/nowhere/vllm"], 60.0, {})
    with pytest.raises((ServerEnded, UsageError), match="/nowhere/vllm|No such file"):
        server.start()
    server.close()


@pytest.mark.parametrize(
    ("log", "line"),
    [
        ("", ""),
        ("one\ntwo\n\n", "two"),
        ("\x1b[31m(EngineCore_DP0 pid=17) ERROR 11-22 10:00:00 [core.py:700] boom\x1b[0m", "boom\x1b[0m"),
        ("ValueError: a\nRuntimeError: Engine core initialization failed. See root cause above.",
         "ValueError: a ... RuntimeError: Engine core initialization failed. See root cause above."),
        ("KeyError: 'x'\nshutting down", "KeyError: 'x' ... shutting down"),
        ("starting\nKeyError: 'x'", "KeyError: 'x'"),
        ("vllm serve: error: unrecognized -x\nbye", "vllm serve: error: unrecognized -x ... bye"),
    ],
)  # fmt: skip
def test_what_a_log_says(log, line):
    assert last_error(log) == line
