"""Answers judged by a model: pinned prompts, verdicts read with care, and how far the judge itself can be trusted.

prompts.py    what a judge is asked, per family of tasks and type of question; `prompt_hash`
verdict.py    right, wrong or nothing usable, from what the judge wrote
counts.py     fluency, keypoints and sentences of a summary, from what the judge wrote, and the score they make
ruling.py     one answer before the judge: the call and the second try
judge.py      a run's samples into scores/judge-....jsonl
summary.py    the judged score with its interval, raw and corrected
calibrate.py  the judge against human labels; rates.py its statistics; calibration.jsonl the starter set
lineage.py    whether the judge comes from the family of the model it judges
offline.py    the rule that stands in for a judge when there is no model
command.py    `memeval score` and `memeval judge calibrate`
"""
