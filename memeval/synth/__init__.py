"""The generator behind the bundled tasks: a fictional world, and the toy language of the tiny writer.

generator.py  the documents of a circle of the world, and one question of each kind
world.py      circles: people, books, firms and towns, and the facts about them; relations.py, names.py, values.py
documents.py  articles that state the facts; questions.py asks for them; language.py has the words of a split
tiny.py       the toy language: lines `Name relation value`
"""
