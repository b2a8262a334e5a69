"""Run one command, and end it when the process that started it ends. This file is a program of its own:

    python -I guardian.py PARENT GRACE COMMAND [ARGUMENT ...]

It ends the command when it gets SIGTERM, and when process PARENT is no longer its parent, which shows that PARENT was
killed. SIGTERM goes to the whole process group, SIGKILL follows after GRACE seconds. The caller starts it in its own
session, so the group consists of this program, the command and everything that the command started: the engine
processes of `vllm serve` survive a SIGKILL of their server and keep the GPU (vllm-project/vllm issue 55510).
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
    """Run the command; returns its exit status (128 + signal if a signal ended it)."""
    ending = False

    def end_command(number: int, frame: object) -> None:
        nonlocal ending
        ending = True

    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, end_command)
    # the kernel kills the command if this program is killed; preexec_fn is safe with only one thread
    prctl = ctypes.CDLL(None).prctl if sys.platform == "linux" else None
    before = (lambda: prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)) if prctl is not None else None
    child = subprocess.Popen(command, stdin=subprocess.DEVNULL, preexec_fn=before)
    while child.poll() is None and not ending and os.getppid() == parent:
        time.sleep(TICK)
    if child.poll() is None:
        os.killpg(0, signal.SIGTERM)  # this program gets it too and only sets a flag
        end = time.monotonic() + grace
        while child.poll() is None and time.monotonic() < end:
            time.sleep(TICK)
    status = child.poll()
    if status is None or os.getppid() != parent:
        os.killpg(0, signal.SIGKILL)  # including this program
    return 0 if status is None else status if status >= 0 else 128 - status


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), float(sys.argv[2]), sys.argv[3:]))
