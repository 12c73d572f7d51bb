"""The table that `benchmarks.training` prints of a case."""

import statistics

from benchmarks import machine, verdicts

# "lightly's loss, views by hand, torch.compile"
_WIDTH = 46


def print_case(name, result):
    """Print one case: speeds, ratios with their goals, then memory.

    Args:
        name: the case's.
        result: of `training.measure`.
    """
    if any(map(machine.is_busy, result["cores_of_others"])):
        machine.say_busy(max(result["cores_of_others"]))
    print(f"\n{name}: images a second, median (smallest - largest); gigaflops, share of the peak")
    for contender, values in result["images_per_second"].items():
        middle = statistics.median(values)
        spread = f"({min(values):,.0f} - {max(values):,.0f})"
        print(f"  {contender:{_WIDTH}} {middle:9,.0f}  {spread:20}", end="")
        print(_rates(result, contender), end="")
        print(f"  {result['marks'][contender]}".rstrip())
    print("  ratio, median of the rounds (quartiles)")
    for row in result["ratios"]:
        spread = f"({row['lower_quartile']:.3f} - {row['upper_quartile']:.3f})"
        words = verdicts.verdict(row, result["hindrance"])
        print(f"  {_label(row):{_WIDTH}} {row['median']:.3f}  {spread}  {words}")
    if "megabytes" in result:
        _print_memory(result)


def _rates(result, contender):
    """Its gigaflops and what share of the machine's peak they are, where both are known."""
    words = ""
    if contender in result.get("gigaflops", {}):
        words = f"{result['gigaflops'][contender]:8.1f}"
    if contender in result.get("share_of_peak", {}):
        words += f" {result['share_of_peak'][contender]:6.1%}"
    return words


def _print_memory(result):
    print("  peak memory, MB: allocated by the model and its steps; of the whole process")
    for contender, peaks in result["megabytes"].items():
        step, process = (statistics.median(peaks[key]) for key in ("step", "process"))
        print(f"  {contender:{_WIDTH}} {step:9,.0f}  {process:9,.0f}")
    for row in result["memory_ratios"]:
        spread = f"({row['smallest']:.3f} - {row['largest']:.3f})"
        words = verdicts.memory_verdict(row, result["hindrance"])
        print(f"  {'memory of ' + _label(row):{_WIDTH}} {spread}  {words}")


def _label(row):
    return f"{row['of']} / {row['to']}"
