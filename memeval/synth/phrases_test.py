"""How the test split states and asks facts: held-out paraphrases, met in no other split."""

from __future__ import annotations

from collections.abc import Mapping

from memeval.synth.language import Phrases

PHRASES: Mapping[str, Phrases] = {
    "birth": Phrases(
        statements=(
            "{x} was born on {v}.",
            "Church books record that {x} was born on {v}.",
            "{x}, whose parents kept an inn, was born on {v}.",
        ),
        questions=("What is the birth date of {x}?", "On which day was {x} born?"),
        paraphrases=("When did {x} enter this life?",),
        comparisons=(
            ("Who was born first, {a} or {b}?", "least"),
            ("Who is the younger one, {a} or {b}?", "most"),
        ),
    ),
    "birthplace": Phrases(
        statements=(
            "{x} was born in {v}.",
            "It was in {v} that {x} was born.",
            "{x}, who speaks with a slight accent, was born in {v}.",
        ),
        questions=("Where exactly was {x} born?", "Which town was {x} born in?"),
        paraphrases=("Which town does {x} hail from?",),
        yes_no=("Is it true that {x} was born in {v}?",),
        descriptions=("the town that {x} was born in",),
    ),
    "profession": Phrases(
        statements=(
            "{x} is {av}.",
            "{x} works as {av} and takes few holidays.",
            "After some years of travel {x} became {av}.",
        ),
        questions=("What does {x} work as?", "What did {x} become?"),
        paraphrases=("What is the job of {x}?",),
        yes_no=("Does {x} work as {av}?",),
    ),
    "mentor": Phrases(
        statements=(
            "{x} studied under {v}.",
            "{x} studied for five years under {v}.",
            "{x}, never an easy student, studied under {v}.",
        ),
        questions=("Under whom did {x} study?", "Who did {x} study under?"),
        paraphrases=("Who gave {x} lessons?",),
        yes_no=("Did {x} study under {v}?",),
    ),
    "prize": Phrases(
        statements=(
            "{x} holds the {v}.",
            "{x} was presented with the {v} in front of a full hall.",
            "{x}, to general applause, was presented with the {v}.",
        ),
        questions=("Which award does {x} hold?", "What award was {x} presented with?"),
        paraphrases=("Which honour was bestowed on {x}?",),
    ),
    "author": Phrases(
        statements=(
            "{x} is a book by {v}.",
            "{v} wrote {x}.",
            "{x}, often taken for an older text, is a book by {v}.",
        ),
        questions=("Which person wrote {x}?", "Who is {x} by?"),
        paraphrases=("Who is the creator of {x}?",),
        yes_no=("Is it true that {v} wrote {x}?",),
        descriptions=("the one who wrote {x}",),
    ),
    "published": Phrases(
        statements=(
            "{x} came out in {v}.",
            "{x} came out in {v} and was reprinted at once.",
            "After many delays {x} came out in {v}.",
        ),
        questions=("In what year did {x} come out?", "Which year did {x} come out in?"),
        paraphrases=("When was {x} issued?",),
        comparisons=(
            ("Which came out first, {a} or {b}?", "least"),
            ("Which of these came out later, {a} or {b}?", "most"),
        ),
    ),
    "length": Phrases(
        statements=(
            "{x} is {v} pages long.",
            "Without the index {x} is {v} pages long.",
            "{x}, a book for patient people, is {v} pages long.",
        ),
        questions=("How many pages long is {x}?", "What is the page count of {x}?"),
        paraphrases=("How thick is {x}?",),
        comparisons=(
            ("Which is longer, {a} or {b}?", "most"),
            ("Which of these is shorter, {a} or {b}?", "least"),
        ),
    ),
    "setting": Phrases(
        statements=(
            "The action of {x} is placed in {v}.",
            "{x} plays in {v}, mostly by night.",
            "{x}, in spite of its title, plays in {v}.",
        ),
        questions=("Where does {x} play?", "In which town is the action of {x} placed?"),
        paraphrases=("Which town is the backdrop for {x}?",),
        yes_no=("Does {x} play in {v}?",),
        descriptions=("the town in which {x} plays",),
    ),
    "founder": Phrases(
        statements=(
            "{x} was started by {v}.",
            "{v} started {x} with two helpers.",
            "{x}, at first a pastime, was started by {v}.",
        ),
        questions=("Who started {x}?", "By whom was {x} started?"),
        paraphrases=("Whose creation is {x}?",),
        yes_no=("Did {v} start {x}?",),
        descriptions=("the person who started {x}",),
    ),
    "founded": Phrases(
        statements=(
            "{x} was started in {v}.",
            "{x} was started in {v} in an empty stable.",
            "{x} has been in business since {v}.",
        ),
        questions=("In which year was {x} started?", "Since which year has {x} been in business?"),
        paraphrases=("What is the founding date of {x}?",),
        comparisons=(
            ("Which has been in business longer, {a} or {b}?", "least"),
            ("Which was started later, {a} or {b}?", "most"),
        ),
    ),
    "trade": Phrases(
        statements=(
            "{x} builds and sells {v}.",
            "{x} sells {v} of its own design.",
            "{x}, which has no shop, sells {v} by post.",
        ),
        questions=("What does {x} sell?", "Which wares does {x} sell?"),
        paraphrases=("What kind of goods leave the premises of {x}?",),
        yes_no=("Does {x} sell {v}?",),
    ),
    "river": Phrases(
        statements=(
            "The river {v} flows through {x}.",
            "{x} is crossed by the river {v}.",
            "The {v}, a slow brown river, flows through {x}.",
        ),
        questions=("What river flows through {x}?", "By which river is {x} crossed?"),
        paraphrases=("What stream is {x} built on?",),
        yes_no=("Does the river {v} flow through {x}?",),
    ),
    "product": Phrases(
        statements=(
            "{x} is proud of its {v}.",
            "Visitors come to {x} for its {v}.",
            "{x}, as every guidebook says, is proud of its {v}.",
        ),
        questions=("What is {x} proud of?", "What do visitors come to {x} for?"),
        paraphrases=("What can {x} boast of?",),
        yes_no=("Is {x} proud of its {v}?",),
    ),
    "bridges": Phrases(
        statements=(
            "{x} counts {v} bridges.",
            "In all, {v} bridges span the water in {x}.",
            "{x}, a place of many ferries in the past, counts {v} bridges.",
        ),
        questions=("How many bridges does {x} count?", "How many bridges span the water in {x}?"),
        paraphrases=("How many ways over the stream has {x}?",),
        comparisons=(
            ("Which counts more bridges, {a} or {b}?", "most"),
            ("Which counts fewer bridges, {a} or {b}?", "least"),
        ),
    ),
    "residence": Phrases(
        statements=(
            "{x} has been a resident of {v} since {since}.",
            "{x} took a flat in {v} in {since}.",
        ),
        changes=(
            "{x} left for {v} in {date} and now lives there.",
            "In {date} {x} exchanged {old} for {v} as a place to live.",
            "{x} has been a resident of {v} since {date}.",
        ),
        questions=("Of which town is {x} now a resident?", "Which town does {x} live in these days?"),
    ),
    "director": Phrases(
        statements=(
            "{v} has managed {x} since {since}.",
            "{x} has been managed by {v} since {since}.",
        ),
        changes=(
            "{v} was named manager of {x} in {date}.",
            "In {date} {v} followed {old} as manager of {x}.",
            "{x} has been managed by {v} since {date}.",
        ),
        questions=("Who manages {x} these days?", "Who is now the manager of {x}?"),
    ),
    "seat": Phrases(
        statements=(
            "{x} has had its headquarters in {v} since {since}.",
            "The headquarters of {x} have been in {v} since {since}.",
        ),
        changes=(
            "{x} transferred its headquarters to {v} in {date}.",
            "In {date} the headquarters of {x} went from {old} to {v}.",
            "The headquarters of {x} have been in {v} since {date}.",
        ),
        questions=("Where are the headquarters of {x} now?", "Which town holds the headquarters of {x} these days?"),
    ),
    "mayor": Phrases(
        statements=(
            "{v} has served as mayor of {x} since {since}.",
            "{x} has had {v} for a mayor since {since}.",
        ),
        changes=(
            "{v} became mayor of {x} in {date}.",
            "In {date} {v} won the vote against {old} and became mayor of {x}.",
            "{x} has had {v} for a mayor since {date}.",
        ),
        questions=("Who serves as mayor of {x} these days?", "Who is now mayor of {x}?"),
    ),
}
