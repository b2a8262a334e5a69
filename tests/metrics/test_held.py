"""Evidence is found by text and provenance. Golden cases are made by hand from the rules of validity section 4."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memeval.agent import Item
from memeval.metrics import Reply, score
from memeval.metrics.held import each_held, entities, held, names, supported
from memeval.records.rows import EvidenceRow
from memeval.task import Question

ALL = tuple(f"c{number}" for number in range(9))

BORN = EvidenceRow(text="Ann Lee\nShe was born in Arlen in 1956.", titles=("Ann Lee",), chunks=("c1",))
WROTE = EvidenceRow(
    text="The Bright Thimble\nIt was written by Ann Lee.", titles=("The Bright Thimble (novel)",), chunks=("c4",)
)
HOP = Question("two", "Where was the author of The Bright Thimble born?", ("Arlen", "the town of Arlen"))
ONE = Question("one", "Where was Ann Lee born?", ("Arlen",))


def test_names_are_stripped_of_what_is_capitalised_for_other_reasons() -> None:
    assert names("In May The Duke of York March 1860 saw Ann Lee On Monday.") == {"duke of york", "ann lee"}
    assert names("It was so. April, Monday!") == set()


def item(text: str, *chunks: str) -> Item:
    return Item(text, chunks)


@pytest.mark.parametrize(
    ("question", "evidence", "items", "expected"),
    [
        # one hop: the chunk and a gold alias, both
        (ONE, [BORN], [item("Ann Lee was born in Arlen.", "c1")], True),
        (ONE, [BORN], [item("She comes from ARLEN!", "c1")], True),
        (ONE, [BORN], [item("Ann Lee was born in Arlen.", "c2")], False),  # from another chunk
        (ONE, [BORN], [item("Ann Lee was born in 1956.", "c1")], False),  # the chunk alone is not enough
        (ONE, [BORN], [item("Ann Lee was born in Arlenville.", "c1")], False),  # whole tokens
        (ONE, [BORN], [item("Ann Lee", "c1"), item("Arlen", "c2")], False),  # one item must do both
        (ONE, [BORN], [], False),
        (ONE, [BORN], [item("nothing useful", *ALL)], False),
        # two hops: every piece; the piece without the answer is found by its title
        (HOP, [WROTE, BORN], [item("Bright Thimble: by Ann Lee", "c4"), item("Lee, of Arlen", "c1")], True),
        (HOP, [WROTE, BORN], [item("Bright Thimble: 3 copies", "c4"), item("Lee, of Arlen", "c1")], False),
        (HOP, [WROTE, BORN], [item("Lee, of Arlen", "c1")], False),
        (HOP, [WROTE, BORN], [item("Lee, of Arlen", "c1", "c4")], False),
        (HOP, [WROTE, BORN], [item("The author of the Bright Thimble is from Arlen", "c4", "c1")], True),
        # an item of more than three chunks cannot be traced; where its text does not fit it holds nothing either
        (ONE, [BORN], [item("Ann Lee was born in Arlen.", "c1", "c2", "c3")], True),
        (ONE, [BORN], [item("Ann Lee was born in Arlen.", "c1", "c2", "c3", "c4")], None),
        (ONE, [BORN], [item("Ann Lee: Arlen", *ALL), item("Arlen", "c1")], True),
        (HOP, [WROTE, BORN], [item("Bright Thimble, Ann Lee, Arlen", *ALL)], None),
        (HOP, [WROTE, BORN], [item("Ann Lee, Arlen", *ALL)], False),
        # nor can an item that names no chunk
        (ONE, [BORN], [item("Ann Lee was born in Arlen.")], None),
        (ONE, [BORN], [item("Ann Lee was born in 1956.")], False),
        # evidence that lies in no chunk is left out; without any there is nothing to tell
        (ONE, [], [item("Arlen", "c1")], None),
        (ONE, [EvidenceRow(text="Ann Lee was born in Arlen.")], [item("Arlen", "c1")], None),
    ],
)
def test_worked_by_hand(question: Question, evidence: list[EvidenceRow], items: list[Item], expected: bool | None) -> None:
    assert held(question, evidence, items) is expected


CLOSED = [
    Question("q", "Was Ann Lee born in Arlen?", ("yes",)),
    Question("q", "Was Ann Lee born in Castro?", ("no",)),
    Question("q", "Where was Ann Lee born?", ("(b)",), options=("(a) Castro", "(b) Arlen")),
    Question("q", "Who is Ann Lee's sister?", (), answerable=False),
    Question("q", "How many towns did Ann Lee live in?", ("7", "VI")),
    Question("q", "Who is younger, Ann Lee or Bob Ray?", ("Ann Lee",)),  # the answer stands in the question
    Question("q", "Who is younger?", ("Ann Lee",), kind="comparison"),
]


@pytest.mark.parametrize("question", CLOSED, ids=lambda question: question.text)
def test_closed_questions_are_found_by_what_each_sentence_says_of_an_entity(question: Question) -> None:
    second = EvidenceRow(text="Bob Ray moved to Castro.", chunks=("c5",))
    ann, bob = item("a note about Ann Lee: 1956", "c1"), item("Castro is where Bob Ray went", "c5")
    assert held(question, [BORN], [ann]) is True
    assert held(question, [BORN], [item("yes no 7 (b) nothing of her", "c1")]) is False
    assert held(question, [BORN], [item("Ann Lee reads a lot", "c1")]) is (not question.answerable)
    assert held(question, [BORN, second], [ann, bob]) is True
    assert each_held(question, [BORN, second], [ann]) == [True, False]


@pytest.mark.parametrize(
    ("text", "titles", "note", "expected"),
    [
        ("Ann Lee works as a piano tuner.", (), "Ann Lee was a Piano player", True),  # a word of the question
        ("Ann Lee works as a piano tuner.", (), "Ann Lee can work hard", True),  # in the question's form too
        ("Ann Lee works as a piano tuner.", (), "Ann Lee is much quoted", False),
        ("Ann Lee\nShe has been a smith since 2031.", ("Ann Lee",), "Ann Lee: 2031", True),  # a number
        ("Ann Lee\nShe has been a smith since 2031.", ("Ann Lee",), "Ann Lee: 2032", False),
        ("Ann Lee became the smith of Arlen.", (), "Arlen has Ann Lee", True),  # another name
        ("Ann Lee became the smith of Arlen.", (), "Arlen is far", False),
        ("Ann Lee became a smith.", (), "Ann Lee is much quoted", True),  # it has nothing of the kind
        ("[7 May, 2023] Ann: I met Bob Ray, the tuner.", (), "Bob Ray, 2023", False),  # a time is nothing that was said
    ],
)
def test_an_entity_needs_something_that_the_evidence_says_of_it(
    text: str, titles: tuple[str, ...], note: str, expected: bool
) -> None:
    question = Question("q", "Does Ann Lee work as a piano tuner?", ("no",))
    assert held(question, [EvidenceRow(text=text, titles=titles, chunks=("c1",))], [item(note, "c1")]) is expected


@pytest.mark.parametrize(
    ("text", "titles", "expected"),
    [
        (
            "Three Live Ghosts (1936 film)\nIt is an American film.",
            ("Three Live Ghosts (1936 film)",),
            {"three live ghosts"},
        ),
        ("Caleo Workshop was started in 2015.", ("Behind the doors of Caleo Workshop",), {"caleo workshop"}),
        ("In April the Duke of York met Zoë-Ann O’Neil in Rudergate.", (), {"duke of york", "zoëann o’neil", "rudergate"}),
        ("[7 May, 2023] John: Cool, Tim! That was fun.", (), {"tim"}),
        ("Valuair was a carrier.", (), {"valuair"}),  # nothing else is capitalised
        ("The cat sat. It was fun in May.", (), set()),
        ("", (), set()),
    ],
)
def test_entities(text: str, titles: tuple[str, ...], expected: set[str]) -> None:
    assert entities(EvidenceRow(text=text, titles=titles)) == expected


def test_an_entity_alone_is_enough_where_nothing_is_said_of_it() -> None:
    piece = EvidenceRow(text="Ann lives in Arlen.", chunks=("c1",))  # the data word the answer differently
    question = Question("q", "Where?", ("Arlen Hill",))
    assert held(question, [piece], [item("Ann's home is in Arlen.", "c1")]) is True
    assert held(question, [piece], [item("Ann's home is here.", "c1")]) is False


def test_a_short_turn_is_found_as_whole_tokens() -> None:
    question, turn = Question("q", "Does Ann paint?", ("yes",)), EvidenceRow(text="Yes", chunks=("c1",))
    assert held(question, [turn], [item("Yesterday it rained", "c1")]) is False
    assert held(question, [turn], [item("Ann: yes, she said", "c1")]) is True


def test_an_answer_that_the_data_word_differently_is_found_by_either_wording() -> None:
    """LoCoMo's golds work out dates that its turns only imply."""
    question = Question("q", "When does John start?", ("In July, 2022",))
    turn = EvidenceRow(text="[4:30 pm on 13 June, 2022] John: thank you! i'm starting next month.", chunks=("c1",))
    for text in ("John starts in July 2022", turn.text):
        assert held(question, [turn], [item(text, "c1")]) is True
    assert held(question, [turn], [item("John is starting soon", "c1")]) is False


def test_a_right_answer_without_held_evidence_is_unsupported() -> None:
    assert supported(ONE, [BORN], [item("Ann Lee was born in Arlen.", "c1")]) is True
    assert supported(ONE, [BORN], [item("nothing useful", *ALL)]) is False
    assert supported(ONE, [BORN], [item("Arlen", "c7")]) is None  # not claimed: an answer string was recalled
    assert supported(ONE, [BORN], [item("Ann Lee of Arlen", *ALL)]) is None
    assert supported(ONE, [], []) is None


@pytest.mark.parametrize(
    ("items", "some", "every"),
    [
        ((item("Lee, of Arlen", "c1"),), 1.0, 0.0),
        ((item("Lee, of Arlen", "c1"), item("Bright Thimble, Ann Lee", "c4")), 1.0, 1.0),
        ((item("nothing useful", *ALL),), 0.0, 0.0),
        ((item("nothing useful", "c1", "c4"),), 0.0, 0.0),
        ((), 0.0, 0.0),
        ((item("Arlen", *ALL),), None, 0.0),
        ((item("Arlen", *ALL), item("Bright Thimble, Ann Lee", "c4")), 1.0, None),
        (None, None, None),
    ],
)
def test_the_metrics(items: tuple[Item, ...] | None, some: float | None, every: float | None) -> None:
    reply = Reply("x", HOP, items, (WROTE, BORN))
    assert score(["evidence_any", "evidence_all"], reply) == {"evidence_any": some, "evidence_all": every}


def test_without_evidence_the_metrics_do_not_apply() -> None:
    assert score(["evidence_any", "evidence_all"], Reply("x", ONE, (item("Arlen", "c1"),))) == {
        "evidence_any": None,
        "evidence_all": None,
    }


words = st.sampled_from(["Ann Lee", "Arlen", "Castro", "born", "in", "yes", "Bright", "Thimble", "7"])
texts = st.lists(words, max_size=6).map(" ".join)
chunks = st.sets(st.sampled_from(ALL), max_size=5).map(lambda found: tuple(sorted(found)))
items_ = st.lists(st.builds(Item, texts, chunks), max_size=4)
pieces = st.lists(st.builds(EvidenceRow, text=texts, titles=st.just(()), chunks=chunks), max_size=3)
questions = st.sampled_from([ONE, HOP, *CLOSED])


@given(questions, pieces, items_, items_)
def test_more_items_never_hold_less(
    question: Question, evidence: list[EvidenceRow], few: list[Item], more: list[Item]
) -> None:
    rank = {False: 0, None: 1, True: 2}
    before, after = each_held(question, evidence, few), each_held(question, evidence, [*few, *more])
    assert all(rank[one] <= rank[other] for one, other in zip(before, after, strict=True))


@given(questions, pieces, items_)
def test_both_chunk_and_text_are_needed(question: Question, evidence: list[EvidenceRow], items: list[Item]) -> None:
    useless = [Item("nothing useful", item.chunks) for item in items]
    elsewhere = [Item(item.text, ("other",)) for item in items]
    assert not any(each_held(question, evidence, useless))
    assert not any(each_held(question, evidence, elsewhere))
    verbatim = [Item(piece.text, piece.chunks[:1]) for piece in evidence if piece.text]
    located = [piece for piece in evidence if piece.chunks]
    found = each_held(question, evidence, verbatim)
    assert all(one for one, piece in zip(found, located, strict=True) if piece.text)


@given(questions, pieces, items_)
def test_the_order_of_items_and_their_repeats_do_not_count(
    question: Question, evidence: list[EvidenceRow], items: list[Item]
) -> None:
    assert held(question, evidence, items) is held(question, evidence, [*reversed(items), *items])
