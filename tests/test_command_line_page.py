"""docs/command-line.md names every verb, flag, variable and key, and no flag that is not there."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
import yaml

from memeval import config
from memeval.cli import main
from memeval.models import prices

PAGE = (Path(__file__).parents[1] / "docs" / "command-line.md").read_text(encoding="utf-8")


def verbs(command: click.Command = main, name: tuple[str, ...] = ()) -> Iterator[tuple[str, click.Command]]:
    if isinstance(command, click.Group):
        for verb, inner in command.commands.items():
            yield from verbs(inner, (*name, verb))
    else:
        yield " ".join(name), command


VERBS = dict(verbs())


def flags(command: click.Command) -> set[str]:
    return {name for parameter in command.params if isinstance(parameter, click.Option) for name in parameter.opts}


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_and_flag_is_on_the_page(verb: str) -> None:
    group, _, last = verb.rpartition(" ")
    assert re.search(rf"`{group} {last}" if group else rf"\[`{last}[`, ]|, `{last}`", PAGE), verb
    assert {flag for flag in flags(VERBS[verb]) if not re.search(rf"{flag}(?![\w-])", PAGE)} == set()


def test_no_other_flag_is_on_the_page() -> None:
    known = {flag for command in VERBS.values() for flag in flags(command)} | {"--help", "--version"}
    assert set(re.findall(r"(?<![\w-])--[a-z][a-z-]*", PAGE)) <= known


def test_variables_and_keys_are_on_the_page() -> None:
    assert {name for name in (*config.VARIABLES, *config.KEYS) if f"`{name}`" not in PAGE} == set()


def test_the_example_of_prices_is_read(tmp_path: Path) -> None:
    (example,) = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
    (tmp_path / "memeval.yaml").write_text(example)
    found = prices.configured(tmp_path / "memeval.yaml")
    assert set(found) == set(yaml.safe_load(example)["prices"])
