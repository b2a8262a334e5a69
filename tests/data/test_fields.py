"""Typed fields of records from anywhere."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest

from memeval.data import fields
from memeval.data.fields import literal, published
from memeval.errors import UsageError

ROW: dict[str, Any] = {
    **{"text": " x ", "blank": "  ", "null": None, "nan": float("nan"), "true": True, "seven": 7, "below": -7},
    **{"digits": "07", "sign": "+7", "many": "9" * 13, "list": [" a ", "b"], "mixed": ["a", 1], "object": {"a": 1}},
}

TAKEN: list[tuple[Callable[..., Any], str, Any]] = [
    (fields.text_field, "text", "x"),
    (fields.optional_text, "text", "x"),
    (fields.optional_text, "blank", None),
    (fields.optional_text, "null", None),
    (fields.optional_text, "missing", None),
    (fields.id_field, "below", "-7"),
    (fields.id_field, "text", "x"),
    (fields.id_field, "missing", None),
    (fields.list_field, "mixed", ["a", 1]),
]


@pytest.mark.parametrize(("field", "key", "value"), TAKEN)
def test_what_is_taken(field: Callable[..., Any], key: str, value: Any) -> None:
    assert field(ROW, key, "here") == value


REFUSED: list[tuple[Callable[..., Any], str, str]] = [
    (fields.text_field, "nan", "'nan' is nan, expected text"),
    (fields.text_field, "blank", "'blank' is '  '"),
    (fields.text_field, "null", "'null' is None"),
    (fields.text_field, "missing", "no field 'missing' (it has text, blank, "),
    (fields.optional_text, "seven", "'seven' is 7, expected text"),
    (fields.id_field, "true", "'true' is True, expected text"),
    (fields.list_field, "text", "'text' is str, expected a list"),
    (fields.list_field, "missing", "'missing' is missing, expected a list"),
]


@pytest.mark.parametrize(("field", "key", "message"), REFUSED)
def test_what_is_refused(field: Callable[..., Any], key: str, message: str) -> None:
    with pytest.raises(UsageError, match=f"^here: .*{re.escape(message)}"):
        field(ROW, key, "here")


def test_a_text_may_be_blank_where_that_is_allowed() -> None:
    assert fields.text_field(ROW, "blank", "here", blank=True) == ""


def test_ranges_of_whole_numbers() -> None:
    assert [fields.is_whole(value, most=2) for value in (-1, 0, 2, 3)] == [False, True, True, False]
    assert [fields.is_whole(value, 1) for value in (0, 1, 10**9)] == [False, True, True]
    assert fields.is_whole(-1, None)
    assert not any(fields.is_whole(value, None) for value in (True, 1.0, "1", None))


def test_objects() -> None:
    assert fields.known_object({"a": 1}, "a unit", ("a", "b"), "here") == {"a": 1}
    with pytest.raises(UsageError, match="here: a unit is list, expected a JSON object"):
        fields.known_object([], "a unit", ("a",), "here")
    with pytest.raises(UsageError, match="here: unknown key 'txt'; did you mean 'text'"):
        fields.known_object({"txt": 1}, "a unit", ("text",), "here")


def test_a_key_of_two_names() -> None:
    assert [fields.either(row, "a", "b", "here") for row in ({"a": 1}, {"b": 2}, {})] == [1, 2, None]
    with pytest.raises(UsageError, match="here: has both 'a' and 'b'; keep one"):
        fields.either({"a": 1, "b": None}, "a", "b", "here")


def test_literals_are_read_and_never_evaluated() -> None:
    assert literal("['a', 1]", 8) == ["a", 1]
    for text in ("['a', 1]", "__import__('os').listdir('.')", "[1", "[" * 5000, "\ud800", "{[]: 1}", ""):
        with pytest.raises(ValueError, match="is no Python literal of at most"):
            literal(text, 7 if text == "['a', 1]" else 10_000)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (lambda: {}["title"], "here: not as published (no field 'title'); fetch the file again"),
        (lambda: [][0], "here: not as published (list index out of range); fetch the file again"),
        (lambda: None.strip(), "here: not as published ('NoneType' object has no attribute 'strip'); fetch the file again"),
        (
            lambda: int("x\ny"),
            "here: not as published (invalid literal for int() with base 10: 'x\\ny'); fetch the file again",
        ),
    ],
)
def test_one_wrapper_names_the_record_of_a_published_file(wrong: Callable[[], Any], message: str) -> None:
    with pytest.raises(UsageError) as caught, published("here"):
        wrong()
    assert str(caught.value) == message
