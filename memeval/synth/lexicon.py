"""The words of the fictional worlds, three disjoint sets: one for each split.

A coined word (a name of a person, town, organisation, river or prize) begins with one of its split's three-letter
syllables, so its first three letters tell the split, and its ending tells the type. English value words (professions,
goods, words of book titles) are plain disjoint lists. Two splits therefore share no entity, whatever the seed.
"""

from __future__ import annotations

from dataclasses import dataclass

SPLITS = ("train", "validation", "test")

# Endings by type, shared by the splits: a type can be read off the ending, a split off the beginning.
FEMALE = ("ina", "ira", "ela", "ona", "ula", "eth")
MALE = ("ovan", "in", "ard", "ec", "emir", "os")
SURNAME = ("bergen", "quist", "mund", "hart", "strom", "well", "kov", "ley", "ander", "sen", "wright", "mark")
TOWN_MIDDLE = ("", "a", "en", "er")
TOWN = ("ford", "wick", "mere", "stad", "holm", "port", "bury", "haven", "gate", "field", "combe", "thorpe")
ORGANISATION = ("ax", "ion", "eo", "urn", "ite", "orb", "yx", "antz")
RIVER = ("na", "wa", "ra", "lo", "sa", "ne", "ma", "du")
PRIZE = ("ek", "ost", "une", "arl")
BOOK = ("ethos", "ilon", "undra", "adoon")


@dataclass(frozen=True, slots=True)
class Lexicon:
    """The words of one split. `syllables` have exactly three letters; the other fields are English words."""

    syllables: tuple[str, ...]
    title_adjectives: tuple[str, ...]
    title_nouns: tuple[str, ...]
    organisation_nouns: tuple[str, ...]
    prize_nouns: tuple[str, ...]
    professions: tuple[str, ...]
    products: tuple[str, ...]
    trades: tuple[str, ...]
    objects: tuple[str, ...]


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


def _phrases(text: str) -> tuple[str, ...]:
    return tuple(" ".join(part.split()) for part in text.split(","))


LEXICONS = {
    "train": Lexicon(
        syllables=_words(
            "Bar Bel Cad Dal Dor Eld Fen Gal Hal Jor Kes Lan Mal Nor Orl Pel Ral Sel Tam Ulm Var Wes Yor Zel Dex Gun Tib Bex"
        ),
        title_adjectives=_words(
            "Silent Amber Hollow Crimson Winter Broken Distant Golden Hidden Iron Lonely Midnight Narrow Pale Quiet "
            "Restless Scarlet Tender Velvet Wandering Yellow Bitter Crooked Drowsy Early Faded"
        ),
        title_nouns=_words(
            "Orchard Lantern Harbour Mirror Staircase Meadow Compass Feather Garden Island Journey Kingdom Ladder Mountain "
            "Needle Oak Passage Quarry Ribbon Shadow Tower Umbrella Valley Window Anchor Bonfire"
        ),
        organisation_nouns=_words("Works Company Guild Brothers Factory Mills"),
        prize_nouns=_words("Medal Cup"),
        professions=_phrases(
            "cartographer, bookbinder, glassblower, surveyor, beekeeper, organist, botanist, saddler, clockmaker, midwife, "
            "engraver, potter, typesetter, notary"
        ),
        products=_phrases(
            "ruby glass, potted trout, walnut cakes, woollen blankets, pear brandy, glazed tiles, goat cheese, straw hats, "
            "candied ginger, pewter bells, rye bread, beeswax candles"
        ),
        trades=_phrases(
            "brass instruments, river barges, school desks, printing type, weighing scales, umbrella frames, fishing nets, "
            "mill gears, postage stamps, roof gutters"
        ),
        objects=_phrases(
            "paper lanterns, tin whistles, old keys, pressed ferns, riding boots, china eggs, ship models, pickle jars, "
            "walking sticks, stamped envelopes, framed sketches, folding stools"
        ),
    ),
    "validation": Lexicon(
        syllables=_words(
            "Ast Ber Cor Dun Erm Fal Gor Hes Jun Kor Lem Mir Nev Ost Ris Sav Tol Und Vel Wil Xan Zor Pim Fos Rab Cul Hob Tus"
        ),
        title_adjectives=_words(
            "Ancient Blue Copper Dusty Endless Foreign Gentle Heavy Idle Jade Knotted Little Marble Northern Opal Patient "
            "Rusted Silver Twisted Unwritten Violet Wooden Borrowed Careless Double Empty"
        ),
        title_nouns=_words(
            "Almanac Bell Candle Door Engine Forest Glacier Hourglass Inn Jewel Kite Letter Moon Nightingale Ocean Parlour "
            "Question Rain Sparrow Theatre Vineyard Well Voyage Carnival Drawer Fiddle"
        ),
        organisation_nouns=_words("Foundry Partners Manufactory Industries Cooperative Union"),
        prize_nouns=_words("Prize Laurel"),
        professions=_phrases(
            "lens grinder, translator, weaver, geologist, stonemason, violinist, pharmacist, carpenter, meteorologist, "
            "gardener, locksmith, illustrator, shipwright, tailor"
        ),
        products=_phrases(
            "cherry jam, lace collars, salted butter, juniper gin, carved spoons, grey pottery, honey biscuits, "
            "linen cloth, smoked ham, silver buttons, apple vinegar, rush mats"
        ),
        trades=_phrases(
            "bicycle saddles, theatre curtains, optical lenses, pruning tools, pocket watches, church windows, "
            "typewriter ribbons, tiled stoves, chess sets, playing cards"
        ),
        objects=_phrases(
            "seed packets, travel trunks, plaster gnomes, clay marbles, dance shoes, brown parcels, sheet music folders, "
            "shell necklaces, birdcages, wall clocks, hand mirrors, toy soldiers"
        ),
    ),
    "test": Lexicon(
        syllables=_words(
            "Amb Bos Cal Dev Fug Gil Hol Ing Jas Kal Lor Mos Nim Ord Pav Rud Sor Tev Ush Vin Wom Yel Zan Lup Qes Ket Ras Nol"
        ),
        title_adjectives=_words(
            "Burning Clouded Deep Eastern Frozen Green Humble Inner Jagged Kindly Last Misty Nameless Open Painted Royal "
            "Salt Thin Upper Vanished White Arctic Bright Common Dark Elder"
        ),
        title_nouns=_words(
            "Arcade Barrel Cathedral Diary Echo Ferry Gate Hammer Icicle Jar Key Lagoon Monastery Nest Oath Pilgrim Quilt "
            "Road Sailor Thimble Uncle Veil Whistle Abbey Beacon Causeway"
        ),
        organisation_nouns=_words("Workshop Enterprises House Yard Associates Makers"),
        prize_nouns=_words("Award Star"),
        professions=_phrases(
            "astronomer, basket maker, piano tuner, veterinarian, cooper, lexicographer, signwriter, blacksmith, "
            "choirmaster, photographer, brewer, dentist, archivist, roofer"
        ),
        products=_phrases(
            "plum dumplings, coral beads, pickled herring, wicker chairs, rose water, leather gloves, poppy rolls, "
            "black ink, sharp mustard, hemp rope, chestnut flour, slate boards"
        ),
        trades=_phrases(
            "railway lamps, jointed puppets, sewing needles, snow shovels, cigar boxes, relief maps, medicine bottles, "
            "box kites, tram tickets, desk globes"
        ),
        objects=_phrases(
            "silk flags, raffle slips, oil portraits, chipped teacups, seashells, bent hooks, postcards, fur coats, "
            "boxed puzzles, spare spectacles, bamboo flutes, torn tickets"
        ),
    ),
}
