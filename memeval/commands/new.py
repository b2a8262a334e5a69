"""`memeval new agent|task NAME`: write starter files that run as they are, and print the commands to type next."""

from __future__ import annotations

import re
from pathlib import Path

from memeval.errors import UsageError, suggest

TEMPLATES = Path(__file__).resolve().parent.parent / "_data" / "new"
WHAT = ("agent", "task")


def new_command(what: str, name: str) -> str:
    """Write the files into the working directory. Returns the commands to type next. Raises UsageError where a file
    exists."""
    if what not in WHAT:
        raise UsageError(f"memeval new {what}: unknown kind{suggest(what, WHAT)} (one of {', '.join(WHAT)})")
    base = name.removesuffix(".py").removesuffix(".yaml")
    if not base.replace("-", "_").isidentifier():
        raise UsageError(f"memeval new {what} {name}: expected a name of letters, digits, - and _, such as my_{what}")
    if what == "agent":
        base = base.replace("-", "_")  # a module's name
        made = "".join(part[:1].upper() + part[1:] for part in base.split("_"))
        files = {f"{base}.py": "agent.txt"}
        agent = f"{base}.py:{made}"
        commands = [
            f"memeval run --agent {agent} --task synth-10k --limit 8 --model offline",
            f"memeval check --agent {agent}",
        ]
    else:
        made = base
        files = {f"{base}.yaml": "task.yaml", f"{base}.jsonl": "task.jsonl"}
        commands = [
            f"memeval data verify {base}.yaml",
            f"memeval run --agent bm25 --agent none --agent oracle --task {base}.yaml --model offline",
        ]
    texts = {Path(file): (TEMPLATES / template).read_text(encoding="utf-8") for file, template in files.items()}
    for path in texts:
        if path.exists() or path.is_symlink():
            raise UsageError(f"{path}: exists already; choose another name, or move it away")
    for path, text in texts.items():
        try:
            with path.open("x", encoding="utf-8") as file:
                file.write(re.sub(r"\bCLASS\b|\bNAME\b", made, text))
        except OSError as error:
            raise UsageError(f"{path}: cannot be written ({error.strerror})") from None
    return "\n".join([f"wrote {', '.join(files)}; next:", *(f"  {command}" for command in commands)])
