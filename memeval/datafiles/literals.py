"""Python literals that data sets hold as text. They are read as literals and never evaluated."""

from __future__ import annotations

import ast


def literal(text: str, most: int) -> object:
    """What the text says; None for what is no literal, too deep, or longer than `most` characters."""
    if len(text) > most:
        return None
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        return None
