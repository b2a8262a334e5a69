"""The memory of Mem-alpha: core, semantic and episodic entries, and the tools by which a model writes them.

store.py      the entries: insert, update, delete, search; each change returns its effect
tools.py      a model's calls -> changes of a store; published.py: the same with the statuses of the official code
quoting.py    calls that name lines of the chunk instead of copying them
replay.py     what a memory held, rebuilt from the recorded effects
entries.py    a list of what an agent holds, made only when it is read
"""
