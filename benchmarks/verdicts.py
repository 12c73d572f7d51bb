"""What the ratios are to reach, and whether a run shows it."""

from benchmarks import interleaved
from benchmarks.rounds import WIDE_SPREAD

BARE_GOAL, PYTHAE_GOAL, LIGHTLY_GOAL = 0.97, 2.0, 1.5


def ratios(speeds, contenders, torch_goal, absent=()):
    """kgen's speed over that of its rivals, each pair once, with its goals.

    The fastest of all PyTorch's forms, a loop on lightly's losses included, is measured against
    kgen's fastest, since both were tuned. A library's own way, against kgen's defaults; its ratio
    to kgen's fastest form has no goal.

    Args:
        speeds: dict of contender to a list of speeds, one a round.
        contenders: dict of name to `rivals.Contender`.
        torch_goal: float.
        absent: names of PyTorch's forms and libraries that could not take part.

    Yields:
        dict with `of`, `to`, `goals` (dict of what is judged to a float; empty if nothing is) and
        the fields of `interleaved.ratio`.
    """
    wanted = {}
    for name, reference, judged, goal in _pairs(speeds, contenders, torch_goal, absent):
        if name in speeds and reference in speeds:
            goals = wanted.setdefault((name, reference), {})
            goals.update({} if goal is None else {judged: goal})
    for (name, reference), goals in wanted.items():
        yield dict(of=name, to=reference, goals=goals, **interleaved.ratio(speeds, name, reference))


def fastest_kgen(speeds, contenders):
    """The name of kgen's fastest form, or None without any."""
    ours = [name for name in speeds if contenders[name].library == "kgen"]
    return interleaved.fastest(speeds, ours) if ours else None


def _pairs(speeds, contenders, torch_goal, absent):
    """Yields `(above the line, below it, what is judged, goal or None)`."""
    for suffix in ("", ", XLA", ", without XLA"):
        yield f"kgen{suffix}", f"bare Keras{suffix}", "bare Keras", BARE_GOAL
    rivals = [contenders[name] for name in speeds]
    forms = [c.name for c in rivals if c.library in ("torch", "lightly") and c.same_work]
    if forms:
        best = interleaved.fastest(speeds, forms)
        judged = "PyTorch's fastest form"
        if absent:
            judged += f" of those at hand; left out: {' and '.join(absent)}"
        yield fastest_kgen(speeds, contenders), best, judged, torch_goal
        yield "kgen", best, judged, None
    for library, goal in (("pythae", PYTHAE_GOAL), ("lightly", LIGHTLY_GOAL)):
        own_ways = [c.name for c in rivals if c.library == library and c.own_way]
        if own_ways:
            best = interleaved.fastest(speeds, own_ways)
            judged = f"{best}, as its users write it"
            yield "kgen", best, judged, goal
            if fastest_kgen(speeds, contenders) != "kgen":
                yield fastest_kgen(speeds, contenders), best, "", None
    for rival in rivals:
        if not rival.same_work:
            yield "kgen", rival.name, "", None


def verdict(row, hindrance=""):
    """Whether a ratio meets its goals, and whether one can say so.

    Args:
        row: of `ratios`.
        hindrance: str, what alone forbids a verdict, such as a busy machine.
    """
    if not row["goals"]:
        return "no goal"
    return "; ".join(
        f"goal {goal} ({judged}): {_verdict(row, goal, hindrance)}"
        for judged, goal in row["goals"].items()
    )


def _verdict(row, goal, hindrance):
    if hindrance:
        return f"no verdict, {hindrance}"
    lower, upper = row["lower_quartile"], row["upper_quartile"]
    if lower < goal <= upper:
        return "no verdict, the goal lies between the quartiles: run again"
    width = upper - lower
    if width > WIDE_SPREAD * row["median"] and width > min(abs(lower - goal), abs(upper - goal)):
        return "no verdict, the quartiles are further apart than from the goal: run again"
    return "met" if lower >= goal else "MISSED"


def with_memory_goal(names, contenders, fastest):
    """The contenders whose memory is judged: kgen's two forms and PyTorch's eager ones by hand."""
    return {
        name
        for name in names
        if name in ("kgen", fastest)
        or (contenders[name].library == "torch" and not contenders[name].compiled)
    }


def memory_ratios(megabytes, contenders, fastest):
    """kgen's peak memory over that of each form of PyTorch by hand; the goal is at most 1.

    Beside `torch.compile` there is no goal: the modules of its compiler, some hundred MB, would
    count as memory of the step.

    Args:
        megabytes: dict of contender to a list of the peaks of its steps, one a process.
        contenders: dict of name to `rivals.Contender`.
        fastest: the name of kgen's form that carries the goal of speed.

    Yields:
        dict with `of`, kgen's defaults and its fastest form, `to`, `goal` (1 or None), the
        `smallest` and `largest` ratio of any two processes, and how many `processes` each had.
    """
    for name in dict.fromkeys(("kgen", fastest)):
        for reference, rival in contenders.items():
            if rival.library == "torch" and name in megabytes and reference in megabytes:
                ours, theirs = megabytes[name], megabytes[reference]
                yield dict(
                    of=name,
                    to=reference,
                    goal=None if rival.compiled else 1.0,
                    smallest=min(ours) / max(theirs),
                    largest=max(ours) / min(theirs),
                    processes=min(len(ours), len(theirs)),
                )


def memory_verdict(row, hindrance=""):
    """Whether a ratio of memory meets its goal; `hindrance` as for `verdict`."""
    if row["goal"] is None:
        return "no goal"
    if hindrance:
        return f"goal at most 1: no verdict, {hindrance}"
    if row["processes"] < 2:
        return "goal at most 1: no verdict, one process shows no spread: --memory_runs=2"
    if row["smallest"] <= 1.0 < row["largest"]:
        return "goal at most 1: no verdict, some processes meet it and some do not: run again"
    return f"goal at most 1: {'met' if row['largest'] <= 1.0 else 'MISSED'}"
