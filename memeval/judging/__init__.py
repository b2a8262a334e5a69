"""Answers judged by a model: pinned prompts, verdicts in the form that was asked for, and how far the judge can be trusted.

prompts.py      what a judge is asked, per family of tasks and type of question; `prompt_hash`
official.py     judges as published: their prompts are fetched, their replies read by their own rule
verdict.py      what its reply says: right or wrong, a score, or the counts of a summary
shares.py       what scores and counts make of an answer
judge.py        answers to verdicts: one call each, and a second try
scorer.py       a judge's name as a scorer, and its calls through the gateway of any other run
judged_run.py   a run's samples into scores/judge-....jsonl
summary.py      the judged score with its interval, raw and corrected
calibrate.py    the judge against human labels; rates.py its statistics; calibration.jsonl the starter set
related.py      whether the judge is of the family of the model that it judges
offline.py      a rule on strings, where the judge is `offline`
"""
