"""How the train split states and asks facts."""

from __future__ import annotations

from collections.abc import Mapping

from memeval.synth.language import Phrases

PHRASES: Mapping[str, Phrases] = {
    "birth": Phrases(
        statements=(
            "{x} was born on {v}.",
            "The parish register gives {v} as the day on which {x} was born.",
            "{x}, the youngest of four children, was born on {v}.",
        ),
        questions=("When was {x} born?", "On what date was {x} born?"),
        paraphrases=("When did {x} come into the world?",),
        comparisons=(
            ("Who was born earlier, {a} or {b}?", "least"),
            ("Which of the two was born later, {a} or {b}?", "most"),
        ),
    ),
    "birthplace": Phrases(
        statements=(
            "{x} was born in {v}.",
            "The town of {v} is the birthplace of {x}.",
            "{x} was born in a narrow house in {v}.",
        ),
        questions=("In which town was {x} born?", "What is the birthplace of {x}?"),
        paraphrases=("Where does {x} originally come from?",),
        yes_no=("Was {x} born in {v}?",),
        descriptions=("the town where {x} was born", "the birthplace of {x}"),
    ),
    "profession": Phrases(
        statements=(
            "{x} is {av} by profession.",
            "{x} has worked as {av} for most of an adult life.",
            "As a profession, {x} chose to be {av}.",
        ),
        questions=("What is the profession of {x}?", "What profession does {x} follow?"),
        paraphrases=("How does {x} earn a living?",),
        yes_no=("Is {x} {av} by profession?",),
    ),
    "mentor": Phrases(
        statements=(
            "{x} was taught by {v}.",
            "For six years {x} was a pupil of {v}.",
            "{x}, who was taught at home at first, later became a pupil of {v}.",
        ),
        questions=("Who taught {x}?", "Whose pupil was {x}?"),
        paraphrases=("Which mentor trained {x}?",),
        yes_no=("Was {x} taught by {v}?",),
    ),
    "prize": Phrases(
        statements=(
            "{x} was awarded the {v}.",
            "To the surprise of many, the {v} was awarded to {x}.",
            "{x} won the {v} at the second attempt.",
        ),
        questions=("What was {x} awarded?", "What did {x} win?"),
        paraphrases=("Which honour did {x} receive?",),
    ),
    "author": Phrases(
        statements=(
            "{x} was written by {v}.",
            "{x} is a book written by {v}.",
            "It was {v} who wrote {x}.",
        ),
        questions=("Who wrote {x}?", "By whom was {x} written?"),
        paraphrases=("Whose pen produced {x}?",),
        yes_no=("Was {x} written by {v}?",),
        descriptions=("the person who wrote {x}", "the writer of {x}"),
    ),
    "published": Phrases(
        statements=(
            "{x} was published in {v}.",
            "{x}, which had been refused by two printers, was published in {v}.",
            "The first edition of {x} was published in {v}.",
        ),
        questions=("In which year was {x} published?", "When was {x} published?"),
        paraphrases=("When did {x} come out?",),
        comparisons=(
            ("Which book was published earlier, {a} or {b}?", "least"),
            ("Which was published later, {a} or {b}?", "most"),
        ),
    ),
    "length": Phrases(
        statements=(
            "{x} has {v} pages.",
            "In the usual edition {x} has {v} pages.",
            "{x}, which is printed in small type, fills {v} pages.",
        ),
        questions=("How many pages does {x} have?", "What is the number of pages of {x}?"),
        paraphrases=("How long is {x}?",),
        comparisons=(
            ("Which book has more pages, {a} or {b}?", "most"),
            ("Which has fewer pages, {a} or {b}?", "least"),
        ),
    ),
    "setting": Phrases(
        statements=(
            "{x} is set in {v}.",
            "The story of {x} is set in {v}.",
            "{x}, like many books of its kind, is set in {v}.",
        ),
        questions=("In which town is {x} set?", "In what place is {x} set?"),
        paraphrases=("Where does the plot of {x} unfold?",),
        yes_no=("Is {x} set in {v}?",),
        descriptions=("the town in which {x} is set",),
    ),
    "founder": Phrases(
        statements=(
            "{x} was founded by {v}.",
            "{x}, which began in a rented shed, was founded by {v}.",
            "The founder of {x} is {v}.",
        ),
        questions=("Who founded {x}?", "Who is the founder of {x}?"),
        paraphrases=("Who brought {x} into existence?",),
        yes_no=("Was {x} founded by {v}?",),
        descriptions=("the founder of {x}", "the person who founded {x}"),
    ),
    "founded": Phrases(
        statements=(
            "{x} was founded in {v}.",
            "The founding of {x} took place in {v}.",
            "{x} was founded in the spring of {v}.",
        ),
        questions=("In which year was {x} founded?", "When was {x} founded?"),
        paraphrases=("Since when has {x} existed?",),
        comparisons=(
            ("Which was founded earlier, {a} or {b}?", "least"),
            ("Which of them was founded later, {a} or {b}?", "most"),
        ),
    ),
    "trade": Phrases(
        statements=(
            "{x} makes {v}.",
            "{x} makes {v} for customers in three provinces.",
            "The firm of {x}, which has its own school for apprentices, makes {v}.",
        ),
        questions=("What does {x} make?", "Which goods does {x} make?"),
        paraphrases=("What can be bought from {x}?",),
        yes_no=("Does {x} make {v}?",),
    ),
    "river": Phrases(
        statements=(
            "{x} lies on the river {v}.",
            "{x}, a town of narrow streets, lies on the river {v}.",
            "The river on which {x} lies is the {v}.",
        ),
        questions=("On which river does {x} lie?", "What is the name of the river on which {x} lies?"),
        paraphrases=("Which water flows past {x}?",),
        yes_no=("Does {x} lie on the river {v}?",),
    ),
    "product": Phrases(
        statements=(
            "{x} is famous for its {v}.",
            "Far beyond the valley {x} is famous for its {v}.",
            "Nothing has made {x} as famous as its {v}.",
        ),
        questions=("What is {x} famous for?", "Which product is {x} famous for?"),
        paraphrases=("What do travellers chiefly buy in {x}?",),
        yes_no=("Is {x} famous for its {v}?",),
    ),
    "bridges": Phrases(
        statements=(
            "{x} has {v} bridges.",
            "There are {v} bridges in {x}.",
            "{x}, where ferries are no longer in use, has {v} bridges.",
        ),
        questions=("How many bridges does {x} have?", "How many bridges are there in {x}?"),
        paraphrases=("At how many points can one cross the water in {x}?",),
        comparisons=(
            ("Which town has more bridges, {a} or {b}?", "most"),
            ("Which town has fewer bridges, {a} or {b}?", "least"),
        ),
    ),
    "residence": Phrases(
        statements=(
            "{x} has lived in {v} since {since}.",
            "Since {since} {x} has lived in {v}.",
        ),
        changes=(
            "In {date} {x} moved to {v}.",
            "{x} moved from {old} to {v} in {date}.",
            "Since {date} {x}, tired of the old flat, has lived in {v}.",
        ),
        questions=("In which town does {x} live now?", "Where does {x} live at present?"),
    ),
    "director": Phrases(
        statements=(
            "{v} has been the director of {x} since {since}.",
            "Since {since} the director of {x} has been {v}.",
        ),
        changes=(
            "In {date} {v} became the director of {x}.",
            "{v} succeeded {old} as the director of {x} in {date}.",
            "The new director of {x}, who took office in {date}, is {v}.",
        ),
        questions=("Who is the director of {x} now?", "Who is the present director of {x}?"),
    ),
    "seat": Phrases(
        statements=(
            "{x} has had its head office in {v} since {since}.",
            "Since {since} the head office of {x} has been in {v}.",
        ),
        changes=(
            "In {date} {x} moved its head office to {v}.",
            "The head office of {x} was moved from {old} to {v} in {date}.",
            "Since {date} the head office of {x}, once again, has a new address in {v}.",
        ),
        questions=("In which town is the head office of {x} now?", "Where does {x} have its head office at present?"),
    ),
    "mayor": Phrases(
        statements=(
            "{v} has been the mayor of {x} since {since}.",
            "Since {since} the mayor of {x} has been {v}.",
        ),
        changes=(
            "In {date} {v} was elected mayor of {x}.",
            "{v} replaced {old} as mayor of {x} in {date}.",
            "The new mayor of {x}, who was sworn in during {date}, is {v}.",
        ),
        questions=("Who is the mayor of {x} now?", "Who is the present mayor of {x}?"),
    ),
}
