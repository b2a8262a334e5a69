"""The Porter stemmer in the variant that google-research/rouge uses (NLTK's extensions of Porter 1980).

Published ROUGE-L numbers use it; `metrics.held` compares words by their stems. Words are lower-case ASCII. The extensions
are marked with +.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from itertools import pairwise

_IRREGULAR = {  # + a word maps to its stem and skips every step
    "sky": "sky", "skies": "sky", "dying": "die", "lying": "lie", "tying": "tie", "news": "news",
    "innings": "inning", "inning": "inning", "outings": "outing", "outing": "outing", "cannings": "canning",
    "canning": "canning", "howe": "howe", "proceed": "proceed", "exceed": "exceed", "succeed": "succeed",
}  # fmt: skip


def _consonants(word: str) -> list[bool]:
    """For each letter, whether it is a consonant: y is one at the start and after a vowel."""
    flags: list[bool] = []
    for index, letter in enumerate(word):
        if letter == "y":
            flags.append(index == 0 or not flags[-1])
        else:
            flags.append(letter not in "aeiou")
    return flags


def _measure(word: str) -> int:
    """Porter's m: how often a vowel is followed by a consonant."""
    flags = _consonants(word)
    return sum(after and not before for before, after in pairwise(flags))


def _vowel(word: str) -> bool:
    return not all(_consonants(word))


def _doubled(word: str) -> bool:
    return len(word) >= 2 and word[-1] == word[-2] and _consonants(word)[-1]


def _short_end(word: str) -> bool:
    """Whether a word ends with consonant, vowel, consonant other than w, x, y; + or is only vowel, consonant."""
    flags = _consonants(word)
    if len(word) >= 3 and flags[-3:] == [True, False, True]:
        return word[-1] not in "wxy"
    return len(word) == 2 and flags == [False, True]


def _apply(word: str, rules: Mapping[str, str], least: int) -> str:
    """Replace the first suffix that fits, if m of the part before it is at least `least`. Later suffixes are not tried, even
    if m is too small."""
    for suffix, replacement in rules.items():
        if word.endswith(suffix):
            before = word.removesuffix(suffix)
            return before + replacement if _measure(before) >= least else word
    return word


def _plural(word: str) -> str:
    if word.endswith("ies") and len(word) == 4:
        return word[:-1]  # + ties -> tie
    return _apply(word, {"sses": "ss", "ies": "i", "ss": "ss", "s": ""}, 0)


def _past(word: str) -> str:
    if word.endswith("ied"):
        return word[:-1] if len(word) == 4 else word[:-2]  # + died -> die, spied -> spi
    if word.endswith("eed"):
        return _apply(word, {"eed": "ee"}, 1)
    for suffix in ("ed", "ing"):
        if word.endswith(suffix) and _vowel(word[: -len(suffix)]):
            before = word[: -len(suffix)]
            if before.endswith(("at", "bl", "iz")):
                return before + "e"
            if _doubled(before):
                return before if before[-1] in "lsz" else before[:-1]
            return before + "e" if _measure(before) == 1 and _short_end(before) else before
    return word


def _final_y(word: str) -> str:
    # + only after a consonant that is not the first letter: say stays say, by stays by
    if word.endswith("y") and len(word) > 2 and _consonants(word)[-2]:
        return word[:-1] + "i"
    return word


_SECOND = {
    "ational": "ate", "tional": "tion", "enci": "ence", "anci": "ance", "izer": "ize", "bli": "ble", "alli": "al",
    "entli": "ent", "eli": "e", "ousli": "ous", "ization": "ize", "ation": "ate", "ator": "ate", "alism": "al",
    "iveness": "ive", "fulness": "ful", "ousness": "ous", "aliti": "al", "iviti": "ive", "biliti": "ble", "fulli": "ful",
}  # fmt: skip
_THIRD = {"icate": "ic", "ative": "", "alize": "al", "iciti": "ic", "ical": "ic", "ful": "", "ness": ""}
_FOURTH = {
    "al": "", "ance": "", "ence": "", "er": "", "ic": "", "able": "", "ible": "", "ant": "", "ement": "", "ment": "",
    "ent": "", "ou": "", "ism": "", "ate": "", "iti": "", "ous": "", "ive": "", "ize": "",
}  # fmt: skip


def _second(word: str) -> str:
    if word.endswith("alli") and _measure(word[:-4]) > 0:
        return _second(word[:-2])  # + the shortened word goes through the step again
    if word.endswith("logi"):
        return _apply(word, {"ogi": "og"}, 1)  # + the "l" counts as part of the word before the suffix
    return _apply(word, _SECOND, 1)


def _fourth(word: str) -> str:
    return _apply(word, {"ion": ""} if word.endswith(("sion", "tion")) else _FOURTH, 2)


def _final_e(word: str) -> str:
    if word.endswith("e"):
        before = word[:-1]
        measure = _measure(before)
        if measure > 1 or (measure == 1 and not _short_end(before)):
            return before
    return word


@functools.lru_cache(maxsize=1 << 16)
def stem(word: str) -> str:
    """The stem of one lower-case ASCII word; words of one or two letters are unchanged (+)."""
    if word in _IRREGULAR:
        return _IRREGULAR[word]
    if len(word) <= 2:
        return word
    word = _final_e(_fourth(_apply(_second(_final_y(_past(_plural(word)))), _THIRD, 1)))
    return word[:-1] if word.endswith("ll") and _measure(word[:-1]) > 1 else word
