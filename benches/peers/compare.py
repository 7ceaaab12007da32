#!/usr/bin/env python3
"""Runs Rushlight and its peers in turn, round after round, and prints Markdown tables of medians and ratios.

    compare.py --python <environment>/bin/python --rushlight target/release/rushlight --rounds 5
    compare.py … --work densenet-40-12 densenet-121@1 --peers keras torch

Work is a net, with `@` and a batch size if it is not the usual one; without `--work` all of `WORK` is done, each with the
peers that suit it. In each round every command runs once, in a fresh process and in an order that turns from round to
round, so that a busy or throttled machine weighs on all alike. Ratios are to the first row of a table: above 1 is
slower or larger. Each table ends with what Rushlight is times as fast as its best peer.
`--command 'name=program {net} {batch_size}'` adds any program whose last line of output is a JSON object with
`train_step_ms`, `inference_ms` and `peak_rss_mb`, numbers or null. `--json` prints all medians as one object instead.
"""

import argparse
import json
import os
import platform
import shlex
import statistics
import subprocess
import sys
from pathlib import Path

from nets import NETS

sys.dont_write_bytecode = True
FOLDER = Path(__file__).resolve().parent
PEERS = {
    "keras": ("keras_bench.py", ""),
    "keras-jit": ("keras_bench.py", "--jit"),
    "keras-eager": ("keras_bench.py", "--eager"),
    "keras-jax": ("jax_bench.py", ""),
    "jax": ("jax_bench.py", "--plain"),
    "torch": ("torch_bench.py", ""),
    "torch-compile": ("torch_bench.py", "--compile"),
    "torch-compile-step": ("torch_bench.py", "--compile-step"),
    "onnxruntime": ("onnx_bench.py", ""),
}
COMMON = ["keras", "keras-jit", "keras-jax", "torch", "torch-compile"]
INFERENCE = ["onnxruntime", "keras", "keras-jit", "torch", "torch-compile"]
MLP = ["keras", "keras-jit", "jax", "torch", "torch-compile-step"]
# net, batch size, what is measured, timed calls, peers
WORK = {
    "small": (64, None, 10, COMMON),
    "densenet-40-12": (64, None, 10, COMMON),
    "densenet-bc-100-12": (64, None, 10, COMMON),
    "densenet-121@1": (1, "inference", 30, INFERENCE),
    "densenet-121@8": (8, "inference", 10, INFERENCE),
    "vgg-32": (64, "training", 10, COMMON),
    "resnet-18": (64, "training", 10, COMMON),
    "mobilenet-32": (64, "training", 20, COMMON),
    "lstm-28-128": (64, "training", 200, COMMON),
    "transformer-64-128": (64, "training", 50, COMMON),
    "mlp-784-512-512-10": (64, "training", 300, MLP),
    "mlp-784-128-10": (32, "training", 3000, MLP),
    "mlp-16-16-4": (4, "training", 3000, MLP),
}
MEASURES = {"train_step_ms": "train step, ms", "inference_ms": "inference, ms", "peak_rss_mb": "peak RSS, MB"}


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--work", "--nets", nargs="+", default=list(WORK), help="net or net@batch size")
    parser.add_argument("--batch-size", type=int, help="for all work that names none")
    parser.add_argument("--only", choices=["training", "inference"], help="measure only this")
    parser.add_argument("--python", default=sys.executable, help="the Python that has the peers (see setup.sh)")
    parser.add_argument("--peers", nargs="*", choices=list(PEERS), help="instead of those that suit the work")
    parser.add_argument("--rushlight", help="the rushlight command")
    parser.add_argument("--modes", nargs="+", default=["graph"], help="Rushlight's modes")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--command", action="append", default=[], help="name=command, with {net} and {batch_size}")
    parser.add_argument("--timeout", type=float, default=1800, help="seconds a run may take")
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of tables")
    return parser.parse_args()


class Work:
    """One table: a net at a batch size."""

    def __init__(self, text, options):
        self.net, _, batch = text.partition("@")
        if self.net not in NETS:
            raise SystemExit(f"there is no net {self.net!r}; there are {', '.join(NETS)}")
        usual = WORK.get(text) or WORK.get(self.net) or (64, None, 10, COMMON)
        self.batch_size = int(batch or options.batch_size or usual[0])
        self.only, self.steps = options.only or usual[1], usual[2]
        self.peers = options.peers if options.peers is not None else usual[3]

    def title(self):
        return f"{self.net}, batch {self.batch_size}" + (f", {self.only}" if self.only else "")

    def commands(self, options):
        """The command line of each row."""
        common = [self.net, "--batch-size", str(self.batch_size), "--threads", str(options.threads), "--steps", str(self.steps)]
        common += ["--only", self.only] if self.only else []
        rows = {}
        if options.rushlight:
            momentum = ["--momentum", str(NETS[self.net]["momentum"])]
            for mode in options.modes:
                rows[f"rushlight {mode}"] = [options.rushlight, "bench", *common, *momentum, "--mode", mode, "--json"]
        for peer in self.peers:
            script, flag = PEERS[peer]
            rows[peer] = [options.python, str(FOLDER / script), *common, *flag.split()]
        for text in options.command:
            name, separator, command = text.partition("=")
            if not separator:
                raise SystemExit(f"--command takes name=command, not {text!r}")
            fields = {"{net}": self.net, "{batch_size}": str(self.batch_size)}
            rows[name] = [fields.get(part, part) for part in shlex.split(command)]
        if not rows:
            raise SystemExit("nothing to compare: give --rushlight, --peers or --command")
        return rows


def run(command, timeout):
    """The JSON object of a run, or a sentence that says why there is none."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=timeout)
    except subprocess.TimeoutExpired:
        return f"no answer within {timeout:.0f} s"
    except OSError as error:
        return str(error)
    lines = done.stdout.strip().splitlines()
    if done.returncode != 0 or not lines:
        last = (done.stderr.strip().splitlines() or ["nothing printed"])[-1]
        return f"exit code {done.returncode}: {last}"
    try:
        result = json.loads(lines[-1])
        return result | {key: None if result[key] is None else float(result[key]) for key in MEASURES}
    except (ValueError, TypeError, KeyError) as error:
        return f"the last line is not the JSON object asked for ({error!r})"


def summary(results):
    """For each row and measure: median, least and most over the rounds."""
    rows = {}
    for name, runs in results.items():
        values = {key: [run[key] for run in runs if run[key] is not None] for key in MEASURES}
        rows[name] = {key: (statistics.median(v), min(v), max(v)) for key, v in values.items() if v}
    return rows


def table(rows):
    """Markdown: a row per command, medians over the rounds with their span, ratios to the first row."""
    base = rows[next(iter(rows))]
    measures = {key: title for key, title in MEASURES.items() if any(key in row for row in rows.values())}
    lines = ["| | " + " | ".join(f"{title} | ×" for title in measures.values()) + " |", "|---|" + "---:|" * (2 * len(measures))]
    for name, row in rows.items():
        cells = []
        for key in measures:
            if key not in row:
                cells += ["" if row else "failed", ""]
                continue
            middle, low, high = row[key]
            ratio = f"{middle / base[key][0]:.2f}" if key in base and base[key][0] > 0 else ""
            cells += [f"{middle:.4g} ({low:.4g}–{high:.4g})", ratio]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    best = [f"{title.split(',')[0]} {ratio:.2f} × {name}" for title, ratio, name in ratios(rows, measures)]
    return "\n".join(lines + ["", "Best peer / first row: " + ", ".join(best)] if best else lines)


def ratios(rows, measures):
    """How the best of the other rows compares with the first, for each measure."""
    first, *others = rows
    for key, title in measures.items():
        known = [(rows[name][key][0], name) for name in others if key in rows[name]]
        if known and key in rows[first]:
            value, name = min(known)
            yield title, value / rows[first][key][0], name


def machine():
    model, memory = platform.processor() or platform.machine(), ""
    if os.path.exists("/proc/cpuinfo"):
        names = [line.split(":", 1)[1].strip() for line in open("/proc/cpuinfo") if line.startswith("model name")]
        model = names[0] if names else model
        kilobytes = next(int(line.split()[1]) for line in open("/proc/meminfo") if line.startswith("MemTotal"))
        memory = f", {kilobytes / 2**20:.0f} GiB"
    return f"{model}, {os.cpu_count()} logical CPUs{memory}, {platform.system()} {platform.machine()}"


def main():
    options = arguments()
    works = [Work(text, options) for text in options.work]
    versions, failures, collected = {}, [], {}
    heading = f"{machine()}; {options.threads} threads, {options.rounds} rounds, medians (smallest–largest), × to the first row"
    if not options.json:
        print(heading + "\n", flush=True)
    for work in works:
        commands = work.commands(options)
        results = {name: [] for name in commands}
        names = list(commands)
        for number in range(options.rounds):
            for name in names[number % len(names) :] + names[: number % len(names)]:
                result = run(commands[name], options.timeout)
                if isinstance(result, str):
                    failures.append(f"{work.title()}, {name}, round {number + 1}: {result}")
                    told = result
                else:
                    results[name].append(result)
                    known = result.get("versions") or {name.split()[0]: result.get("version")}
                    versions |= {key: value for key, value in known.items() if value}
                    told = ", ".join(f"{key} {result[key]:.4g}" for key in MEASURES if result[key] is not None)
                print(f"[{work.title()} {number + 1}/{options.rounds}] {name}: {told}", file=sys.stderr, flush=True)
        rows = summary(results)
        collected[work.title()] = {name: {key: row[key][0] for key in row} for name, row in rows.items()}
        if not options.json:
            print(f"### {work.title()}\n\n{table(rows)}\n", flush=True)
    if options.json:
        print(json.dumps({"machine": machine(), "threads": options.threads, "versions": versions, "medians": collected, "failures": failures}))
    else:
        print("Versions: " + (", ".join(f"{key} {value}" for key, value in sorted(versions.items())) or "not told") + ". "
              + f"Load average at the end {os.getloadavg()[0]:.1f}.")
        if failures:
            print("\nRuns that failed:\n" + "\n".join(f"- {failure}" for failure in failures))
    if failures:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
