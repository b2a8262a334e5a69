"""Typed fields of records from anywhere."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest

from memeval.datafiles import fields
from memeval.datafiles.literals import literal
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
    (fields.whole_field, "seven", 7),
    (fields.whole_field, "digits", 7),
    (fields.id_field, "below", "-7"),
    (fields.id_field, "text", "x"),
    (fields.id_field, "missing", None),
    (fields.list_field, "mixed", ["a", 1]),
    (fields.texts_field, "list", ["a", "b"]),
    (fields.answer_field, "seven", "7"),
    (fields.answer_field, "text", "x"),
]


@pytest.mark.parametrize(("field", "key", "value"), TAKEN)
def test_what_is_taken(field: Callable[..., Any], key: str, value: Any) -> None:
    assert field(ROW, key, "here") == value


REFUSED: list[tuple[Callable[..., Any], str, str]] = [
    (fields.text_field, "nan", "'nan' is nan, expected text"),
    (fields.text_field, "blank", "'blank' is blank"),
    (fields.text_field, "null", "'null' is None"),
    (fields.text_field, "missing", "no field 'missing' (it has text, blank, "),
    (fields.optional_text, "seven", "'seven' is 7, expected text"),
    (fields.whole_field, "below", "'below' is '-7', expected a whole number"),
    (fields.whole_field, "true", "'true' is 'True', expected a whole number"),
    (fields.whole_field, "sign", "'sign' is '+7', expected a whole number"),
    (fields.whole_field, "many", "expected a whole number"),
    (fields.whole_field, "missing", "no field 'missing'"),
    (fields.id_field, "true", "'true' is True, expected text"),
    (fields.list_field, "text", "'text' is str, expected a list"),
    (fields.list_field, "missing", "'missing' is missing, expected a list"),
    (fields.texts_field, "mixed", "'mixed[1]' is 1, expected text"),
    (fields.answer_field, "nan", "'nan' is nan, expected text"),
    (fields.answer_field, "true", "'true' is True, expected text"),
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
    assert fields.object_at(ROW, "here") is ROW
    assert fields.known_object({"a": 1}, "a unit", ("a", "b"), "here") == {"a": 1}
    with pytest.raises(UsageError, match="here: expected an object with named fields, found list"):
        fields.object_at([ROW], "here")
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
    assert literal("['a', 1]", 7) is None
    for text in ("__import__('os').listdir('.')", "[1", "[" * 5000, "\ud800", "{[]: 1}", ""):
        assert literal(text, 10_000) is None
