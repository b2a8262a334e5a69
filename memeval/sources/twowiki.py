"""2WikiMultihopQA (Ho et al., COLING 2020, arXiv 2011.01060): multi-hop questions from Wikipedia and Wikidata."""

from __future__ import annotations

from memeval.sources.multihop import Layout, MultiHop


class TwoWiki(MultiHop):
    """The dev set, whose contexts always hold the gold. Sentences have no leading blank."""

    layout = Layout(
        files=("2wikimultihopqa/dev.json",),
        corpus="2wikimultihopqa/*_corpus*.json",
        hub="voidful/2WikiMultihopQA",
        hub_files="dev.json",
        joint=" ",
    )
