"""Where tasks come from: one module per data set family, from upstream's records to `Context` objects.

A source is a class with `load(card, settings) -> Task`; a built-in one also says `files(card)`. The `Task` answers
what is asked, in which order, and builds one context at a time, so that a run over 1M-token streams never holds them
all.

base.py        the protocols, and what every source needs; fixed.py, streams as the data have them
chunking.py    units to chunks
pool.py, streams.py, memocr.py    streams put together from questions and a pool of passages
paragraphs.py  what question sets over paragraphs share: multihop.py, nq.py, triviaqa.py
jsonl.py       one's own data; synth.py, the bundled task
"""

from memeval.tasks.base import Settings, Source, Task

__all__ = ["Settings", "Source", "Task"]
