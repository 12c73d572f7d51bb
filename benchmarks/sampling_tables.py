"""Prints what `benchmarks.sampling` measured."""

import statistics

from benchmarks import rounds


def median(turns_by_round):
    """Over the turns of all rounds."""
    return statistics.median(second for turns in turns_by_round for second in turns)


def _seconds(turns_by_round):
    """The median of all turns and their range, as text."""
    values = [second for turns in turns_by_round for second in turns]
    return f"{median(turns_by_round):9.4f}  ({min(values):.4f} - {max(values):.4f})"


def print_all(found, config):
    """What a run printed, from its results; `config` needs `num_images`, `side` and `tfp_side`."""
    print_differing(found["differing_pixels"], config)
    print_draws(found, config)
    print_arithmetic(found["arithmetic"], config)
    print_growth(found["growth"], config)
    print_memory(found["memory"], config)
    if "tfp" in found:
        print_tfp(found["tfp"], config)


def print_differing(differing, config):
    """How many pixels of each contender are not those of naive sampling."""
    total = config.num_images * config.side**2
    print(f"\nPixels that differ from those of naive sampling in kgen, of {total:,}:")
    for name, count in differing.items():
        print(f"  {name:24} {count:6,}")


def print_draws(found, config):
    """Seconds, and ratios with their goals."""
    print(f"\n{config.num_images} images of {config.side} x {config.side}: ", end="")
    print("seconds a draw, median (smallest - largest)")
    for name, seconds in found["seconds"].items():
        print(f"  {name:24} {_seconds(seconds)}")
    print("  ratio of times, median of the rounds (smallest - largest)")
    for row in found["ratios"]:
        label = f"{row['of']} / {row['to']}"
        print(f"  {label:44} {rounds.spread(row['by_round'])}  {row['verdict']}")


def print_growth(rows, config):
    """Seconds against the image's side."""
    print("\nSize of the image: seconds a draw, microseconds a pixel, time ~ pixels to the power")
    for row in rows:
        power = f"{row['power_of_pixels']:.2f}" if "power_of_pixels" in row else ""
        label = f"{row['name']}, {row['side']} x {row['side']}"
        pixel = row["microseconds_a_pixel"]
        print(f"  {label:30} {_seconds(row['seconds']):34} {pixel:9,.1f}  {power}".rstrip())


def print_arithmetic(found, config):
    """Times of cached draws over that of their arithmetic alone."""
    if "missing" in found:
        print(f"\nThe machine's peak is not known: {found['missing']}")
        return
    print(
        f"\nArithmetic: {1e-9 * found['operations']:.3f} GFLOP a draw, "
        f"{found['seconds_at_peak']:.4f} s at the machine's peak of "
        f"{found['peak']['gigaflops']:,.0f} GFLOP/s (copying at "
        f"{found['peak']['gigabytes_a_second']:.1f} GB/s)"
    )
    half = found["peak_bfloat16"]
    print(f"  in bfloat16: {half.get('missing') or format(half['gigaflops'], ',.0f') + ' GFLOP/s'}")
    for name, ratios in found["ratios"].items():
        label = f"{name} / arithmetic at the peak"
        print(f"  {label:44} {rounds.spread(ratios)}  {found['verdicts'][name]}")
    products = found["products"]
    if "missing" in products:
        print(f"  its products in order: {products['missing']}")
        return
    for key, label in {"seconds": "", "seconds_xla": ", XLA"}.items():
        share = 1e-9 * products["operations"] / products[key] / found["peak"]["gigaflops"]
        print(
            f"  {'its products in order' + label:44} {products[key]:.4f} s: {share:.1%} of the peak"
        )


def print_memory(found, config):
    """Bytes of the cache and of the weights, and megabytes of each contender."""
    print("\nMemory: of the cache for each image that is drawn at a time, and of the weights")
    for row in found["cache"]:
        cache, weights = row["cache_bytes_an_image"], row["weights_bytes"]
        print(f"  {row['side']:3} x {row['side']:3} {cache:12,} bytes {weights:12,} bytes")
    print("  peak, MB: allocated by the model and its draws; of the whole process")
    for name, peaks in found["megabytes"].items():
        text = peaks.get("missing") or f"{peaks['draw']:10,.0f} {peaks['process']:10,.0f}"
        print(f"  {name:24} {text}")


def print_tfp(found, config):
    """Seconds beside TensorFlow Probability's PixelCNN."""
    if "missing" in found:
        print(f"\nTensorFlow Probability's PixelCNN is left out: {found['missing']}")
        return
    print(
        f"\nTensorFlow Probability's PixelCNN beside kgen's PixelCNN++, {config.num_images} images "
        f"of {config.tfp_side} x {config.tfp_side}: seconds a draw, weights"
    )
    for name, seconds in found["seconds"].items():
        print(f"  {name:24} {_seconds(seconds)} {found['weights'][name]:12,}")
    print(f"  {'TFP, naive / kgen, cached':44} {rounds.spread(found['by_round'])}  no goal")
