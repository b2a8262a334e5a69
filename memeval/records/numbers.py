"""Format numbers for tables, lines and notes. An unknown number is `-`.

Scores are fractions and are shown in percent; differences of scores in points.
"""

from __future__ import annotations


def percent(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.1f}"


def percents(low: float | None, high: float | None) -> str:
    """An interval of a score."""
    return "-" if low is None else f"{percent(low)} to {percent(high)}"


def points(difference: float) -> str:
    return f"{100 * difference:+.1f}"


def between(low: float, high: float) -> str:
    """An interval of a difference."""
    return f"{points(low)} to {points(high)}"


def p_text(p: float) -> str:
    return "< .0001" if p < 0.0001 else f"{p:.4f}".lstrip("0") if p < 1 else "1"


def count(tokens: float | None) -> str:
    return "-" if tokens is None else f"{tokens:,.0f}"


def amount(value: float) -> str:
    """A number of any unit: without decimals from 100 on, else with three significant digits."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def money(usd: float | None) -> str:
    """USD with three significant digits, from 10 on with two decimals."""
    if usd is None:
        return "-"
    return f"{usd:,.2f}" if usd >= 10 else f"{usd:.3g}" if usd >= 0.001 or not usd else f"{usd:.1e}"
