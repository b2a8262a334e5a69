"""HotpotQA (Yang et al., EMNLP 2018, arXiv 1809.09600): two-hop questions over Wikipedia introductions."""

from __future__ import annotations

from memeval.sources.multihop import Layout, MultiHop


class HotpotQA(MultiHop):
    """The distractor setting of dev; else the fullwiki setting, of which only questions with complete gold are asked (its
    paragraphs are a retriever's). Never train. Sentences carry their leading blank, so nothing stands between them."""

    layout = Layout(
        files=("hotpotqa/hotpot_dev_distractor_v1.json", "hotpotqa/hotpot_dev_fullwiki_v1.json"),
        corpus="hotpotqa/*_corpus*.json",
        hub="hotpotqa/hotpot_qa",
        hub_files="distractor/validation-*.parquet",
        joint="",
    )
