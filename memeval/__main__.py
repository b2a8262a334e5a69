"""`python -m memeval`."""

from memeval.cli import main

main(prog_name="memeval")
