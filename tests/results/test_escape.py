"""Whatever a text holds, its cell stays one cell, shows the same characters and runs nothing."""

from __future__ import annotations

import csv
import io
import re
import unicodedata
from html.parser import HTMLParser

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from markdown_it.token import Token

from memeval.results.escape import csv_cell, latex, markdown, plain
from memeval.results.grid import FORMS, Form, Grid, render

SAMPLED = settings(max_examples=60, deadline=None, derandomize=True)
SPECIALS = "|`*_[]()<>&#!~$%{}\\^\"'=+-@\t\r\n\x00\x1b\x9b\u202e\u2066\u200b\ufeff\u2028:/.w1 "
texts = st.one_of(st.text(alphabet=SPECIALS, max_size=12), st.text(max_size=12))
HOSTILE = [
    "a|b",
    "\\|",
    "a\\",
    "`code|more`",
    "<script>alert(1)</script>",
    "![x](http://evil/x.png)",
    "https://evil.example/?a=1",
    "www.evil.example",
    "&lt;b&gt;",
    "$x$",
    "\\input{/etc/passwd}",
    "[1em]x",
    "a--b",
    "=cmd|' /C calc'!A0",
    "\u202eevil",
    "\x1b[31mred",
    "line\nbreak",
    "---",
    "1. one",
    "\ud800",
]


def visible(text: str) -> str:
    """What a page shows of a text: runs of white space are one space."""
    return re.sub(r"\s+", " ", plain(text)).strip()


def cells_of_markdown(text: str) -> list[list[str]]:
    """The cells of the only table of a Markdown text, as an independent parser shows them. Fails where a cell holds anything
    but text."""
    tokens = MarkdownIt("commonmark", {"linkify": False}).enable("table").parse(text)
    rows: list[list[str]] = []
    for token in tokens:
        if token.type == "tr_open":
            rows.append([])
        elif token.type == "inline" and rows:
            rows[-1].append(only_text(token))
    return rows


def only_text(token: Token) -> str:
    children = token.children or []
    assert {child.type for child in children} <= {"text", "text_special"}, [child.type for child in children]
    return "".join(child.content for child in children)


@SAMPLED
@given(texts, texts)
@example("a|b", "\\|")
@example("\\", "`")
def test_a_cell_of_markdown_is_read_back(first: str, second: str) -> None:
    grid = Grid(columns=("name", "what"), rows=((first or "x", second or "y"), ("last", "row")))
    rows = cells_of_markdown(render(grid, "md"))
    found = [[visible(cell) for cell in row] for row in rows]
    assert found == [["name", "what"], [visible(first or "x"), visible(second or "y")], ["last", "row"]]


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_text_in_markdown(text: str) -> None:
    assert visible(cells_of_markdown(f"| a | b |\n|---|---|\n| {markdown(text)} | z |")[1][0]) == visible(text)
    assert not re.search(r"(?<!\\)://|\bwww\.", markdown(text))  # GitHub makes links of these


@SAMPLED
@given(texts)
@example("---")
@example("# title")
@example("10) ten")
def test_a_note_in_markdown_is_a_paragraph_of_text(text: str) -> None:
    tokens = MarkdownIt("commonmark").enable("table").parse(f"- x{markdown(text)}\n\n{markdown('p' + text)}")
    assert [token.type for token in tokens if token.type.endswith("_open")] == [
        "bullet_list_open",
        "list_item_open",
        "paragraph_open",
        "paragraph_open",
    ]


@pytest.mark.parametrize("text", ["---", "# title", "1. one", "10) ten", "- item", "+ item", "> quote", "==="])
def test_a_text_that_begins_a_line_of_markdown_is_no_block(text: str) -> None:
    tokens = MarkdownIt("commonmark").enable("table").parse(markdown(text))
    assert [token.type for token in tokens] == ["paragraph_open", "inline", "paragraph_close"]
    assert only_text(tokens[1]) == text


def spreadsheet_runs(cell: str) -> bool:
    """A formula, as a spreadsheet decides it. A number is none."""
    if re.fullmatch(r"[-+]?[0-9]+(\.[0-9]+)?([eE][-+]?[0-9]+)?", cell):
        return False
    return cell.lstrip(" ")[:1] in set("=+-@\t\r\n＝＋－＠")


@SAMPLED
@given(texts, texts)
@example("=1+1", "\t=1")
@example("-1", "-1-1")
@example(" =1", 'a";=1')
def test_a_cell_of_csv_is_read_back_and_runs_nothing(first: str, second: str) -> None:
    text = render(Grid(columns=("a", "b", "n"), rows=((first, second, -3.5),)), "csv")
    header, row = csv.reader(io.StringIO(text, newline=""))
    assert header == ["a", "b", "n"]
    assert row[2] == "-3.5"
    for cell, given_text in zip(row, (first, second), strict=False):
        assert not spreadsheet_runs(cell)
        assert cell.removeprefix("'") in (csv_cell(given_text).removeprefix("'"), csv_cell(given_text))
        assert "\x1b" not in cell
        assert "\u202e" not in cell


@pytest.mark.parametrize(
    ("text", "cell"),
    [("=A1", "'=A1"), ("-1.5", "-1.5"), ("+1e3", "+1e3"), ("-1-1", "'-1-1"), ("@x", "'@x"), ("a\nb", "a\nb"), ("ok", "ok")],
)
def test_what_a_csv_cell_becomes(text: str, cell: str) -> None:
    assert csv_cell(text) == cell


@SAMPLED
@given(texts)
def test_latex_is_balanced_and_has_no_command_of_the_text(text: str) -> None:
    escaped = latex(text)
    bare = re.sub(r"\\[\\{}&%$#_]", "", escaped)
    assert bare.count("{") == bare.count("}")
    known = r"textbackslash|textasciitilde|textasciicircum|textless|textgreater|textbar|textasciigrave"
    assert not re.search(r"\\", re.sub(rf"\\({known})\{{\}}", "", bare))
    assert not re.search(r"[&%$#_~^<>|`]", re.sub(rf"\\({known})\{{\}}", "", bare))
    assert not re.match(r"[\[*]", escaped)
    assert "--" not in escaped


@SAMPLED
@given(st.lists(texts, min_size=2, max_size=2))
def test_every_row_of_latex_has_its_cells(cells: list[str]) -> None:
    text = render(Grid(title=cells[0], columns=("a", "b"), rows=(tuple(cells),), notes=(cells[1],)), "latex")
    rows = [line for line in text.splitlines() if line.endswith(r" \\")]
    assert [len(re.findall(r"(?<!\\)&", row)) for row in rows] == [1, 1]
    assert len(text.splitlines()) == 11 + bool(cells[0])


class Elements(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[str] = []
        self.cells: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        if tag in ("td", "th"):
            self.cells.append("")

    def handle_data(self, data: str) -> None:
        if self.tags and self.tags[-1] in ("td", "th"):
            self.cells[-1] += data


@SAMPLED
@given(texts, texts)
def test_html_has_no_element_of_the_text(first: str, second: str) -> None:
    parsed = Elements()
    parsed.feed(render(Grid(title=second, columns=("a",), rows=((first,),), notes=(second,)), "html"))
    assert set(parsed.tags) <= {"figure", "figcaption", "table", "thead", "tbody", "tr", "th", "td", "ul", "li"}
    assert visible(parsed.cells[1]) == (visible(first) if first else "-")


@SAMPLED
@given(texts)
@pytest.mark.parametrize("form", ["table", "md", "latex", "html"])
def test_no_control_or_direction_character_is_printed(form: Form, text: str) -> None:
    shown = render(Grid(title=text, columns=("a", "b"), rows=((text, text),), notes=(text,)), form)
    assert {unicodedata.category(character) for character in shown.replace("\n", "")} & {"Cc", "Cs", "Zl", "Zp"} == set()
    assert not set("\u202a\u202b\u202d\u202e\u2066\u2067\u2068\u200e\u200f\u061c\u200b\ufeff") & set(shown)


@pytest.mark.parametrize("form", FORMS)
def test_a_table_without_rows_in_every_form(form: Form) -> None:
    assert "agent" in render(Grid(columns=("agent", "f1"), rows=()), form) or form == "json"
