"""What agents do to the process, the machine and the terminal that people have: a run gives its results all the same."""

from __future__ import annotations

import asyncio
import errno
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import preloaded
import pytest

from memeval import process

AGENT = """
import asyncio, ctypes, logging, multiprocessing, os, signal, socket, subprocess, sys, tempfile, threading, time
from memeval import Item, Recall

class Rude:
    def begin(self, session):
        self.notes = []
        {begin}
    def observe(self, chunk):
        self.notes.append(chunk)
        {observe}
    def recall(self, query): return Recall([Item(c.text, (c.id,)) for c in self.notes])
"""
BEGIN = {
    "chdir": "os.chdir(tempfile.mkdtemp())",
    "no_folder": "os.chdir(tempfile.mkdtemp()); os.rmdir(os.getcwd())",
    "environment": "os.environ.clear(); os.environ['MEMEVAL_CACHE'] = '/nowhere'",
    "descriptor": "print('p'); os.write(1, b'd'); sys.__stdout__.write('o'); sys.__stdout__.flush()",
    "child": "ctypes.CDLL(None).puts(b'from C'); os.system('echo from a shell')",
    "logging": "logging.basicConfig(stream=sys.stdout, level=0); socket.setdefaulttimeout(0.01)",
    "policy": "asyncio.set_event_loop_policy(asyncio.DefaultEventLoopPolicy())",
    "closes": "sys.stdout.close(); sys.stderr.close(); print('to a stream that was closed')",
    "thread": "threading.Thread(target=time.sleep, args=(600,), daemon=False).start()",
}
OBSERVE = {
    "fork": "with multiprocessing.get_context('fork').Pool(1) as pool: pool.map(str, [1])",
    "killed_child": "os.kill(child, signal.SIGTERM) if (child := os.fork()) else time.sleep(600)",
}
FAILS = {
    "exit": ("sys.exit(7)", "agent raised SystemExit(7) in observe at rude_exit.py:"),
    "signal": (
        "signal.signal(signal.SIGALRM, print)",
        "signal only works in main thread of the main interpreter) in observe",
    ),
    "loop_signal": ("asyncio.get_event_loop().add_signal_handler(signal.SIGALRM, print)", "only works in main thread"),
}


@pytest.mark.slow
def test_agents_harm_neither_the_agents_after_them_nor_the_results(tmp_path: Path) -> None:
    """All in one process, one after the other."""
    table = {name: (code, "") for name, code in BEGIN.items()} | {name: ("", code) for name, code in OBSERVE.items()}
    table |= {name: ("", code) for name, (code, _) in FAILS.items()}
    for name, (begin, observe) in table.items():
        (tmp_path / f"rude_{name}.py").write_text(AGENT.format(begin=begin or "pass", observe=observe or "pass"))
    agents = [part for name in table for part in ("--agent", f"rude_{name}.py:Rude")]
    words = ["run", *agents, "--task", "synth-10k", "--limit", "1", "--model", "offline", "--format", "json", "--quiet"]
    environment = {**os.environ, "MEMEVAL_CACHE": str(tmp_path / "cache")}
    done = preloaded.run(words, tmp_path, environment)
    runs = {run["agent"].removeprefix("rude_").partition(".")[0]: run for run in json.loads(done.stdout)["runs"]}
    assert {name: run["failed"] for name, run in runs.items()} == {name: int(name in FAILS) for name in table}, done.stderr
    for name, (_, reason) in FAILS.items():
        assert reason in " ".join(runs[name]["reasons"])


NO_LOCKS = """
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
int flock(int fd, int op) { errno = %(error)s; return -1; }
static int locked(const char *name, int fd, int cmd, void *arg) {
    int (*real)(int, int, ...) = dlsym(RTLD_NEXT, name);
    if (cmd == F_SETLK || cmd == F_SETLKW) { errno = %(error)s; return -1; }
    return real(fd, cmd, arg);
}
int fcntl(int fd, int cmd, ...) { va_list v; va_start(v, cmd); return locked("fcntl", fd, cmd, va_arg(v, void *)); }
int fcntl64(int fd, int cmd, ...) { va_list v; va_start(v, cmd); return locked("fcntl64", fd, cmd, va_arg(v, void *)); }
"""
NO_MAPS = """
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <sys/mman.h>
void *mmap(void *a, size_t n, int p, int flags, int fd, off_t o) {
    void *(*real)(void *, size_t, int, int, int, off_t) = dlsym(RTLD_NEXT, "mmap");
    if ((flags & MAP_SHARED) && fd >= 0) { errno = ENODEV; return MAP_FAILED; }
    return real(a, n, p, flags, fd, o);
}
void *mmap64(void *a, size_t n, int p, int flags, int fd, off_t o) { return mmap(a, n, p, flags, fd, o); }
"""


@pytest.mark.skipif(sys.platform != "linux" or not shutil.which("gcc"), reason="needs Linux and gcc")
@pytest.mark.parametrize(
    ("parts", "line"),
    [
        pytest.param(
            [NO_LOCKS % {"error": "ENOSYS"}], "no file locks here: do not run two processes", marks=pytest.mark.slow
        ),
        pytest.param([NO_LOCKS % {"error": "ENOLCK"}], "the cache is off", marks=pytest.mark.slow),
        pytest.param([NO_MAPS], "", marks=pytest.mark.slow),
        ([NO_LOCKS % {"error": "ENOLCK"}, NO_MAPS], "no file locks here: do not run two processes"),
    ],
    ids=["ENOSYS", "ENOLCK", "no maps", "neither"],
)
def test_file_systems_without_locks_or_shared_maps(tmp_path: Path, parts: list[str], line: str) -> None:
    libraries = []
    for number, part in enumerate(parts):
        (tmp_path / f"{number}.c").write_text(part)
        libraries.append(str(tmp_path / f"{number}.so"))
        subprocess.run(["gcc", "-shared", "-fPIC", "-o", libraries[-1], str(tmp_path / f"{number}.c"), "-ldl"], check=True)
    notes = {"id": "a", "units": ["Ann Lee lives in Arlen."], "questions": [{"text": "Where is Ann?", "answers": ["Arlen"]}]}
    (tmp_path / "notes.jsonl").write_text(json.dumps(notes))
    (tmp_path / "notes.yaml").write_text("description: x\nsource: jsonl\nparams: {file: notes.jsonl}\nmetrics: [f1]\n")
    command = [sys.executable, "-m", "memeval", "run", "--agent", "bm25", "--task", "notes.yaml", "--model", "offline"]
    environment = {**os.environ, "MEMEVAL_CACHE": str(tmp_path / "cache"), "LD_PRELOAD": " ".join(libraries)}
    for _ in range(2):  # made, then read back
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        assert "complete" in done.stdout
        assert line in done.stderr
        line = ""  # a finished run is read without a lock


@pytest.mark.parametrize(
    ("soft", "hard", "wanted", "found"),
    [(64, 64, 64, 4), (64, 4096, 64, 64), (50, 50, 8, 1), (1024, 1024, 16, 16), (1024, resource.RLIM_INFINITY, 9999, 9999)],
)
def test_contexts_are_as_many_as_files_may_be_open(
    soft: int, hard: int, wanted: int, found: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    limits = [(soft, hard)]
    monkeypatch.setattr(resource, "getrlimit", lambda kind: limits[-1])
    monkeypatch.setattr(resource, "setrlimit", lambda kind, pair: limits.append(pair))
    assert process.affordable(wanted) == found
    said = capsys.readouterr().err
    assert said == (
        ""
        if found == wanted
        else f"memeval: --concurrency {found}, not {wanted}: only {soft} files may be open (ulimit -n)\n"
    )


@pytest.mark.slow
def test_few_descriptors_are_enough(tmp_path: Path) -> None:
    command = f"ulimit -n 64; exec {sys.executable} -m memeval run --agent bm25 --task synth-10k --limit 16 --concurrency 64"
    environment = {**os.environ, "MEMEVAL_CACHE": str(tmp_path / "cache")}
    done = subprocess.run(
        ["bash", "-c", f"{command} --model offline"],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert "--concurrency 4, not 64: only 64 files may be open" in done.stderr


WITHOUT = """
import sys
sys.modules["fcntl"] = sys.modules["resource"] = None
from memeval.cli import main
main()
"""


@pytest.mark.slow
def test_a_system_without_fcntl_and_resource_says_one_true_line(tmp_path: Path) -> None:
    """Windows has neither."""
    command = [sys.executable, "-c", WITHOUT, "run", "--agent", "bm25", "--task", "synth-10k", "--limit", "1"]
    environment = {**os.environ, "MEMEVAL_CACHE": str(tmp_path / "cache")}
    done = subprocess.run(
        [*command, "--model", "offline", "--quiet"], cwd=tmp_path, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0
    (line,) = done.stderr.splitlines()
    assert "no file locks here: do not run two processes on the same run folder at once" in line


VERBS = [
    ["--help"],
    ["list", "tasks"],
    ["check", "--agent", "bm25"],
    ["run", "--agent", "none", "--task", "synth-10k", "--limit", "1", "--model", "offline", "--quiet", "--format", "json"],
]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
@pytest.mark.parametrize("verb", VERBS, ids=" ".join)
@pytest.mark.slow
def test_a_full_stdout_is_one_line(tmp_path: Path, verb: list[str]) -> None:
    with open("/dev/full", "w") as full:
        done = preloaded.run(verb, tmp_path, stdout=full)
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"memeval: stdout: cannot be written ({os.strerror(errno.ENOSPC)})")


@pytest.mark.parametrize("closed", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_a_closed_stream_is_no_error(tmp_path: Path, closed: int) -> None:
    command = f"exec {sys.executable} -m memeval run --agent none --task synth-10k --limit 1 --model offline {closed}>&-"
    done = subprocess.run(["bash", "-c", command], cwd=tmp_path, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert ("| none" in done.stdout) == (closed == 2)


CELLS: dict[str, str] = {
    "in a running loop's callback": """
loop = asyncio.new_event_loop()
loop.call_soon(lambda: (call(), loop.stop()))
loop.run_forever()
""",
    "in a thread": """
thread = threading.Thread(target=call)
thread.start()
thread.join()
""",
}
NOTEBOOK = """
import asyncio, os, sys, threading
from memeval.cli import main

def call():
    try:
        main({arguments!r}, standalone_mode=False)
    except SystemExit as end:
        print("ended with", end.code)

{cell}
"""


@pytest.mark.parametrize("cell", CELLS.values(), ids=list(CELLS))
@pytest.mark.slow
def test_called_from_python_wherever_an_event_loop_is(tmp_path: Path, cell: str) -> None:
    arguments = ["run", "--agent", "recent", "--task", "synth-10k", "--limit", "1", "--model", "offline", "--quiet"]
    program = NOTEBOOK.format(arguments=arguments, cell=textwrap.dedent(cell))
    done = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True)
    assert done.stderr == ""
    assert "| recent" in done.stdout
    assert done.stdout.endswith("ended with 0\n")


def test_ctrl_c_in_a_notebook_ends_the_run_that_has_a_thread_of_its_own() -> None:
    ended: list[str] = []

    async def long() -> None:
        await asyncio.sleep(0.1)  # by now the other thread waits
        os.kill(os.getpid(), signal.SIGINT)
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            ended.append("cancelled")
            raise

    async def cell() -> None:
        with pytest.raises(KeyboardInterrupt):
            process.run(long())

    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        loop = asyncio.new_event_loop()
        loop.run_until_complete(cell())
        loop.close()
    finally:
        signal.signal(signal.SIGINT, before)
    assert ended == ["cancelled"]
