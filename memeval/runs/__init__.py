"""From a command to the rows of a run, and from the rows to its numbers.

The path of a question, with the files that it crosses:

    plan.py          cards, data, models and an agent's class become a RunSpec (spec.py)
    run.py           the driver: opens the folder, finds what is left to ask, writes every row
    engine.py        builds contexts (prepare.py), keeps --concurrency of them open; a control answers at once, an agent gets
                     a ContextRun
    context.py       feeds the chunks, forks where questions are asked, takes the recall
    agent_runner.py  one method of the agent, in its context's thread (agent_thread.py); handed_over.py checks the result
    reader.py        cuts the recall to the budget, asks the reader, makes the sample
    score.py         the task's metrics on every sample, once all are there
    summary.py       averages, intervals and costs: the Summary that is printed (notes.py adds what contradicts it)

Rows (records/rows.py) and signals (signals.py) go from the engine to the driver; nothing comes back.
"""
