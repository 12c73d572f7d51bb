"""Timing in turns: what disturbs the machine for a while disturbs all contenders alike."""

import gc
import random
import statistics
import time


def seconds_by_round(contenders, num_rounds, on_failure=None, *, pause=0.0):
    """Wall-clock seconds of each contender in each round, after one round of warm-up.

    Each round has an order of its own, drawn from a fixed seed, so that nobody always follows the
    same neighbour, whose threads may still wait for work when its turn is over.

    Args:
        contenders: dict of name to a function without arguments, the work to time.
        num_rounds: int >= 2.
        on_failure: function of a name and an exception, called for a contender that raises one:
            the others go on without it. Without a function the exception is passed on.
        pause: float, seconds before each turn, in which such threads go to sleep.

    Returns:
        dict of name to a list of `num_rounds` seconds.
    """
    seconds = {name: [] for name in contenders}
    order = random.Random(0)
    for number in range(-1, num_rounds):
        for name in order.sample(list(seconds), len(seconds)):
            gc.collect()
            time.sleep(pause)
            start = time.perf_counter()
            try:
                contenders[name]()
            except Exception as error:
                if on_failure is None:
                    raise
                del seconds[name]
                on_failure(name, error)
                continue
            if number >= 0:
                seconds[name].append(time.perf_counter() - start)
    return seconds


def ratio(speeds, name, reference):
    """The speed of one contender over another's, taken round by round.

    Args:
        speeds: dict of name to a list of speeds, one a round.
        name: the contender above the line.
        reference: the one below it.

    Returns:
        dict with `median`, `lower_quartile` and `upper_quartile` over the rounds.
    """
    ratios = [a / b for a, b in zip(speeds[name], speeds[reference], strict=True)]
    lower, _, upper = statistics.quantiles(ratios, n=4, method="inclusive")
    return dict(median=statistics.median(ratios), lower_quartile=lower, upper_quartile=upper)


def fastest(speeds, names):
    """The name with the largest median speed."""
    return max(names, key=lambda name: statistics.median(speeds[name]))


def seconds_between(fast, slow, num_rounds, num_turns):
    """Wall-clock seconds of contenders some of which take a hundred times longer than others.

    A round is `fast, slow 1, fast, slow 2, ..., fast`, where `fast` stands for all fast contenders
    in turn, `num_turns` times over. So the fast ones are seen before and after each slow one, and
    what disturbs the machine for the seconds of a slow turn shows in them too. Every second round
    runs in reverse. Nothing is warmed up.

    Args:
        fast: dict of name to a function without arguments, the work to time.
        slow: the same of those that have one turn a round.
        num_rounds: int >= 1.
        num_turns: int >= 1.

    Returns:
        dict of name to a list of `num_rounds` lists of seconds, one for each turn.
    """
    order = [list(fast) * num_turns]
    for name in slow:
        order += [[name], list(fast) * num_turns]
    work = {**fast, **slow}
    seconds = {name: [] for name in work}
    for number in range(num_rounds):
        for turns in seconds.values():
            turns.append([])
        for names in order[::-1] if number % 2 else order:
            gc.collect()
            for name in names[::-1] if number % 2 else names:
                start = time.perf_counter()
                work[name]()
                seconds[name][-1].append(time.perf_counter() - start)
    return seconds
