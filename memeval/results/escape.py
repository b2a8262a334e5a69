"""Escape text of models, data sets and users for the format that it is written in.

A text may hold anything: markup, a terminal's escape codes, characters that change the reading direction, a spreadsheet's
formula. Each function returns a text that shows the same characters and cannot end its cell, line or element.
"""

from __future__ import annotations

import re
import unicodedata

_JOINERS = "\u200c\u200d"  # Persian and Indic spelling and emoji need them
_LATEX = {
    "\\": r"\textbackslash{}",
    "{": r"\{",
    "}": r"\}",
    "&": r"\&",
    "%": r"\%",
    "$": r"\$",
    "#": r"\#",
    "_": r"\_",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    "`": r"\textasciigrave{}",
    "[": "{[}",  # behind the \\ of the row before, [ and * would be its arguments
    "]": "{]}",
    "*": "{*}",
}
_MARKDOWN = re.compile(r"[\\`*_\[\]~|$#]")
_MARKDOWN_START = re.compile(r"^(\d{1,9}(?=[.)](\s|$))|(?=[-+=][-+=\s]))")  # a list, a rule or a heading
_LINK = re.compile(r"(?i)(?<=www)\.|:(?=//)")
_ENTITIES = {"&": "&amp;", "<": "&lt;", ">": "&gt;"}
_NUMBER = re.compile(r"[-+]?\d+(\.\d+)?(e[-+]?\d+)?", re.ASCII | re.IGNORECASE)
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")


def plain(text: str) -> str:
    """The text in one line. Control characters and line ends become spaces; invisible characters, such as those that change
    the reading direction, are left out; half a surrogate pair becomes U+FFFD."""
    return "".join(map(_shown, text))


def _shown(character: str) -> str:
    match unicodedata.category(character):
        case "Cc" | "Zl" | "Zp":
            return " "
        case "Cf":
            return character if character in _JOINERS else ""
        case "Cs":
            return "\ufffd"
    return character


def markdown(text: str) -> str:
    """Escape for a cell of a table or a paragraph, so that it shows as plain text, without markup, links or HTML."""
    escaped = "".join(_ENTITIES.get(character, character) for character in plain(text).strip())
    escaped = _LINK.sub(r"\\\g<0>", _MARKDOWN.sub(r"\\\g<0>", escaped))
    return _MARKDOWN_START.sub(r"\1\\", escaped)


def latex(text: str) -> str:
    """Escape for the text of a LaTeX document or a cell of a table."""
    escaped = "".join(_LATEX.get(character, character) for character in plain(text).strip())
    return re.sub("-(?=-)", "-{}", escaped)  # two of them would be a dash


def csv_cell(text: str) -> str:
    """Escape for a cell that a CSV writer quotes: a ' goes before what a spreadsheet would run as a formula, except numbers.
    Line ends and tabs inside the text stay."""
    kept = "".join(character if character in "\n\r\t" else _shown(character) for character in text)
    formula = kept.lstrip(" ").startswith(_FORMULA) and not _NUMBER.fullmatch(kept)
    return f"'{kept}" if formula else kept
