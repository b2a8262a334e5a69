"""Stopped at any request and started again: the samples and numbers of an undisturbed run, and what is asked twice is at
most what was in flight."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from parity_runner import Place, Step, place, result

WIDTH = 3
END = f"--model tiny --base-url {{url}} --quiet --no-cache --concurrency {WIDTH}"
COMMANDS = {
    "forks": f"run --agent agents.py:Notes --task places {END}",
    "no-forks": f"run --agent agents.py:Unforkable --task places {END}",
    "memalpha": f"run --agent memalpha --task several --answer-repeats 2 {END}",
    "native": f"run --agent agents.py:Native --task several --repeats 2 {END}",
    "grid": f"run --agent bm25 --agent agents.py:Notes --task single --task several {END}",
    "judged": f"run --agent bm25 --task judged --judge j@{{url}} {END}",
}


@pytest.fixture
def here(tmp_path: Path) -> Iterator[Place]:
    with place(tmp_path) as made:
        yield made


def whole(here: Place, step: Step) -> list[dict[str, Any]]:
    """The facts of a command that comes to its end; how many requests it sent is counted at the server."""
    code, out, err = here.run(step)
    assert (code, "Traceback" in err) == (0, False), err
    runs = [result(run, here.folder / run["path"]) for run in json.loads(out)["runs"]]
    for run in runs:
        del run["requests"]
    return runs


def stopped_again(here: Place, args: str, points: list[int], number: signal.Signals) -> None:
    """Stop the command at its k-th request, once for each k, and let it finish in the end."""
    undisturbed = whole(here, Step(f"{args} --runs-dir undisturbed"))
    ideal, before = here.server.served.total(), len(here.server.seen)
    assert before == ideal
    step, stops = Step(f"{args} --runs-dir stopped"), 0
    for after in points:
        code, out, err = here.run(step, stop=(after, number))
        if code == 0:
            break  # it had fewer requests left
        stops += 1
        assert code == (-number if number is signal.SIGKILL else 130), err
        assert "Traceback" not in err
        if number is not signal.SIGKILL and out:
            last = json.loads(out)["runs"][-1]
            assert last["status"] == "partial" or ("--judge" in args and last["judge"] is None)  # it was judging
    assert stops
    assert whole(here, step) == undisturbed
    sent = len(here.server.seen) - before
    assert ideal <= sent <= ideal + stops * WIDTH * 2  # in flight, or come and not yet on the disk
    assert whole(here, step) == undisturbed
    assert len(here.server.seen) - before == sent  # a finished run asks nothing


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "points", "number"),
    [
        ("forks", [9], signal.SIGKILL),
        ("forks", [4, 4], signal.SIGINT),
        ("forks", [9], signal.SIGTERM),
        ("memalpha", [7] * 12, signal.SIGKILL),
        ("judged", [3, 5], signal.SIGINT),
    ],
)
def test_stopped(here: Place, name: str, points: list[int], number: signal.Signals) -> None:
    stopped_again(here, COMMANDS[name], points, number)


@pytest.mark.long
@pytest.mark.parametrize("after", [1, 2, 3, 4, 5, 6, 8, 10, 12, 14, 16, 19, 22, 25, 28])
@pytest.mark.parametrize("name", ["forks", "memalpha"])
def test_killed_at_one_point(here: Place, name: str, after: int) -> None:
    stopped_again(here, COMMANDS[name], [after], signal.SIGKILL)


@pytest.mark.long
@pytest.mark.parametrize("step", [2, 5, 7])
@pytest.mark.parametrize("name", list(COMMANDS))
def test_killed_again_and_again(here: Place, name: str, step: int) -> None:
    stopped_again(here, COMMANDS[name], [step] * 12, signal.SIGKILL)


@pytest.mark.long
@pytest.mark.parametrize("after", [1, 4, 11])
@pytest.mark.parametrize("name", list(COMMANDS))
def test_interrupted_again(here: Place, name: str, after: int) -> None:
    stopped_again(here, COMMANDS[name], [after, after], signal.SIGINT)


@pytest.mark.parametrize(
    "after", [pytest.param(5, marks=pytest.mark.slow), *(pytest.param(n, marks=pytest.mark.long) for n in (1, 9, 13))]
)
def test_a_judge_killed_and_asked_again(here: Place, after: int) -> None:
    """`score` goes on where it was: verdicts that are there are not asked for again."""
    whole(here, Step(f"run --agent recent --task judged {END}"))
    path = json.loads(here.run(Step(f"run --agent recent --task judged {END}"))[1])["runs"][0]["path"]
    step = Step(f"score {path} --judge j@{{url}} --quiet --no-cache --concurrency {WIDTH}")
    before, here.server.settle = len(here.server.seen), 1.0
    assert here.run(step, stop=(after, signal.SIGKILL))[0] == -signal.SIGKILL
    assert here.run(step)[0] == 0
    asked = len({str(sent["messages"]) for sent in here.server.seen[before:]})
    assert asked <= len(here.server.seen) - before <= asked + WIDTH
