"""The error rates of a judge, and their effect on a score: rates, kappa, the Rogan-Gladen correction, each with limits.

Right is the positive class. False accept rate a: wrong answers that the judge calls right; false reject rate r: right
answers that it calls wrong. Sensitivity is 1 - r, specificity 1 - a. Fractions in, fractions out.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Sequence

from memeval.records.judgements import Rate
from memeval.stats import interval


def rate(hits: Sequence[bool], clusters: Sequence[Hashable]) -> Rate | None:
    """The share of hits; None without answers. `clusters`: answers to one question have the same label."""
    if not hits:
        return None
    found = interval([float(hit) for hit in hits], clusters)
    return Rate(found.value, found.low, found.high, found.n)


def cohens_kappa(accept: float, reject: float, share: float) -> float:
    """Cohen's kappa (1960) of a judge with false accept rate `accept` and false reject rate `reject` on answers of which a
    `share` strictly between 0 and 1 is right: (observed - chance agreement) / (1 - chance agreement)."""
    called = share * (1 - reject) + (1 - share) * accept
    observed = share * (1 - reject) + (1 - share) * (1 - accept)
    chance = share * called + (1 - share) * (1 - called)
    return (observed - chance) / (1 - chance)


def kappa(accept: Rate, reject: Rate, share: float) -> Rate:
    """Cohen's kappa with limits. `share`: of right answers in the set, on which kappa depends."""
    value = cohens_kappa(accept.value, reject.value, share)
    low, high = limits(lambda a, r: cohens_kappa(a, r, share), (accept, reject))
    return Rate(value, max(low, -1.0), min(high, 1.0), accept.n + reject.n)


def rogan_gladen(observed: float, accept: float, reject: float, judged: float = 1.0) -> float:
    """The true rate, given the rate `observed` by a judge that errs: (observed - judged * a) / (1 - a - r), not clipped.

    Rogan and Gladen 1978, Am. J. Epidemiol. 107:71. `judged`: the share of answers that the judge saw; the others were wrong
    or failed without it and cannot be false accepts. Needs a + r < 1.
    """
    return (observed - judged * accept) / (1 - accept - reject)


def corrected(observed: Rate, accept: Rate, reject: Rate, judged: float = 1.0) -> Rate | str:
    """The corrected rate, with limits that include the uncertainty of all three rates; or the reason why there is none: a
    judge no better than chance (a + r >= 1), or a score that a judge with these errors cannot give. Where a limit of a or r
    allows that the judge is no better than chance, the limits are 0 and 1."""
    if accept.value + reject.value >= 1:
        return "on the calibration set the judge does no better than chance"
    value = _clip(rogan_gladen(observed.value, accept.value, reject.value, judged))
    if accept.high + reject.value >= 1 or accept.value + reject.high >= 1:
        return Rate(value, 0.0, 1.0, observed.n)
    low, high = limits(lambda q, a, r: rogan_gladen(q, a, r, judged), (observed, accept, reject))
    if high < 0 or low > 1:
        return "the calibration does not fit this run: a judge that errs as often would not give this score"
    return Rate(value, min(_clip(low), value), max(_clip(high), value), observed.n)


def limits(function: Callable[..., float], rates: Sequence[Rate]) -> tuple[float, float]:
    """Limits of a function of independent estimates, from the limits of each (the method of variance estimates recovery,
    Zou and Donner 2008, Stat. Med. 27:1693): deviations from the estimate are squared and added, for each side separately.

    The method needs no normal approximation, so it also works for an estimate of 0 or 1, and its limits account for what the
    single limits account for (clusters).
    """
    values = [found.value for found in rates]
    centre = function(*values)
    below = above = 0.0
    for index, found in enumerate(rates):
        ends = [function(*values[:index], end, *values[index + 1 :]) for end in (found.low, found.high)]
        below += max(0.0, centre - min(ends)) ** 2
        above += max(0.0, max(ends) - centre) ** 2
    return centre - math.sqrt(below), centre + math.sqrt(above)


def _clip(value: float) -> float:
    return min(max(value, 0.0), 1.0)
