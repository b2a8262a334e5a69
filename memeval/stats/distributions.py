"""The probability functions that the intervals need, in plain Python, because scipy is not a dependency.

All are accurate to about 1e-10; the tests compare them with scipy.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache
from statistics import NormalDist

NORMAL = NormalDist()
"""The standard normal distribution: `NORMAL.cdf`, `NORMAL.inv_cdf`."""


def beta_cdf(x: float, a: float, b: float) -> float:
    """The regularised incomplete beta function I_x(a, b), a > 0, b > 0.

    Continued fraction of DLMF 8.17.22, evaluated by the modified Lentz method; the symmetry I_x(a, b) = 1 - I_1-x(b, a)
    keeps it on the side where it converges fast.
    """
    if x <= 0.0:
        return 0.0
    if x >= 1.0:
        return 1.0
    if x > (a + 1.0) / (a + b + 2.0):
        return 1.0 - beta_cdf(1.0 - x, b, a)
    front = math.exp(
        math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(x) + b * math.log1p(-x) - math.log(a)
    )
    return front * _beta_fraction(x, a, b)


def _beta_fraction(x: float, a: float, b: float) -> float:
    tiny = 1e-300
    c, d = 1.0, 1.0 - (a + b) * x / (a + 1.0)
    d = 1.0 / (d if abs(d) > tiny else tiny)
    value = d
    for m in range(1, 100_000):
        for coefficient in (
            m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m)),
            -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1)),
        ):
            d = 1.0 + coefficient * d
            d = 1.0 / (d if abs(d) > tiny else tiny)
            c = 1.0 + coefficient / c
            c = c if abs(c) > tiny else tiny
            value *= c * d
        if abs(c * d - 1.0) < 1e-15:
            return value
    raise ArithmeticError(f"the incomplete beta function did not converge at x={x}, a={a}, b={b}")


def _root(rises: Callable[[float], float], low: float, high: float, steps: int) -> float:
    """The point where a rising function crosses zero, by bisection."""
    for _ in range(steps):
        middle = 0.5 * (low + high)
        if middle in (low, high):
            break
        if rises(middle) > 0.0:
            high = middle
        else:
            low = middle
    return 0.5 * (low + high)


@lru_cache(maxsize=4096)
def t_quantile(probability: float, df: float) -> float:
    """The quantile of Student's t with `df` degrees of freedom: t is below it with `probability`."""
    if not 0.0 < probability < 1.0 or df <= 0.0:
        raise ValueError(f"t_quantile: probability {probability} must lie inside (0, 1) and df {df} above 0")
    if probability < 0.5:
        return -t_quantile(1.0 - probability, df)
    tail = 1.0 - probability
    if tail == 0.5:
        return 0.0
    high = 2.0
    while 0.5 * beta_cdf(df / (df + high * high), 0.5 * df, 0.5) > tail:
        high *= 2.0
    return _root(lambda t: tail - 0.5 * beta_cdf(df / (df + t * t), 0.5 * df, 0.5), 0.0, high, 200)


def binomial_limits(successes: float, n: float, confidence: float = 0.95) -> tuple[float, float]:
    """Mid-P limits of a binomial proportion; `successes` and `n` > 0 need not be whole (an effective sample size).

    Clopper and Pearson's limits with half the probability of the observed count (Lancaster 1961; Berry and Armitage
    1995, The Statistician 44:417): close to nominal where Clopper-Pearson is too wide and the normal interval is
    empty. No success gives low = 0 and high = 1 - (1 - confidence) ** (1 / n).
    """
    tail = 0.5 * (1.0 - confidence)
    return _mid_p_low(successes, n, tail), 1.0 - _mid_p_low(n - successes, n, tail)


def _mid_p_low(successes: float, n: float, tail: float) -> float:
    if successes <= 0.0:
        return 0.0
    failures = max(n - successes, 0.0)

    def excess(rate: float) -> float:
        at_least = beta_cdf(rate, successes, failures + 1.0)
        more = beta_cdf(rate, successes + 1.0, failures) if failures > 0.0 else 0.0
        return 0.5 * (at_least + more) - tail

    return _root(excess, 0.0, 1.0, 40)
