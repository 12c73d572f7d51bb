"""What a handful of rounds show: whether a goal is met, or why nobody can say."""

import statistics

from benchmarks.machine import cores_of_others, is_busy

# Rounds whose largest and smallest ratio differ by more than this share of their median are wide.
WIDE_SPREAD = 0.15


def obstacle(machine, quick):
    """What forbids every verdict of a run, or "": asked after it, it looks at the machine again.

    Args:
        machine: what `machine.start` returned.
        quick: bool.
    """
    if quick:
        return "--quick measures nothing"
    if is_busy(machine["cores_of_others"]) or is_busy(cores_of_others()):
        return "the machine was busy"
    return ""


def verdict(ratios, goal, *, at_most=False, why_not=""):
    """Whether ratios meet a goal: in all rounds, in none, or without an answer.

    Three rounds have no quartiles to speak of. Wide ones that all lie on one side of the goal say
    nothing either if they are nearer to it than to one another.

    Args:
        ratios: list of floats, one a round.
        goal: float, what is to be reached, or with `at_most` not to be exceeded.
        at_most: bool.
        why_not: an obstacle, which forbids a verdict.
    """
    label = f"goal {'at most ' if at_most else ''}{goal:g}"
    if why_not:
        return f"{label}: no verdict, {why_not}"
    if len(ratios) < 2:
        return f"{label}: no verdict, one round shows no spread"
    met = sum(ratio <= goal if at_most else ratio >= goal for ratio in ratios)
    if met not in (0, len(ratios)):
        return f"{label}: no verdict, met in {met} of {len(ratios)} rounds: run again"
    width = max(ratios) - min(ratios)
    wide = width > WIDE_SPREAD * statistics.median(ratios)
    if wide and width > min(abs(ratio - goal) for ratio in ratios):
        return f"{label}: no verdict, the rounds are further apart than from the goal: run again"
    return f"{label}: {'met' if met else 'MISSED'} in all rounds"


def spread(ratios, digits=1):
    """The median of the rounds and their range, as text."""
    middle, least, most = statistics.median(ratios), min(ratios), max(ratios)
    return f"{middle:6.{digits}f}  ({least:.{digits}f} - {most:.{digits}f})"
