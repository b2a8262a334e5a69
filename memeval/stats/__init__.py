"""All intervals, comparisons and averages of memeval (validity section 1 is the specification). Inputs and results are
fractions.

interval(values, clusters)    mean with interval, one value per question      Interval
paired(a, b, clusters)        two agents on the same questions, with a test   Difference
difference(a, b, clusters)    the same without a test: value, low, high
holm(p_values)                adjustment for several comparisons
tells_apart(p)                whether p is below .05
lift(agent, none, oracle, clusters)   an agent's share of the gain of a perfect memory   Lift
growth(values, base, clusters)        how much more one run takes than another
average_repeats               averages repeats, before anything else
detectable_effect, half_width what n questions can show
"""

from memeval.stats.comparisons import Difference, difference, holm, mcnemar, paired, tells_apart
from memeval.stats.distributions import binomial_limits, t_quantile
from memeval.stats.intervals import Interval, average_repeats, interval
from memeval.stats.lifts import Lift, growth, lift
from memeval.stats.planning import detectable_effect, half_width

__all__ = [
    "Difference",
    "Interval",
    "Lift",
    "average_repeats",
    "binomial_limits",
    "detectable_effect",
    "difference",
    "growth",
    "half_width",
    "holm",
    "interval",
    "lift",
    "mcnemar",
    "paired",
    "t_quantile",
    "tells_apart",
]
