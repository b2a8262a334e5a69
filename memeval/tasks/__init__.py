"""Sources of tasks: one module per data set family, from upstream's records to `Context` objects.

A source is a class with `load(card, settings) -> Task`; a built-in one also has `files(card)`. The `Task` gives the
questions and their order, and builds one context at a time, so that a run over 1M-token streams never holds them all.

base.py        the protocols, and what every source needs; load.py loads a task and checks a user's own
chunking.py    units to chunks
fixed.py       tasks whose streams the data contain: locomo.py is the shortest; longmemeval.py, beam.py, personamem.py,
               personamem_v2.py, memalpha.py, memoryagentbench.py with mab_units.py, synth_tiny.py, jsonl.py (users' data)
streams.py     tasks whose streams are built from questions and a pool of passages: pool.py, memocr.py; synth.py
paragraphs.py  what question sets over paragraphs share: multihop.py, nq.py, triviaqa.py
verify.py      which data are on this machine, how to get the rest, and what they contain
"""

from memeval.tasks.base import Settings, Source, Task

__all__ = ["Settings", "Source", "Task"]
