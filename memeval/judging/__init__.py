"""Judge answers by a model: pinned prompts, verdicts in a fixed form, and how far the judge can be trusted.

prompts.py      the prompts of a judge, per family of tasks and type of question; `prompt_hash`
official.py     published judges: their prompts are fetched, their replies are read by their own rule
verdict.py      reads a reply: right or wrong, a score, or the counts of a summary
shares.py       the score of an answer, from scores of rubric items or counts
judge.py        answers -> verdicts: one call each, and a second try
scorer.py       the name of a judge as a scorer, and its calls through the same gateway as a run's
judged_run.py   writes the verdicts on a run's samples to scores/judge-....jsonl
summary.py      the judged score with its interval, raw and corrected
calibrate.py    compares the judge with human labels; rates.py: its statistics; calibration.jsonl: the starter set
related.py      whether the judge is of the same family as the model that it judges
offline.py      a rule on strings, where the judge is `offline`
"""
