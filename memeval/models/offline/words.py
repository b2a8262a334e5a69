"""Words and their stems: the morphology that the offline model knows. No entity, place or topic is listed."""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache

WORD = re.compile(r"[^\W_]+")


def listed(text: str) -> frozenset[str]:
    """The words of `text` as a set: a word list that reads like one."""
    return frozenset(text.split())


STOP = listed(
    "a an the this that these those it its he she they them him her his hers their theirs i me my mine we us our you your "
    "who whom whose which what when where why how is are was were be been being am do does did done has have had having can "
    "could will would shall should may might must and or but nor so yet if then than as at by for from in into of off on "
    "onto out over to under up with within without about after before between during through until while since both each "
    "either neither any some all no not there here s t d ll re ve m also too very just only own same such other another one "
    "ones many much more most first last name named called known now currently presently today still"
)
"""Function words, and words that say how to compare rather than what is asked."""

PRONOUNS = listed("he she it they his her hers its their theirs him them")
COPULAS = listed("is are was were be been has have had became becomes remains")
_FAMILIES = (
    "born birth births birthplace birthday birthdate",
    "die dies died dying dead death deaths deceased",
    "write writes wrote written writing writer writers author authors authored",
    "marry marries married marriage wife husband spouse wed wedded",
    "sing sings sang sung singing singer singers",
    "build builds built building builder",
    "make makes made making maker",
    "lead leads led leading leader leaders",
    "win wins won winning winner winners",
    "teach teaches taught teaching teacher",
    "begin begins began begun beginning",
    "become becomes became becoming",
    "hold holds held holding holder",
    "buy buys bought buying buyer",
    "sell sells sold selling seller",
    "run runs ran running runner",
    "speak speaks spoke spoken speaker",
    "fight fights fought fighting fighter",
    "live lives lived living life reside resides resided residence",
    "child children",
    "city cities",
    "country countries",
    "man men",
    "woman women",
    "person people persons",
    "old older oldest age aged",
    "young younger youngest",
    "act acts acted acting actor actors actress actresses",
    "succeed succeeds succeeded successor succession",
    "study studies studied studying student educated education",
    "produce produces produced producing producer producers production",
    "compose composes composed composing composer composers composition",
    "bury buries buried burial",
    "employ employs employed employer employment",
    "head heads headed headquarters headquartered",
)
"""Word families that no suffix rule finds: irregular verbs with their nouns, and a few plurals."""
_IRREGULAR = {word: family.split()[0] for family in _FAMILIES for word in family.split()}
_SUFFIX = re.compile(
    r"(?<=...)(?:izations?|ations?|ators?|ating|ated|ates?|ements?|ments?|ances?|ings?|ions?|ers?|ors?|ied|ies|ed|es|ly|s|e|y)$"
)


def fold(text: str) -> str:
    """Lower case, without accents."""
    if text.isascii():
        return text.lower()
    return "".join(c for c in unicodedata.normalize("NFKD", text) if not unicodedata.combining(c)).lower()


def words(text: str) -> list[str]:
    """Folded words, function words included."""
    return WORD.findall(fold(text))


@lru_cache(maxsize=1 << 16)
def stem(word: str) -> str:
    """One form for the inflections and derivations of a folded word: the head of its listed family, or the word less one
    suffix."""
    known = _IRREGULAR.get(word)
    if known is not None:
        return known
    if len(word) < 4 or word[0].isdigit():
        return word
    short = _SUFFIX.sub("", word)
    return short[:-1] if len(short) > 3 and short[-1] == short[-2] else short


def stems(text: str) -> set[str]:
    """Stems of the content words of `text`."""
    return {stem(word) for word in words(text) if word not in STOP}
