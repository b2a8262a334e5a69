"""How the validation split states and asks facts."""

from __future__ import annotations

from collections.abc import Mapping

from memeval.synth.language import Phrases

PHRASES: Mapping[str, Phrases] = {
    "birth": Phrases(
        statements=(
            "{x} came into the world on {v}.",
            "According to a family Bible, {x} came into the world on {v}.",
            "The recorded date of birth of {x} is {v}.",
        ),
        questions=("What is the date of birth of {x}?", "On which date did {x} come into the world?"),
        paraphrases=("Since when has {x} been alive?",),
        comparisons=(
            ("Whose date of birth is the earlier one, that of {a} or that of {b}?", "least"),
            ("Who came into the world after the other, {a} or {b}?", "most"),
        ),
    ),
    "birthplace": Phrases(
        statements=(
            "{x} is a native of {v}.",
            "{x} came into the world in {v}, above a bakery.",
            "{x}, a native of {v}, left school at fifteen.",
        ),
        questions=("Of which town is {x} a native?", "In what town did {x} come into the world?"),
        paraphrases=("Where was {x} born?",),
        yes_no=("Is {x} a native of {v}?",),
        descriptions=("the native town of {x}", "the town that {x} is a native of"),
    ),
    "profession": Phrases(
        statements=(
            "{x} earns a living as {av}.",
            "{x} trained as {av} and has earned a living that way ever since.",
            "In the address book {x} is listed as {av}.",
        ),
        questions=("As what does {x} earn a living?", "How does {x} make a living?"),
        paraphrases=("Which occupation does {x} have?",),
        yes_no=("Does {x} earn a living as {av}?",),
    ),
    "mentor": Phrases(
        statements=(
            "{x} was apprenticed to {v}.",
            "At sixteen {x} was apprenticed to {v}, a strict master.",
            "{x} learned everything that matters from {v}.",
        ),
        questions=("To whom was {x} apprenticed?", "From whom did {x} learn?"),
        paraphrases=("Who was the teacher of {x}?",),
        yes_no=("Was {x} apprenticed to {v}?",),
    ),
    "prize": Phrases(
        statements=(
            "{x} received the {v}.",
            "{x}, who had been nominated twice before, received the {v}.",
            "The jury gave the {v} to {x}.",
        ),
        questions=("Which award did {x} receive?", "Which award was given to {x}?"),
        paraphrases=("Which distinction has {x} been honoured with?",),
    ),
    "author": Phrases(
        statements=(
            "{x} is the work of {v}.",
            "The author of {x} is {v}.",
            "{x}, which bears no name on its first pages, is the work of {v}.",
        ),
        questions=("Who is the author of {x}?", "Whose work is {x}?"),
        paraphrases=("By which writer was {x} composed?",),
        yes_no=("Is {v} the author of {x}?",),
        descriptions=("the author of {x}",),
    ),
    "published": Phrases(
        statements=(
            "{x} appeared in {v}.",
            "{x} first appeared in {v}, in grey boards.",
            "The year in which {x} appeared was {v}.",
        ),
        questions=("In which year did {x} appear?", "When did {x} first appear?"),
        paraphrases=("When was {x} released to the public?",),
        comparisons=(
            ("Which appeared first, {a} or {b}?", "least"),
            ("Which of the two books appeared later, {a} or {b}?", "most"),
        ),
    ),
    "length": Phrases(
        statements=(
            "{x} runs to {v} pages.",
            "With its notes {x} runs to {v} pages.",
            "A complete copy of {x} runs to {v} pages.",
        ),
        questions=("To how many pages does {x} run?", "How many pages are in a complete copy of {x}?"),
        paraphrases=("What is the extent of {x}?",),
        comparisons=(
            ("Which runs to more pages, {a} or {b}?", "most"),
            ("Which is the shorter book, {a} or {b}?", "least"),
        ),
    ),
    "setting": Phrases(
        statements=(
            "The story of {x} takes place in {v}.",
            "{x} takes place in {v} and covers a single summer.",
            "{x}, apart from its prologue, takes place in {v}.",
        ),
        questions=("In which town does {x} take place?", "Where does the story of {x} take place?"),
        paraphrases=("Which town forms the scene of {x}?",),
        yes_no=("Does {x} take place in {v}?",),
        descriptions=("the town in which {x} takes place",),
    ),
    "founder": Phrases(
        statements=(
            "{x} was established by {v}.",
            "{v} established {x} with borrowed money.",
            "{x}, now in its third building, was established by {v}.",
        ),
        questions=("Who established {x}?", "By whom was {x} established?"),
        paraphrases=("Who set up {x}?",),
        yes_no=("Was {x} established by {v}?",),
        descriptions=("the person who established {x}",),
    ),
    "founded": Phrases(
        statements=(
            "{x} was established in {v}.",
            "{x} goes back to {v}, when it was established in a cellar.",
            "{x} was established in {v} after long talks.",
        ),
        questions=("In which year was {x} established?", "When was {x} established?"),
        paraphrases=("In what year did {x} start?",),
        comparisons=(
            ("Which was established first, {a} or {b}?", "least"),
            ("Which was established more recently, {a} or {b}?", "most"),
        ),
    ),
    "trade": Phrases(
        statements=(
            "{x} produces {v}.",
            "{x} produces {v}, mainly for export.",
            "{x}, a late starter in its field, produces {v}.",
        ),
        questions=("What does {x} produce?", "Which goods does {x} produce?"),
        paraphrases=("What is manufactured at {x}?",),
        yes_no=("Does {x} produce {v}?",),
    ),
    "river": Phrases(
        statements=(
            "{x} stands on the banks of the {v}.",
            "{x} stands where the road meets the river {v}.",
            "The river at {x} is the {v}, which freezes in hard winters.",
        ),
        questions=("Which river does {x} stand on?", "What is the river at {x} called?"),
        paraphrases=("Which waterway runs through {x}?",),
        yes_no=("Does {x} stand on the river {v}?",),
    ),
    "product": Phrases(
        statements=(
            "{x} is known for its {v}.",
            "{x} is known throughout the province for its {v}.",
            "{x}, otherwise a quiet place, is known for its {v}.",
        ),
        questions=("What is {x} known for?", "Which product is {x} known for?"),
        paraphrases=("Which speciality do people associate with {x}?",),
        yes_no=("Is {x} known for its {v}?",),
    ),
    "bridges": Phrases(
        statements=(
            "A total of {v} bridges can be counted in {x}.",
            "{x} is joined together by {v} bridges.",
            "The map of {x} shows {v} bridges.",
        ),
        questions=("How many bridges can be counted in {x}?", "How many bridges does the map of {x} show?"),
        paraphrases=("What number of river crossings is there in {x}?",),
        comparisons=(
            ("In which town can more bridges be counted, {a} or {b}?", "most"),
            ("In which town can fewer bridges be counted, {a} or {b}?", "least"),
        ),
    ),
    "residence": Phrases(
        statements=(
            "Since {since} {x} has made a home in {v}.",
            "{x} settled in {v} in {since}.",
        ),
        changes=(
            "{x} settled in {v} in {date}.",
            "{x} gave up the house in {old} and settled in {v} in {date}.",
            "In {date} {x} made a new home in {v}.",
        ),
        questions=("Where has {x} settled most recently?", "In which town does {x} have a home today?"),
    ),
    "director": Phrases(
        statements=(
            "{v} has headed {x} since {since}.",
            "{x} has been headed by {v} since {since}.",
        ),
        changes=(
            "{v} took over as head of {x} in {date}.",
            "In {date} {v} took over from {old} as head of {x}.",
            "{x} has been headed by {v} since {date}.",
        ),
        questions=("Who heads {x} today?", "Who is the current head of {x}?"),
    ),
    "seat": Phrases(
        statements=(
            "{x} has been based in {v} since {since}.",
            "Since {since} {x} has been based in {v}.",
        ),
        changes=(
            "{x} has been based in {v} since {date}.",
            "{x} left {old} in {date} and is now based in {v}.",
            "A move in {date} means that {x} is now based in {v}.",
        ),
        questions=("Where is {x} based today?", "In which town is {x} currently based?"),
    ),
    "mayor": Phrases(
        statements=(
            "{v} has governed {x} as mayor since {since}.",
            "The town council of {x} has been led by {v} as mayor since {since}.",
        ),
        changes=(
            "{v} was chosen as mayor of {x} in {date}.",
            "In {date} the voters of {x} chose {v} as mayor in place of {old}.",
            "{x} has had {v} as mayor since {date}.",
        ),
        questions=("Who governs {x} as mayor today?", "Who is currently mayor of {x}?"),
    ),
}
