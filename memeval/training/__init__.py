"""Reinforcement learning of a memory agent's writer, by the scores of the evaluation (docs/training.md).

One step, in the order in which it happens:

recipe.py     everything that a training run depends on
step.py       the first half: streams are read, rows are rewarded; both trainers begin with it
reading.py    the streams, and how the engine reads them with the model under training (policy.py)
rollouts.py   what a reading comes to: a row for each generation, and the facts that rewards are made of
rewards.py    the reward of a row, its advantage in its group; verdicts.py is the judge of its last part
loss.py       the loss of GRPO on rows of tokens

The trainers and what they train:

loop.py, warm_start.py, tiny_model.py                the tiny writer, in one process
evaluation.py, experiment.py, plots.py               what it has learned, for several seeds and ablations
trl_run.py, row_trainer.py, weights.py               real models, by TRL
folder.py                                            the folder of a training run, from which it goes on
mixture/                                             `memeval train data`
"""
