"""What a sample of n questions can show, computed before anything is run."""

from __future__ import annotations

import math

from memeval.errors import UsageError
from memeval.stats.distributions import NORMAL


def detectable_effect(n: int, discordant: float = 0.2, power: float = 0.8, alpha: float = 0.05) -> float:
    """The smallest paired difference (a fraction: 0.11 = 11 points) that n questions detect with `power`, two-sided.

    (z_{1-alpha/2} + z_power) * sqrt(discordant / n), for McNemar's test where a share `discordant` of the pairs is unequal
    (Connor 1987, Biometrics 43:207, with the null variance throughout). With 20 % discordant pairs, n = 32 detects 22
    points, 128 detects 11, 512 detects 5.5. A result above `discordant` means that no possible difference would be detected.
    """
    _check(n, {"discordant": discordant, "power": power, "alpha": alpha})
    return (NORMAL.inv_cdf(1 - alpha / 2) + NORMAL.inv_cdf(power)) * math.sqrt(discordant / n)


def half_width(n: int, rate: float = 0.5, confidence: float = 0.95) -> float:
    """Half the expected width of the interval of n independent right-or-wrong answers: z * sqrt(rate (1 - rate) / n)."""
    _check(n, {"rate": rate, "confidence": confidence})
    return NORMAL.inv_cdf(0.5 + confidence / 2) * math.sqrt(rate * (1 - rate) / n)


def _check(n: int, shares: dict[str, float]) -> None:
    if n < 1:
        raise UsageError(f"n is {n}; a sample has at least one question")
    for name, value in shares.items():
        if not 0.0 < value < 1.0:
            raise UsageError(f"{name} is {value}; expected a number between 0 and 1")
