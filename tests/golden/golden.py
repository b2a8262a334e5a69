"""The contents of each task, as digests and counts: `python tests/golden/golden.py` writes one JSON file per task here.

The files were made by the first version of memeval, those of BEAM and PersonaMem-v2 by the one that added them. They hold no
text of the data. Questions, streams and chunks must stay what they were, whatever becomes of the code that
builds them: published results rest on them.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

from memeval import plugins, tokens
from memeval.digests import canonical
from memeval.runs.prepare import prepare

HERE = Path(__file__).parent
SEEDS = (42, 7)
PACKED = {
    # task -> contexts to build per seed
    **dict.fromkeys(
        [f"2wiki-10k{variant}" for variant in ("", "@hard", "@tokens-5000", "@memocr", "@memagent", "@memalpha")], 8
    ),
    **dict.fromkeys([f"hotpotqa-10k{variant}" for variant in ("", "@hard", "@memocr")], 6),
    **dict.fromkeys([f"nq-10k{variant}" for variant in ("", "@hard", "@tokens-5000", "@memocr", "@memagent")], 6),
    **dict.fromkeys([f"synth-10k{variant}" for variant in ("", "@hard", "@tokens-5000", "@train", "@validation")], 8),
    **dict.fromkeys([f"{name}-10k@shared-8" for name in ("2wiki", "hotpotqa", "nq", "synth")], 2),
    **dict.fromkeys(["2wiki-30k", "nq-30k"], 3),
    **dict.fromkeys(["2wiki-100k", "2wiki-100k@memocr", "2wiki-100k@hard", "hotpotqa-100k", "nq-100k", "synth-100k"], 2),
    **dict.fromkeys(["2wiki-1m", "synth-1m"], 1),
}
FIXED = (
    *("locomo", "locomo@adversarial", "longmemeval-s", "personamem-32k"),
    *("personamem-v2-32k", "personamem-v2-32k@no-profile", "beam-100k", "beam-100k@truncated"),
)
MADE = (
    *(
        "triviaqa-10k@documents-5",
        "triviaqa-10k@tokens-1500",
        "triviaqa-10k@documents-5@hard",
        "triviaqa-10k@documents-5@memocr",
    ),
    *("memalpha-squad", "memalpha-hotpotqa", "memalpha-nlu", "memalpha-squad@memalpha"),
    *("mab-ruler_qa1_197K", "mab-eventqa_full", "mab-longmemeval_s", "mab-icl_nlu_8296shot_balance"),
    *("mab-recsys_redial_full", "mab-infbench_sum_eng_shots2", "mab-factconsolidation_sh_6k", "own"),
)
TASKS = (*PACKED, *FIXED, *MADE)
_FACTS = ("files", "questions", "contexts", "incomplete", "pool", "wiki_pool", "corpus", "asked")


def digest(value: Any) -> str:
    return hashlib.sha256(canonical(value).encode("utf-8", "surrogatepass")).hexdigest()


def record(name: str, root: Path, seed: int) -> dict[str, Any]:
    """Digests and counts of a task. root: the data folder. Raises NoData where the data are not at hand."""
    from memeval.tasks import Settings

    card = plugins.find_task(str(root / "own.yaml") if name == "own" else name)
    task = plugins.source(card)().load(card, Settings(root, seed))
    golds, refs = task.golds(), task.refs(task.order)
    data = {key: task.data[key] for key in _FACTS if key in task.data}
    if name in MADE:  # a parquet file is written differently by each version of pyarrow
        data = {key: value for key, value in data.items() if key not in ("files", "corpus")}
    kinds = Counter(question.kind if question.answerable else "unanswerable" for question in golds)
    wanted: dict[str, Any] = {}
    for ref in refs:
        wanted.setdefault(ref.context_id if not ref.visible_question else f"{ref.context_id}?{ref.visible_question}", ref)
    chosen = list(wanted.values())[: PACKED.get(name)]
    count = tokens.counter(card.tokenizer)
    return {
        "data": data,
        "questions": len(task.order),
        "first": list(task.order[:20]),
        "order": digest(list(task.order)),
        "golds": digest([dataclasses.asdict(question) for question in golds]),
        "refs": digest([dataclasses.asdict(ref) for ref in refs]),
        "contexts": len({ref.context_id for ref in refs}),
        "kinds": dict(sorted(kinds.items())),
        "built": [_built(task, ref, card, count) for ref in chosen],
    }


def _built(task: Any, ref: Any, card: Any, count: Any) -> dict[str, Any]:
    context = task.context(ref)
    prepared = prepare(context, ref, card.chunk_tokens, count, card.one_unit_per_chunk)
    return {
        "id": context.id,
        "cluster": context.cluster,
        "units": len(context.units),
        "unit_texts": digest([[unit.text, unit.time, unit.speaker] for unit in context.units]),
        "asked": digest([dataclasses.asdict(question) for question in context.questions]),
        "chunks": len(prepared.stream),
        "chunk_texts": digest([dataclasses.asdict(chunk) for chunk in prepared.stream]),
        "askings": digest([[item.position, [chunk.text for chunk in item.chunks], item.shared] for item in prepared.points]),
        "tokens": prepared.tokens,
    }


def root_of(name: str, made: Path) -> Path:
    """The data folder of a task: the made-up one, or the user's."""
    if name in MADE:
        return made
    return Path(os.environ.get("MEMEVAL_DATA") or HERE.parents[2] / "shared" / "data")


def file_of(name: str) -> Path:
    return HERE / f"{name}.json"


def main() -> None:
    from golden_data import folder

    with tempfile.TemporaryDirectory() as temporary:
        made = folder(Path(temporary))
        for name in sys.argv[1:] or TASKS:
            found = {str(seed): record(name, root_of(name, made), seed) for seed in SEEDS}
            whole = {"command": f"python tests/golden/golden.py {name}", "seeds": found}
            file_of(name).write_text(json.dumps(whole, indent=1, sort_keys=True) + "\n")
            print(name, flush=True)


if __name__ == "__main__":
    main()
