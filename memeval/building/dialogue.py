"""How a piece of text becomes a chunk: something a user says to an assistant, or reads, on a certain day.

The form is that of Mem-alpha's data (process_data.py): a dated heading, one of twenty opening sentences, the text, one of
nineteen acknowledgements; days count from 2024-01-01. The sentences are our own.
"""

from __future__ import annotations

import datetime
import random

FIRST_DAY = datetime.date(2024, 1, 1)

OPENINGS = (
    "I came across some facts today:",
    "Here is something I read this morning:",
    "A few more things I have learnt:",
    "This is what I found out:",
    "Some background that may be useful later:",
    "I looked something up and want to keep it:",
    "Please take note of the following:",
    "Here are more details on several subjects:",
    "I was told the following:",
    "Some notes from what I have been reading:",
    "Let me pass on what I have just read:",
    "There is more to add to what you know:",
    "I want to share a few passages with you:",
    "The next passages are worth keeping:",
    "From my reading list of today:",
    "Here is what the encyclopaedia says:",
    "I gathered some information:",
    "More facts, in no particular order:",
    "Something new for your notes:",
    "I will need these facts at some point:",
)
LABELLED_OPENINGS = (
    "Here are examples with their labels:",
    "Please learn from these labelled examples:",
    "Each of the following texts has a number; mind which goes with what:",
    "Some more texts and the classes they belong to:",
    "These were sorted by hand, the label stands below each:",
    "Look at these texts and their labels:",
    "I have labelled a few more:",
    "Study how these are classified:",
    "The following examples show what the labels stand for:",
    "Here is a batch of classified texts:",
    "Keep in mind how these were labelled:",
    "Further training examples, with labels:",
    "These show the difference between the classes:",
    "Take note of the label of each text:",
    "A new set of examples and their classes:",
    "Please remember which label each of these got:",
    "What follows are texts with the right label:",
    "Examples of several classes, by number:",
    "From these you can tell the labels apart:",
    "I would like you to know these examples:",
)
ACKNOWLEDGEMENTS = (
    "Thanks, I will keep that in mind.",
    "Noted.",
    "I have taken that down.",
    "Understood, I will remember it.",
    "Good to know, it is saved.",
    "Thank you, I have added it to my notes.",
    "Got it.",
    "I will remember these points.",
    "All right, this is stored.",
    "Thanks for telling me, I have kept it.",
    "I have read it and will come back to it when needed.",
    "That is recorded.",
    "I will hold on to this.",
    "Very well, I know that now.",
    "Thank you, this goes into my memory.",
    "I have it.",
    "Received, and kept for later.",
    "Fine, you can ask me about it any time.",
    "I have made a note of everything.",
)


def told(text: str, day: int, draw: random.Random, openings: tuple[str, ...] = OPENINGS) -> str:
    """A user tells the assistant a text on day `day` (from 0)."""
    date = FIRST_DAY + datetime.timedelta(days=day)
    heading = f"[Dialogue between User and Assistant on {date} 00:00]"
    return f"{heading}\n<User>{draw.choice(openings)}\n{text}\n<Assistant>{draw.choice(ACKNOWLEDGEMENTS)}"


def read(text: str, date: datetime.date) -> str:
    """A user reads a piece of a book."""
    return (
        f"[On {date} the user is reading a book]\n<User> {text}\n\n"
        f"<System> Remember what the user read on {date}, and keep a summary of the book so far."
    )
