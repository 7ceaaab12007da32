"""What the peers' benchmarks share: arguments, the way of timing, the printed line."""

import argparse
import json
import platform
import resource
import statistics
import time

from nets import NETS


def arguments(modes):
    parser = argparse.ArgumentParser(description="Prints one JSON object: medians of a train step and of inference, in ms, and the peak RSS.")
    parser.add_argument("net", choices=list(NETS))
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--warmup", type=int, default=3, help="calls before the timed ones, at least a tenth of them")
    parser.add_argument("--steps", type=int, default=10, help="timed calls; the median is reported")
    parser.add_argument("--only", choices=["training", "inference"], help="measure only this")
    chosen = parser.add_mutually_exclusive_group()
    for flag, text in modes.items():
        chosen.add_argument(f"--{flag}", action="store_true", help=text)
    return parser.parse_args()


def measure(call, warmup, steps):
    """Seconds of the first call, and the median of the later ones in milliseconds. `call` returns when its work is done."""
    start = time.perf_counter()
    call()
    first = time.perf_counter() - start
    for _ in range(max(warmup, steps // 10) - 1):
        call()
    times = []
    for _ in range(steps):
        start = time.perf_counter()
        call()
        times.append((time.perf_counter() - start) * 1e3)
    return first, statistics.median(times)


def report(peer, mode, options, versions, train, infer):
    """Times the calls, training first, and prints the line. What is not measured, or does not exist, is null."""
    result = {
        "peer": peer, "mode": mode, "net": options.net, "batch_size": options.batch_size, "threads": options.threads,
        "train_step_ms": None, "inference_ms": None,
    }
    if train and options.only != "inference":
        first, milliseconds = measure(train, options.warmup, options.steps)
        result |= {"train_step_ms": round(milliseconds, 4), "first_train_step_s": round(first, 2), "peak_rss_mb": peak_rss_mb()}
    if infer and options.only != "training":
        first, milliseconds = measure(infer, options.warmup, options.steps)
        result |= {"inference_ms": round(milliseconds, 4), "first_inference_s": round(first, 2)}
        # inference needs less than training: the peak of training alone is the peak of both
        result.setdefault("peak_rss_mb", peak_rss_mb())
    print(json.dumps(result | {"steps": options.steps, "versions": versions | {"python": platform.python_version()}}))


def peak_rss_mb():
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
