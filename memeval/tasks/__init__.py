"""Where tasks come from: one module per data set family, from upstream's records to `Context` objects.

A source is a class with `load(card, settings) -> Task`; a built-in one also says `files(card)`. The `Task` answers
what is asked, in which order, and builds one context at a time, so that a run over 1M-token streams never holds them
all.

base.py        the protocols, and what every source needs; load.py loads a task and checks a user's own
chunking.py    units to chunks
fixed.py       tasks whose streams the data have: locomo.py is the shortest; longmemeval.py, beam.py, personamem.py,
               personamem_v2.py, memalpha.py, memoryagentbench.py with mab_units.py, jsonl.py (one's own data), synth_tiny.py
streams.py     tasks whose streams are put together from questions and a pool of passages: pool.py, memocr.py; synth.py
paragraphs.py  what question sets over paragraphs share: multihop.py, nq.py, triviaqa.py
verify.py      what is on this machine, how to get the rest, and what is in it
"""

from memeval.tasks.base import Settings, Source, Task

__all__ = ["Settings", "Source", "Task"]
