"""Train a memory agent's writer by reinforcement learning, with the scores of the evaluation as rewards (docs/training.md).

A training step, in order:

recipe.py     everything that a training run depends on
step.py       the first half of a step, for both trainers: streams are read, rows are rewarded
reading.py    the streams, and how the engine reads them with the model under training (policy.py)
rollouts.py   the result of a reading: a row for each generation, and the facts from which rewards are computed
rewards.py    the reward of a row, and its advantage in its group; verdicts.py judges contents for one part of it
loss.py       the loss of GRPO on rows of tokens

The trainers:

loop.py, warm_start.py, tiny_model.py                the tiny writer, in one process
evaluation.py, experiment.py, plots.py               what it has learned, for several seeds and ablations
trl_run.py, row_trainer.py, weights.py               real models, by TRL
folder.py                                            the folder of a training run, from which it resumes
mixture/                                             `memeval train data`
"""
