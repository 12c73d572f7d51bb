"""What the ratios are to reach, and whether a run shows it."""

from benchmarks import interleaved

BARE_GOAL, PYTHAE_GOAL, LIGHTLY_GOAL = 0.97, 2.0, 1.5
# Above this distance of a ratio's quartiles, relative to its median, a rerun is advised.
WIDE_SPREAD = 0.15


def ratios(speeds, libraries, torch_goal):
    """kgen's speed over that of its rivals, each with its goal.

    PyTorch by hand is measured against kgen's fastest form, since both were tuned; a library's own
    way, against kgen's defaults.

    Args:
        speeds: dict of contender to a list of speeds, one a round.
        libraries: dict of contender to its library.
        torch_goal: float.

    Yields:
        dict with `of`, `to`, `goal` (None if there is none) and the fields of `interleaved.ratio`.
    """

    def named(*names):
        # Views that are drawn for a batch at once are not the same work.
        return [n for n in speeds if libraries[n] in names and "one draw" not in n]

    pairs = [("kgen", "bare Keras", BARE_GOAL), ("kgen, XLA", "bare Keras, XLA", BARE_GOAL)]
    ours, torch_forms = named("kgen"), named("torch", "lightly")
    if ours and torch_forms:
        best, ours = interleaved.fastest(speeds, torch_forms), interleaved.fastest(speeds, ours)
        pairs += [(ours, best, torch_goal)] + [("kgen", best, None)] * (ours != "kgen")
    if named("pythae"):
        pairs += [("kgen", "Pythae", PYTHAE_GOAL)]
    if named("lightly"):
        pairs += [("kgen", interleaved.fastest(speeds, named("lightly")), LIGHTLY_GOAL)]
    pairs += [("kgen", name, None) for name in speeds if "one draw" in name]
    for name, reference, goal in dict.fromkeys(pairs):
        if name in speeds and reference in speeds:
            yield dict(
                of=name, to=reference, goal=goal, **interleaved.ratio(speeds, name, reference)
            )


def verdict(row):
    """Whether a ratio meets its goal, and whether its quartiles let one say so."""
    if row["goal"] is None:
        return "no goal"
    if row["upper_quartile"] - row["lower_quartile"] > WIDE_SPREAD * row["median"]:
        return f"goal {row['goal']}: no verdict, the quartiles are too far apart: run again"
    words = "met" if row["median"] >= row["goal"] else "MISSED"
    if row["lower_quartile"] < row["goal"] <= row["upper_quartile"]:
        words += ", but the goal lies between the quartiles"
    return f"goal {row['goal']}: {words}"


def memory_ratios(megabytes, libraries):
    """kgen's peak memory over that of each form of PyTorch; the goal is at most 1.

    Args:
        megabytes: dict of contender to a list of the peaks of its steps, one a process.
        libraries: dict of contender to its library.

    Yields:
        dict with `of`, `to`, and the `smallest` and `largest` ratio of any two processes.
    """
    for reference, library in libraries.items():
        if library == "torch" and "kgen" in megabytes and reference in megabytes:
            ours, theirs = megabytes["kgen"], megabytes[reference]
            yield dict(
                of="kgen",
                to=reference,
                smallest=min(ours) / max(theirs),
                largest=max(ours) / min(theirs),
            )


def memory_verdict(row):
    """Whether a ratio of memory meets its goal."""
    if row["smallest"] <= 1.0 < row["largest"]:
        return "goal at most 1: no verdict, some processes meet it and some do not: run again"
    return f"goal at most 1: {'met' if row['largest'] <= 1.0 else 'MISSED'}"
