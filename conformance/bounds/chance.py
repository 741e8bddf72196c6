"""Chance: how surprising is a count of independent coin tosses, whatever the coin is made of?

Chernoff's bound (Hoeffding, "Probability Inequalities for Sums of Bounded Random Variables", 1963, Theorem 1): of n
tosses with probability p, a count as far from n·p as k or farther, on the same side, has a probability of at most
e^(−n·KL(k/n ‖ p)). It holds for every n and p, so a limit on it is a limit on false alarms. It also holds for n drawn
without replacement from a population of which a share p counts (Section 6).
"""

from __future__ import annotations

from math import log


def surprise(count: int, tosses: int, p: float) -> float:
    """n·KL(k/n ‖ p): minus the logarithm of a bound on the probability of ``count`` or anything beyond."""
    return sum(
        part * log(part / (tosses * expected)) for part, expected in ((count, p), (tosses - count, 1.0 - p)) if part
    )


def threshold(alarm: float, tests: int) -> float:
    """The surprise that ``tests`` tests, each of them two-sided, all stay below but for a probability of ``alarm``."""
    return log(2 * tests / alarm)
