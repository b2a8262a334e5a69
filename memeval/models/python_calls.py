"""Tool calls in Python's notation, `[f(a="b"), g(x=1)]`, as Llama and Gemma write them. Only literals are evaluated."""

from __future__ import annotations

import ast
import re
import warnings
from collections.abc import Mapping
from typing import Any

LONGEST = 32_768
"""Most characters that are parsed, because Python's parser is far slower than JSON's."""
_STRING_OR_BRACKET = re.compile(r"""(?:"(?:\\.|[^"\\])*"?|'(?:\\.|[^'\\])*'?)|[\[\](){}]""", re.DOTALL)
_JSON_WORDS = {"true": True, "false": False, "null": None}


def python_calls(text: str, names: Mapping[str, Mapping[str, Any]]) -> list[tuple[str, object]]:
    """(name, arguments) of the calls in a text that consists only of calls with literal arguments; else none. names:
    offered functions -> their parameters, which name arguments without a keyword. Never raises."""
    if len(text) > LONGEST or "(" not in text:
        return []
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about unknown escapes in strings
            tree = _JsonWords().visit(ast.parse(text.strip()))
        lines = [statement.value for statement in tree.body]
        nodes = [node for line in lines for node in (line.elts if isinstance(line, ast.List) else [line])]
        return [_call(node, names) for node in nodes]
    except (SyntaxError, ValueError, TypeError, AttributeError, RecursionError, MemoryError):
        return []


def _call(node: Any, names: Mapping[str, Mapping[str, Any]]) -> tuple[str, object]:
    """Read one call. Raises ValueError or AttributeError for anything but a call of literals."""
    name = ast.unparse(node.func)
    if name == "print" and len(node.args) == 1:
        return _call(node.args[0], names)
    if any(keyword.arg is None for keyword in node.keywords):
        raise ValueError("**arguments")
    given = dict(zip(names.get(name.rpartition(".")[2], {}), map(ast.literal_eval, node.args), strict=False))
    return name, given | {keyword.arg: ast.literal_eval(keyword.value) for keyword in node.keywords}


class _JsonWords(ast.NodeTransformer):
    """Replaces JSON's true, false and null by Python's constants."""

    def visit_Name(self, node: ast.Name) -> ast.expr:
        return ast.Constant(_JSON_WORDS[node.id]) if node.id in _JSON_WORDS else node


def bracket_end(text: str, start: int) -> int:
    """The position after the bracket that closes the one at `start`, or `start` if there is none within LONGEST
    characters."""
    depth = 0
    for found in _STRING_OR_BRACKET.finditer(text, start, start + LONGEST):
        depth += (found[0] in "[({") - (found[0] in "])}")
        if depth == 0 and found[0] in "])}":
            return found.end()
    return start
