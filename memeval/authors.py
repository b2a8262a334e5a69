"""Prompt texts of an agent's authors, downloaded from their public repository into the user's folder.

A set of prompts may have `upstream.yaml`: repository, commit, the sha256 of each file, and for each part the rules that
extract its texts from these files. No downloaded code runs: Python is parsed into a syntax tree, YAML is read by a safe
loader. A rule:

- `file`, `in`, `name`, `nth`: in a class or function (`Memory._block`; else the whole file), the nth text (from 0, in the
  order of the source) that is assigned to `name`, is appended to it, is the argument of that name in a call or an argument
  of the call of that name, or is returned (`return`). A text is a string, an f-string, a sum with one of them, or an item of
  a list of such. `template`: it is a template of `str.format`.
- `file`, `key`: the text under a key of a YAML file, a template of `str.format`. As `each` of a part: name -> the text
  under that key in each mapping of the file that has one.
- `holes`: expression in the braces of an f-string or a template (or added to a string) -> its replacement: a placeholder,
  a word, or the text of another rule. `line`: only this line of the text (from 1). `fixed`: exactly this text.

`text` is the only rule of a part that is one text. A part equals upstream's texts if its digest is that of `sha256`. A
part without rules is not used by upstream's texts.
"""

from __future__ import annotations

import ast
import functools
import hashlib
import itertools
import json
import string
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from memeval.data import upstream
from memeval.data.fetch import Say
from memeval.data.upstream import Pinned
from memeval.errors import UsageError
from memeval.prompts import FOLDER, literal, parts
from memeval.typed import typed
from memeval.yamlfile import mapping, read_yaml

_ADDING = ("append", "extend")


class Rule(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename={"scope": "in"}):
    """How to extract one text from a file (see above)."""

    file: str = ""
    scope: str = ""
    name: str = ""
    nth: int = 0
    key: str = ""
    template: bool = False
    holes: dict[str, str | Rule] = {}
    line: int = 0
    fixed: str | None = None


class Upstream(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`upstream.yaml` of a set. files: path -> sha256. parts: part -> name of a text -> rule. sha256: part -> digest of
    the extracted texts."""

    repository: str
    commit: str
    licence: str
    files: dict[str, str]
    parts: dict[str, dict[str, Rule]]
    sha256: dict[str, str] = {}


@dataclass(frozen=True, slots=True)
class Fetched:
    """The result of `fetch`. card: the agent's card that uses the texts; files: in its folder, including the card."""

    card: Path
    files: tuple[str, ...]
    source: str
    licence: str


@functools.cache
def upstream_of(name: str) -> Upstream | None:
    """The upstream of a set; None if its texts cannot be downloaded."""
    path = FOLDER / name / "upstream.yaml"
    return typed(read_yaml(path), Upstream, str(path)) if name and path.is_file() else None


def is_authors(name: str, part: str, text: str) -> bool:
    """Whether a text of a part of a set is the authors' own."""
    pinned = upstream_of(name)
    sha256 = pinned.sha256.get(part) if pinned else None
    return sha256 is not None and part_digest(text, parts(name)[part].several) == sha256


def part_digest(text: str, several: bool) -> str:
    """sha256 (hex) of a part: of its text, or of its texts by name."""
    said = json.dumps(mapping(text, "a prompt file"), ensure_ascii=False, sort_keys=True) if several else text
    return hashlib.sha256(said.encode()).hexdigest()


def fetch(pinned: Upstream, out: Path, card: str, say: Say) -> Fetched:
    """Write the texts of an agent's authors into a folder, with a card of the agent `card` that uses them. say:
    receives a line for each file. MEMEVAL_UPSTREAM names a mirror (data/upstream.py).

    Raises UsageError, with nothing written, if a file cannot be downloaded or is not the pinned one, or if a rule does
    not find its text.
    """
    sources = [Pinned(pinned.repository, pinned.commit, path, sha256) for path, sha256 in pinned.files.items()]
    contents = {source.path: upstream.get(source, say).read_text(encoding="utf-8") for source in sources}
    made = {part: _made(part, rules, contents) for part, rules in pinned.parts.items()}
    source = f"https://github.com/{pinned.repository} at {pinned.commit}"
    files = {f"{part}.{'yaml' if isinstance(text, dict) else 'txt'}": _written(text) for part, text in made.items()}
    using = {"name": card, "extends": card, "prompts": {file.partition(".")[0]: file for file in files}}
    files["card.yaml"] = f"# Prompts of {source} ({pinned.licence}).\n{_yaml(using)}"
    for file, text in files.items():
        if (out / file).exists() and (out / file).read_text(encoding="utf-8", errors="replace") != text:
            raise UsageError(f"{out / file}: exists and differs; choose another folder")
    try:
        out.mkdir(parents=True, exist_ok=True)
        for file, text in files.items():
            (out / file).write_text(text, encoding="utf-8")
    except OSError as error:
        raise UsageError(f"{out}: cannot be written ({error.strerror or error})") from None
    return Fetched(out / "card.yaml", tuple(files), source, pinned.licence)


def _made(part: str, rules: Mapping[str, Rule], contents: Mapping[str, str]) -> str | dict[str, str]:
    """A part's text, or its texts by name."""
    if "each" in rules:
        rule = rules["each"]
        entries = mapping(contents[rule.file], rule.file)
        return {
            name: entry[rule.key].strip()
            for name, entry in entries.items()
            if isinstance(entry, Mapping) and isinstance(entry.get(rule.key), str)
        }
    texts = {name: _text(rule, contents, f"{part}: {name}") for name, rule in rules.items()}
    return texts["text"].strip() if list(rules) == ["text"] else texts


def _text(rule: Rule, contents: Mapping[str, str], where: str) -> str:
    if rule.fixed is not None:
        return rule.fixed
    place = f"{rule.file}: {where}"
    if rule.key:
        found = mapping(contents[rule.file], rule.file).get(rule.key)
        if not isinstance(found, str):
            raise UsageError(f"{place}: has no text '{rule.key}'")
        pieces = _formatted(found)
    else:
        texts = sorted(_given(_scope(contents[rule.file], rule.scope, place), rule.name), key=_place)
        if rule.nth >= len(texts):
            scope = rule.scope or "the file"
            raise UsageError(f"{place}: {scope} has {len(texts)} texts for '{rule.name}', not {rule.nth + 1}")
        pieces = _pieces(texts[rule.nth])
        if rule.template:
            pieces = _formatted("".join(piece for _, piece in pieces))
    text = ""
    for is_hole, run in itertools.groupby(pieces, key=lambda piece: piece[0]):
        said = [piece for _, piece in run]
        if not is_hole:
            text += literal("".join(said))
            continue
        for held in said:
            if held not in rule.holes:
                raise UsageError(f"{place}: nothing is known about {held!r} in it")
            put = rule.holes[held]
            text += put if isinstance(put, str) else _text(put, contents, where)
    return text.split("\n")[rule.line - 1] if rule.line else text


_Piece = tuple[bool, str]
"""(whether the piece comes from braces, its text)"""


def _formatted(template: str) -> Iterator[_Piece]:
    """The pieces of a template of `str.format`."""
    for before, field, _, _ in string.Formatter().parse(template):
        yield False, before
        if field is not None:
            yield True, field


def _scope(source: str, dotted: str, where: str) -> ast.AST:
    """The class or function of that dotted name, or the file."""
    node: ast.AST = ast.parse(source)
    for name in dotted.split(".") if dotted else ():
        kinds = (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
        inner = [each for each in ast.iter_child_nodes(node) if isinstance(each, kinds) and each.name == name]
        if not inner:
            raise UsageError(f"{where}: has no {dotted}")
        node = inner[0]
    return node


def _given(scope: ast.AST, name: str) -> Iterator[ast.expr]:
    """The texts that are assigned or passed to a name, in any order."""
    for node in ast.walk(scope):
        values: list[ast.expr | None] = []
        if isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            values = [node.value] if name in map(_named, targets) else []
        elif isinstance(node, ast.Return) and name == "return":
            values = [node.value]
        elif isinstance(node, ast.Call):
            values = [keyword.value for keyword in node.keywords if keyword.arg == name]
            added_to = node.func.value if isinstance(node.func, ast.Attribute) and node.func.attr in _ADDING else None
            values += node.args if name in (_named(node.func), _named(added_to)) else []
        for value in values:
            for each in value.elts if isinstance(value, ast.List) else [value]:
                if each is not None and _is_text(each):
                    yield each


def _named(node: ast.expr | None) -> str:
    return node.id if isinstance(node, ast.Name) else node.attr if isinstance(node, ast.Attribute) else ""


def _is_text(node: ast.expr) -> bool:
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        return _is_text(node.left) or _is_text(node.right)
    return isinstance(node, ast.JoinedStr) or (isinstance(node, ast.Constant) and isinstance(node.value, str))


def _pieces(node: ast.expr) -> Iterator[_Piece]:
    """The pieces of a text."""
    if isinstance(node, ast.Constant):
        yield False, str(node.value)
    elif isinstance(node, ast.JoinedStr):
        for value in node.values:
            yield from _pieces(value)
    elif isinstance(node, ast.BinOp) and _is_text(node):
        yield from _pieces(node.left)
        yield from _pieces(node.right)
    else:
        yield True, ast.unparse(node.value if isinstance(node, ast.FormattedValue) else node)


def _place(node: ast.expr) -> tuple[int, int]:
    return node.lineno, node.col_offset


def _written(text: str | dict[str, str]) -> str:
    return _yaml(text) if isinstance(text, dict) else f"{text}\n"


def _yaml(data: Mapping[str, Any]) -> str:
    import yaml

    written: str = yaml.safe_dump(dict(data), allow_unicode=True, sort_keys=False, width=120)
    return written
