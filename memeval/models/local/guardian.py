"""Runs one command and sees to it that the command does not outlive who asked for it. A program of its own:

    python -I guardian.py PARENT GRACE COMMAND [ARGUMENT ...]

It ends the command when it gets SIGTERM, and when process PARENT is no longer its parent: also after a SIGKILL, of which
nobody is told. SIGTERM goes to the whole process group, SIGKILL follows after GRACE seconds. The caller starts it in a
session of its own, so that the group is this program, the command and whatever the command started: the engine processes
of `vllm serve` survive a SIGKILL of their server, and keep the GPU (vllm-project/vllm issue 55510).
"""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import time

TICK = 0.1  # seconds
_PR_SET_PDEATHSIG = 1


def main(parent: int, grace: float, command: list[str]) -> int:
    """Returns the command's exit status (128 + signal where one ended it)."""
    asked = False

    def ask(number: int, frame: object) -> None:
        nonlocal asked
        asked = True

    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, ask)
    # the command dies with this program, should somebody kill it; safe here, where there is only one thread
    prctl = ctypes.CDLL(None).prctl if sys.platform == "linux" else None
    before = (lambda: prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)) if prctl is not None else None
    child = subprocess.Popen(command, stdin=subprocess.DEVNULL, preexec_fn=before)
    while child.poll() is None and not asked and os.getppid() == parent:
        time.sleep(TICK)
    if child.poll() is None:
        os.killpg(0, signal.SIGTERM)  # this program as well: it only takes note
        end = time.monotonic() + grace
        while child.poll() is None and time.monotonic() < end:
            time.sleep(TICK)
    status = child.poll()
    if status is None or os.getppid() != parent:
        os.killpg(0, signal.SIGKILL)  # with this program: it has nothing left to do
    return 0 if status is None else status if status >= 0 else 128 - status


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), float(sys.argv[2]), sys.argv[3:]))
