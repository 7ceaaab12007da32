"""What both peers' benchmarks share: arguments, the way of timing, the printed line."""

import argparse
import json
import platform
import resource
import statistics
import time

from nets import NETS


def arguments(modes):
    parser = argparse.ArgumentParser(description="Prints one JSON object: medians of a train step and of inference, in ms, and the peak RSS.")
    parser.add_argument("net", choices=[name for name, net in NETS.items() if net["stem"] == "cifar"])
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--warmup", type=int, default=3)
    parser.add_argument("--steps", type=int, default=10, help="timed calls; the median is reported")
    chosen = parser.add_mutually_exclusive_group()
    for flag, text in modes.items():
        chosen.add_argument(f"--{flag}", action="store_true", help=text)
    return parser.parse_args()


def measure(call, warmup, steps):
    """Seconds of the first call, and the median of the later ones in milliseconds. `call` returns when its work is done."""
    start = time.perf_counter()
    call()
    first = time.perf_counter() - start
    for _ in range(warmup - 1):
        call()
    times = []
    for _ in range(steps):
        start = time.perf_counter()
        call()
        times.append((time.perf_counter() - start) * 1e3)
    return first, statistics.median(times)


def report(peer, mode, options, versions, train, infer):
    """Times both calls, training first, and prints the line."""
    first_train, train_ms = measure(train, options.warmup, options.steps)
    # inference needs less than training, so this is the peak of both
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    first_infer, infer_ms = measure(infer, options.warmup, options.steps)
    print(json.dumps({
        "peer": peer, "mode": mode, "net": options.net, "batch_size": options.batch_size, "threads": options.threads,
        "train_step_ms": round(train_ms, 2), "inference_ms": round(infer_ms, 2), "peak_rss_mb": round(peak),
        "first_train_step_s": round(first_train, 2), "first_inference_s": round(first_infer, 2),
        "steps": options.steps, "versions": versions | {"python": platform.python_version()},
    }))
