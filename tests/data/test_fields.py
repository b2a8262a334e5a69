"""Fields of published records."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from memeval.data.fields import literal, published
from memeval.errors import UsageError


def test_literals_are_read_and_never_evaluated() -> None:
    assert literal("['a', 1]") == ["a", 1]
    for text in ("__import__('os').listdir('.')", "[1", "[" * 5000, "\ud800", "{[]: 1}", ""):
        with pytest.raises(ValueError, match="is no Python literal"):
            literal(text)


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
