"""How long the replies of a model were: learned from the calls that earlier runs of a task made, for the next estimate.

The lengths of replies are a model's own, and depend on what it is asked for. So only calls of the same task, role, phase and
model (with its sampling parameters) count, and of the same agent, but for the reader's answers, whose prompt is the same for
all (what a server holds of it is not). A run that was stopped after a few questions teaches as well as a whole one.
"""

from __future__ import annotations

import contextlib
import math
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path

from memeval.costs import bookings
from memeval.errors import UsageError
from memeval.estimating.dry_run import judge_family
from memeval.judging.scorer import scorer_name
from memeval.models.completion import Usage
from memeval.models.stand_in import Lengths
from memeval.records.folder import RunFolder
from memeval.runs.plan import Planned
from memeval.runs.spec import FORMAT
from memeval.stats import t_quantile

FEWEST = 8
"""Calls that say something about the next ones; where there are fewer, there is only a guess."""
MOST = 5000
"""Lines of a file that are looked at."""
Key = tuple[str, str]
"""(role, phase)"""


def experience(planned: Planned) -> dict[str, dict[str, Lengths]]:
    """role -> phase -> what earlier calls tell, where there are enough of them."""
    calls: Counter[Key] = Counter()
    tokens: defaultdict[Key, Usage] = defaultdict(Usage)
    own: defaultdict[Key, Usage] = defaultdict(Usage)
    squares: defaultdict[Key, float] = defaultdict(float)
    for path in sorted(planned.spec.folder.parent.glob("*/manifest.json")):
        with contextlib.suppress(UsageError):  # a damaged folder is another run's trouble
            for key, usage, number, same_agent in _told(planned, path.parent):
                calls[key] += number
                tokens[key] += usage
                squares[key] += usage.completion**2 / max(1, number)
                own[key] += usage if same_agent else Usage()
    known: defaultdict[str, dict[str, Lengths]] = defaultdict(dict)
    for (role, phase), number in calls.items():
        used = tokens[role, phase]
        if number >= FEWEST:
            share = own[role, phase].cached / max(1, own[role, phase].prompt)
            mean = used.completion / number
            deviation = math.sqrt(max(0.0, squares[role, phase] / number - mean**2) * number / (number - 1))
            error = t_quantile(0.975, number - 1) * deviation / math.sqrt(number) / max(1.0, mean)
            known[role][phase] = Lengths(number, mean, used.reasoning / number, share, error)
    return known


def _told(planned: Planned, folder: Path) -> Iterator[tuple[Key, Usage, int, bool]]:
    """The calls of a run folder that are like those to come, and whether they are of the same agent."""
    spec = planned.spec
    run = RunFolder(folder)
    manifest = run.manifest()
    if manifest is None or manifest.format != FORMAT:
        return
    ours, theirs = spec.identity()["models"], manifest.identity["models"]
    same_agent = manifest.agent == spec.agent.card.name
    judged = []
    if planned.judge is not None:
        scorer = scorer_name(planned.judge, judge_family(spec), planned.judge_prompt)
        judged = [header for header in [run.judge_header(scorer)] if header]
    samples = [row for row in run.samples() if row.failure is None]
    for phase, role, usage, calls in bookings(samples[:MOST], run.memory.operations()[:MOST], judged):
        like = same_agent or (role, phase) == ("reader", "answer")
        if role == "judge" or (like and role in ours and theirs.get(role) == ours[role]):
            yield (role, phase), usage, calls, same_agent
