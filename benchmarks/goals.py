"""What the ratios of training are to reach, whether a run shows it, and the table that says so."""

import math
import statistics

from benchmarks import harness

BARE_GOAL, PYTHAE_GOAL, LIGHTLY_GOAL = 0.97, 2.0, 1.5


def is_form_of_pytorch(one):
    return one.library in ("torch", "lightly") and one.same_work


def is_eager_pytorch(one):
    return one.library == "torch" and not one.compiled


def fastest(speeds, contenders, wanted):
    """The name with the largest median speed of the wanted contenders, or None without any."""
    names = [name for name in speeds if wanted(contenders[name])]
    return max(names, key=lambda name: statistics.median(speeds[name]), default=None)


def fastest_kgen(speeds, contenders):
    return fastest(speeds, contenders, lambda one: one.library == "kgen")


def ratios(speeds, contenders, torch_goal, absent=()):
    """kgen's speed over that of its rivals, each pair once, with its goals.

    The fastest of all PyTorch's forms is measured against kgen's fastest, since both were tuned. A
    library's own way, against kgen's defaults; its ratio to kgen's fastest form has no goal. The
    `goals` are a dict of what is judged to a float, empty if nothing is. `absent` are the names of
    PyTorch's forms and libraries that could not take part.
    """
    wanted = {}
    for name, reference, judged, goal in _pairs(speeds, contenders, torch_goal, absent):
        if name in speeds and reference in speeds:
            found = wanted.setdefault((name, reference), {})
            found.update({} if goal is None else {judged: goal})
    for (name, reference), found in wanted.items():
        pairs = zip(speeds[name], speeds[reference], strict=True)
        lower, middle, upper = harness.quartiles([a / b for a, b in pairs])
        quartiles = dict(median=middle, lower_quartile=lower, upper_quartile=upper)
        yield dict(of=name, to=reference, goals=found, **quartiles)


def _pairs(speeds, contenders, torch_goal, absent):
    for suffix in ("", ", XLA", ", without XLA"):
        yield f"kgen{suffix}", f"bare Keras{suffix}", "bare Keras", BARE_GOAL
    ours = fastest_kgen(speeds, contenders)
    best = fastest(speeds, contenders, is_form_of_pytorch)
    judged = "PyTorch's fastest form"
    if absent:
        judged += f" of those at hand; left out: {' and '.join(absent)}"
    yield ours, best, judged, torch_goal
    yield "kgen", best, judged, None
    for library, goal in (("pythae", PYTHAE_GOAL), ("lightly", LIGHTLY_GOAL)):
        own = fastest(speeds, contenders, lambda c, key=library: c.library == key and c.own_way)
        yield "kgen", own, f"{own}, as its users write it", goal
        yield ours, own, "", None
    for name in speeds:
        if not contenders[name].same_work:
            yield "kgen", name, "", None


def verdict(row, why_not=""):
    found = row["lower_quartile"], row["median"], row["upper_quartile"]
    words = [
        f"goal {goal} ({judged}): {harness.verdict(found, goal, 'quartiles', why_not=why_not)}"
        for judged, goal in row["goals"].items()
    ]
    return "; ".join(words) or "no goal"


def memory_ratios(megabytes, contenders, fastest):
    """kgen's peak memory over that of each form of PyTorch by hand; the goal is at most 1.

    Beside `torch.compile` there is no goal: the modules of its compiler, some hundred MB, would
    count as memory of the step. The range is that of the ratios of any two processes.
    """
    for name in dict.fromkeys(("kgen", fastest)):
        for reference, rival in contenders.items():
            if rival.library == "torch" and name in megabytes and reference in megabytes:
                ours, theirs = megabytes[name]["step"], megabytes[reference]["step"]
                yield dict(
                    of=name,
                    to=reference,
                    goal=1.0 if is_eager_pytorch(rival) else None,
                    smallest=min(ours) / max(theirs),
                    largest=max(ours) / min(theirs),
                    processes=min(len(ours), len(theirs)),
                )


def memory_verdict(row, why_not=""):
    if row["goal"] is None:
        return "no goal"
    if row["processes"] < 2:
        why_not = why_not or "one process shows no spread: --memory_runs=2"
    found = row["smallest"], 1.0, row["largest"]
    how = dict(at_most=True, wide=math.inf, why_not=why_not)
    return f"goal at most 1: {harness.verdict(found, 1.0, 'processes', **how)}"


def mark(contender):
    """What a reader of the table must know of a contender; "" for most."""
    if not contender.same_work:
        return "another, easier task: no goal"
    return "its own way" if contender.own_way else ""


def print_case(name, result):
    """Print one case of `training.measure`: speeds, ratios with their goals, then memory."""
    if any(map(harness.is_busy, result["cores_of_others"])):
        harness.say_busy(max(result["cores_of_others"]))
    print(f"\n{name}: images a second, median (smallest - largest); gigaflops, share of the peak")
    for contender, values in result["images_per_second"].items():
        line = f"  {contender:46} {harness.spread(values, 0, 9, 20)}"
        if contender in result.get("gigaflops", {}):
            line += f"{result['gigaflops'][contender]:8.1f}"
        if contender in result.get("share_of_peak", {}):
            line += f" {result['share_of_peak'][contender]:6.1%}"
        print(f"{line}  {result['marks'][contender]}".rstrip())
    print("  ratio, median of the rounds (quartiles)")
    why_not = result["hindrance"]
    for row in result["ratios"]:
        spread = f"{row['median']:.3f}  ({row['lower_quartile']:.3f} - {row['upper_quartile']:.3f})"
        print(f"  {row['of'] + ' / ' + row['to']:46} {spread}  {verdict(row, why_not)}")
    if "megabytes" not in result:
        return
    print("  peak memory, MB: allocated by the model and its steps; of the whole process")
    for contender, peaks in result["megabytes"].items():
        step, process = (statistics.median(peaks[key]) for key in ("step", "process"))
        print(f"  {contender:46} {step:9,.0f}  {process:9,.0f}")
    for row in result["memory_ratios"]:
        spread = f"({row['smallest']:.3f} - {row['largest']:.3f})"
        label = f"memory of {row['of']} / {row['to']}"
        print(f"  {label:46} {spread}  {memory_verdict(row, why_not)}")
