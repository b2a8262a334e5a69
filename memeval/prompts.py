"""Prompts are files: the parts of every built-in agent, and of the reader and the judge, in `_data/prompts/<set>/`.

A set has `parts.yaml`, which describes its parts, and a file for each part: `<part>.txt`, or `<part>.yaml` for a part
with several short texts by name. Any part can be replaced as a whole (`--prompt PART=FILE`, a card's `prompts:`).

`{name}` in a text is a placeholder; `{{name}}` stands for a literal `{name}`, and every other brace is a brace. Values
are never read as templates, and cannot close a tag: anything in a value that looks like a tag of the agent's texts, or
like one of TAGS, loses its bracket. The offline model relies only on TAGS and on tool schemas (validity section 7). The
wording is our own. docs/prompts.md.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

import msgspec

from memeval.errors import UsageError, suggest
from memeval.typed import typed, unknown_key
from memeval.yamlfile import mapping, read_yaml

CHUNK, MEMORY, QUESTION, OPTIONS = "new_chunk", "memory", "question", "options"
TAGS = (CHUNK, MEMORY, QUESTION, OPTIONS)
FOLDER = Path(__file__).parent / "_data" / "prompts"
_BLANK = r"[\s\u200b-\u200f\u2060\ufeff]{0,8}"
_CLOSED = re.compile(r"</([A-Za-z][\w-]*)>")
_PLACEHOLDER = re.compile(r"\{\{([a-z][a-z0-9_]*)\}\}|\{([a-z][a-z0-9_]*)\}")


def tagged(tag: str, text: str) -> str:
    """`text` between `<tag>` and `</tag>`, each on its own line. Look-alikes inside the text are defused: a stream is
    untrusted and must not be able to close its own tag."""
    return f"<{tag}>\n{defused(text, TAGS)}\n</{tag}>"


def untag(tag: str, prompt: str) -> str | None:
    """The text between the last `<tag>` and its end; None if the prompt has no such tag."""
    found = re.findall(rf"<{tag}>\n(.*?)\n</{tag}>", prompt, re.DOTALL)
    return found[-1] if found else None


def defused(text: str, tags: Iterable[str]) -> str:
    """The text with the bracket removed from everything that looks like one of these tags, in any case or with blanks
    inside."""
    return _lookalike(tuple(tags)).sub("‹", text) if "<" in text or not text.isascii() else text


@functools.lru_cache(maxsize=64)
def _lookalike(tags: tuple[str, ...]) -> re.Pattern[str]:
    return re.compile(rf"[<＜﹤](?={_BLANK}/?{_BLANK}(?:{'|'.join(tags)})\b)", re.IGNORECASE)


# -- sets and their parts ------------------------------------------------------------------------------------------------


class Part(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The description of a part. several: it is a mapping, name -> text; open: with any names; sentences: a text may be
    a list of sentences. may, must: placeholders that its text may contain, and those that it must; each of several
    texts must contain those of memeval's text with the same name. one_of: placeholders of which its text must contain
    at least one."""

    about: str
    several: bool = False
    open: bool = False
    sentences: bool = False
    may: tuple[str, ...] = ()
    must: tuple[str, ...] = ()
    one_of: tuple[str, ...] = ()

    @property
    def known(self) -> set[str]:
        """All placeholders that its text may contain."""
        return {*self.may, *self.must, *self.one_of}


class _Described(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`parts.yaml` of a set. extends: the set that provides missing parts and texts. somewhere: placeholders that at
    least one of the parts must contain."""

    parts: dict[str, Part] = {}
    extends: str = ""
    somewhere: tuple[str, ...] = ()


class Block(str):
    """A filled text: its tags are memeval's own."""

    __slots__ = ()


class Templates:
    """Texts that are filled together. texts: part -> text; several: the parts that are mappings, name -> text."""

    def __init__(self, texts: Mapping[str, str], several: Iterable[str] = ()) -> None:
        self._texts = texts
        self._several = {part: mapping(texts[part], part) for part in several if part in texts}
        found = {tag for text in texts.values() for tag in _CLOSED.findall(text)}
        self._tags = tuple(sorted({*TAGS, *found}))

    def several(self, part: str) -> Mapping[str, Any]:
        """name -> text of a part with several texts."""
        return self._several[part]

    def fill(self, part: str, key: str = "", /, **values: str | int) -> Block:
        """The text of a part (or the text `key` of a part with several) with its placeholders filled. A value that is
        not a Block loses everything that looks like a tag."""
        text = str(self.several(part)[key]) if key else self._texts[part]
        return Block(filled(text, {name: self.safe(value) for name, value in values.items()}, part))

    def safe(self, value: str | int) -> Block:
        """A text from outside: whatever looks like a tag of these texts has lost its bracket."""
        return value if isinstance(value, Block) else Block(defused(str(value), self._tags))

    def blocks(self, part: str, held: Mapping[str, Sequence[tuple[str, str]]], **sizes: int) -> dict[str, Block]:
        """type -> its block in a view. held: type -> (id, text) of the entries that are shown; sizes: type -> their
        number. In the view, `<type>` is the block, `entry` one of its entries, `<type>.none` the text for a type
        without entries; if that text is missing too, there is no block."""
        view, made = self.several(part), {}
        for kind, shown in held.items():
            lines = [self.fill(part, "entry", id=id, text=text, number=n) for n, (id, text) in enumerate(shown, start=1)]
            texts = [self.safe(text) for _, text in shown]
            none = str(view.get(f"{kind}.none", ""))
            if shown or f"{kind}.none" in view:
                values = {"entries": Block("\n".join(lines) or none), "text": Block("\n".join(texts) or none)}
                made[kind] = self.fill(part, kind, shown=len(shown), held=sizes.get(kind, 0), **values)
        return made


class Texts(Templates):
    """The texts of one agent: the parts of a set, as shipped or replaced (`session.prompts`)."""

    def __init__(self, name: str, given: Mapping[str, str]) -> None:
        texts = {part: given.get(part, text) for part, text in shipped(name).items()}
        super().__init__(texts, [part for part in texts if parts(name)[part].several])


def filled(text: str, values: Mapping[str, str], where: str) -> str:
    """The template with all placeholders replaced at once: values are not scanned for placeholders. where: the
    template's file or part. Raises UsageError for a placeholder without a value."""

    def put(found: re.Match[str]) -> str:
        if found[1]:
            return f"{{{found[1]}}}"
        if found[2] not in values:
            raise UsageError(f"{where}: {_unfilled(found[2], values)}")
        return values[found[2]]

    return _PLACEHOLDER.sub(put, text)


def literal(text: str) -> str:
    """The template that yields exactly this text."""
    return _PLACEHOLDER.sub(lambda found: f"{{{found[0]}}}", text)


def sets() -> list[str]:
    """Names of the shipped sets."""
    return sorted(path.parent.name for path in FOLDER.glob("*/parts.yaml"))


@functools.cache
def _described(name: str) -> _Described:
    """The description of a set, including the set it extends. Raises UsageError for an unknown set."""
    if name not in sets():
        raise UsageError(f"no prompts '{name}'{suggest(name, sets())} (known: {', '.join(sets())})")
    path = FOLDER / name / "parts.yaml"
    own = typed(read_yaml(path), _Described, str(path))
    base = _described(own.extends) if own.extends else _Described()
    return _Described({**base.parts, **own.parts}, own.extends, own.somewhere or base.somewhere)


def parts(name: str) -> Mapping[str, Part]:
    """part -> its description, for a set."""
    return _described(name).parts


@functools.cache
def shipped(name: str) -> Mapping[str, str]:
    """part -> its text, for a set."""
    return {path.stem: _read(path) for path in files(name).values()}


def several(name: str, part: str) -> dict[str, Any]:
    """name -> text of a part of a set that has several texts."""
    return mapping(shipped(name)[part], part)


def files(name: str) -> dict[str, Path]:
    """`prompts/<set>/<file>` -> file, for each part of a set. A part without a file is that of the extended set."""
    base = _described(name).extends
    found = {path.stem: (label, path) for label, path in (files(base) if base else {}).items()}
    found |= {path.stem: (f"prompts/{name}/{path.name}", path) for path in (FOLDER / name).iterdir()}
    return dict(found[part] for part in parts(name) if part in found)


def check(name: str, files: Mapping[str, str], texts: Mapping[str, str]) -> None:
    """Raises UsageError if the text of a file lacks a required placeholder or name, or contains a placeholder that is
    never filled. name: of the set, empty for an agent without; files: part -> the file of its text; texts: part ->
    text."""
    own_parts = {"reader": Part("", may=("memory", "kinds")), **(parts(name) if name else {})}
    for part, about in own_parts.items():
        if part not in files:
            continue
        known = about.known
        if not about.several:
            _check_placeholders(texts[part], known, about.must, files[part])
            if about.one_of and not placeholders(texts[part]).intersection(about.one_of):
                raise UsageError(f"{files[part]}: {' or '.join(f'{{{one}}}' for one in about.one_of)} is missing")
            continue
        own, ours = mapping(texts[part], files[part]), several(name, part)
        for key in (*ours, *own) if not about.open else ():
            if key not in own:
                raise UsageError(f"{files[part]}: the key '{key}' is missing; `memeval prompts show` prints ours")
            if key not in ours:
                raise UsageError(f"{files[part]}: {unknown_key(key, ours)}")
            if not isinstance(own[key], (str, list) if about.sentences else str):
                raise UsageError(f"{files[part]}: '{key}' is {own[key]!r:.60}, expected a text")
            must = known.intersection(about.must, placeholders(str(ours[key])))
            _check_placeholders(str(own[key]), known, sorted(must), f"{files[part]}: {key}")
    whole = {**(shipped(name) if name else {}), **texts}
    for one in _described(name).somewhere if name else ():
        holders = [part for part, about in parts(name).items() if one in about.may]
        if not any(one in placeholders(whole[part]) for part in holders):
            where = next(files[part] for part in holders if part in files)
            raise UsageError(f"{where}: {{{one}}} is missing; one of these has to hold it: {', '.join(holders)}")


def _check_placeholders(text: str, known: Collection[str], must: Iterable[str], where: str) -> None:
    for one in placeholders(text) if known else ():  # a part without placeholders is no template
        if one not in known:
            raise UsageError(f"{where}: {_unfilled(one, known)}")
    for one in must:
        if one not in placeholders(text):
            raise UsageError(f"{where}: {{{one}}} is missing")


def _unfilled(name: str, known: Iterable[str]) -> str:
    has = ", ".join(f"{{{one}}}" for one in sorted(known))
    return f"nothing fills {{{name}}}{suggest(name, known)} (known: {has}; {{{{{name}}}}} is the text {{{name}}})"


def placeholders(text: str) -> set[str]:
    """Names of the placeholders in a template."""
    return {found[2] for found in _PLACEHOLDER.finditer(text) if found[2]}


def _read(path: Path) -> str:
    """A prompt's text, without blank lines at its start and end."""
    return path.read_text(encoding="utf-8").strip()


# -- the reader ----------------------------------------------------------------------------------------------------------

BETWEEN = "\n\n"
"""Separator of two items in the reader's view."""
READER_PARTS = ("reader", "question", "reader_view", "before")
"""Parts of an agent's prompts for the reader: its system text, the message with the question, the view of the recalled
items, and the text before a question. They do not affect what the agent writes."""
READER: Mapping[str, str] = {path.stem: _read(path) for path in (FOLDER / "reader").glob("*.txt")}
"""System texts of the reader by name. A task's card names one (`reader_prompt`); `--prompt reader=FILE` replaces it."""

ANSWER_TOKENS = {"reader-chats": 512, "reader-options": 1024, "reader-label": 1024, "reader-format": 1024,
                 "reader-movies": 1024, "reader-assistant": 2048, "reader-summary": 2048}  # fmt: skip
"""Name of a reader's prompt -> tokens that its reply may have, unless the task's card sets `answer_tokens`."""

SHORT_ANSWER_TOKENS = 256
"""The limit for prompts that ask for a few words. The longest gold answers have some 30 tokens; the rest is room for
models that wrap their answer in a paragraph. A model that thinks gets a larger limit after its first thinking reply
(models/body.py)."""


def reader_messages(
    system: str,
    memory: str | Sequence[tuple[str | None, str]] | None,
    question: str,
    time: str | None = None,
    options: Sequence[str] | None = None,
    texts: Mapping[str, str] = MappingProxyType({}),
    before: str = "",
) -> list[dict[str, str]]:
    """The reader's prompt: system text, then the memory, then the question, so that servers can cache the prefix for
    questions on the same memory.

    memory: (type, text) of each item, in reading order, or the whole as one text; None leaves it out (closed-book).
    system: if it contains {memory}, the memory is inserted there. texts: `question`, the user's message, if it does not
    consist of tagged blocks, and `reader_view`, which shows items in blocks by type, with the line `<type>.kind` of
    each in {kinds}. before: the data set's text before a question, {before}.
    """
    asked = f"[{time}] {question}" if time else question
    own = {part: texts[part] for part in ("question", "reader_view") if part in texts}
    ours = Templates({**own, "reader": system}, ["reader_view"])
    kinds = Block()
    if memory is not None and not isinstance(memory, str):
        memory, kinds = _viewed(ours, memory) if "reader_view" in own else (BETWEEN.join(text for _, text in memory), kinds)
    shown = [] if memory is None or "memory" in placeholders(system) else [tagged(MEMORY, memory)]
    parts = [*shown, tagged(QUESTION, asked)]
    if "question" in own:
        parts = [ours.fill("question", question=asked, before=f"{before}\n\n" if before else "", memory=memory or "")]
    if options:
        parts.append(tagged(OPTIONS, "\n".join(options)))
    content = ours.fill("reader", memory=memory or "", kinds=kinds)
    return [{"role": "system", "content": content}, {"role": "user", "content": "\n\n".join(parts)}]


def before_question(texts: Mapping[str, str], data_source: str, otherwise: str) -> str:
    """The text before a question of a data set: the part `before` of texts, else `otherwise`; empty if there is no such
    part."""
    return str(mapping(texts["before"], "before").get(data_source, otherwise)) if "before" in texts else ""


def _viewed(texts: Templates, items: Sequence[tuple[str | None, str]]) -> tuple[Block, Block]:
    """(memory, kinds) of items in a reader's view. Items of a type that the view does not have follow its blocks."""
    view = texts.several("reader_view")
    types = [name for name in view if "." not in name and name != "entry"]
    blocks = texts.blocks("reader_view", {kind: [("", text) for of, text in items if of == kind] for kind in types})
    others = [texts.safe(text) for of, text in items if of not in types]
    kinds = [texts.fill("reader_view", f"{kind}.kind") for kind in blocks]
    return Block(BETWEEN.join([*blocks.values(), *others])), Block("\n".join(kinds))


def load_prompts(files: Mapping[str, str]) -> dict[str, str]:
    """part -> text of the file named by `--prompt PART=FILE` or by a card's `prompts:`."""
    texts = {}
    for part, name in files.items():
        try:
            texts[part] = _read(Path(name).expanduser())
        except (OSError, UnicodeDecodeError) as error:
            raise UsageError(f"--prompt {part}={name}: cannot read the prompt file ({error})") from None
    return texts
