#!/usr/bin/env python3
"""Runs Rushlight and its peers in turn, round after round, and prints a Markdown table of medians and ratios.

    compare.py --python <environment>/bin/python --rushlight target/release/rushlight --nets small densenet-40-12 --rounds 5

In each round every command runs once, in a fresh process and in an order that turns from round to round, so that a
busy or throttled machine weighs on all alike. Ratios are to the first row of a table: above 1 is slower or larger.
`--command 'name=program {net} {batch_size}'` adds any program whose last line of output is a JSON object with
`train_step_ms`, `inference_ms` and `peak_rss_mb`.
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

sys.dont_write_bytecode = True
FOLDER = Path(__file__).resolve().parent
PEERS = {
    "keras": ("keras_bench.py", ""),
    "keras-jit": ("keras_bench.py", "--jit"),
    "keras-eager": ("keras_bench.py", "--eager"),
    "torch": ("torch_bench.py", ""),
    "torch-compile": ("torch_bench.py", "--compile"),
}
MEASURES = {"train_step_ms": "train step, ms", "inference_ms": "inference, ms", "peak_rss_mb": "peak RSS, MB"}


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--nets", nargs="+", default=["small"])
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--python", default=sys.executable, help="the Python that has the peers (see setup.sh)")
    parser.add_argument("--peers", nargs="*", default=["keras", "torch"], choices=list(PEERS))
    parser.add_argument("--rushlight", help="the rushlight command")
    parser.add_argument("--modes", nargs="+", default=["graph"], help="Rushlight's modes")
    parser.add_argument("--command", action="append", default=[], help="name=command, with {net} and {batch_size}")
    parser.add_argument("--timeout", type=float, default=1800, help="seconds a run may take")
    return parser.parse_args()


def commands(options):
    """The command line of each row, with {net} and {batch_size} to be filled in."""
    rows = {}
    if options.rushlight:
        for mode in options.modes:
            rows[f"rushlight {mode}"] = [options.rushlight, "bench", "{net}", "--batch-size", "{batch_size}", "--mode", mode, "--json"]
    for peer in options.peers:
        script, flag = PEERS[peer]
        rows[peer] = [options.python, str(FOLDER / script), "{net}", "--batch-size", "{batch_size}", *flag.split()]
    for text in options.command:
        name, separator, command = text.partition("=")
        if not separator:
            raise SystemExit(f"--command takes name=command, not {text!r}")
        rows[name] = shlex.split(command)
    if not rows:
        raise SystemExit("nothing to compare: give --rushlight, --peers or --command")
    return rows


def run(command, fields, timeout):
    """The JSON object of a run, or a sentence that says why there is none."""
    filled = [part.replace("{net}", fields["net"]).replace("{batch_size}", str(fields["batch_size"])) for part in command]
    try:
        done = subprocess.run(filled, capture_output=True, text=True, timeout=timeout)
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
        return result | {key: float(result[key]) for key in MEASURES}
    except (ValueError, TypeError, KeyError) as error:
        return f"the last line is not the JSON object asked for ({error!r})"


def table(results):
    """Markdown: a row per command, medians over the rounds with their span, ratios to the first row."""
    middle = {
        name: {key: statistics.median(r[key] for r in runs) for key in MEASURES} for name, runs in results.items() if runs
    }
    base = next(iter(results))
    lines = ["| | " + " | ".join(f"{title} | ×" for title in MEASURES.values()) + " |", "|---|" + "---:|" * (2 * len(MEASURES))]
    for name, runs in results.items():
        cells = []
        for key in MEASURES:
            if not runs:
                cells += ["failed", ""]
                continue
            low, high = min(r[key] for r in runs), max(r[key] for r in runs)
            ratio = f"{middle[name][key] / middle[base][key]:.2f}" if base in middle and middle[base][key] > 0 else ""
            cells += [f"{middle[name][key]:.4g} ({low:.4g}–{high:.4g})", ratio]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


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
    rows = commands(options)
    versions, failures = {}, []
    print(f"{machine()}; batch {options.batch_size}, {options.rounds} rounds, medians (smallest–largest), × to the first row\n")
    for net in options.nets:
        results = {name: [] for name in rows}
        names = list(rows)
        for number in range(options.rounds):
            turned = names[number % len(names) :] + names[: number % len(names)]
            for name in turned:
                result = run(rows[name], {"net": net, "batch_size": options.batch_size}, options.timeout)
                if isinstance(result, str):
                    failures.append(f"{net}, {name}, round {number + 1}: {result}")
                else:
                    results[name].append(result)
                    told = result.get("versions") or {name.split()[0]: result.get("version")}
                    versions |= {key: value for key, value in told.items() if value}
                print(f"[{net} {number + 1}/{options.rounds}] {name}: {result if isinstance(result, str) else result['train_step_ms']}",
                      file=sys.stderr, flush=True)
        print(f"### {net}\n\n{table(results)}\n")
    print("Versions: " + (", ".join(f"{key} {value}" for key, value in sorted(versions.items())) or "not told") + ". "
          + f"Load average at the end {os.getloadavg()[0]:.1f}.")
    if failures:
        print("\nRuns that failed:\n" + "\n".join(f"- {failure}" for failure in failures))
        raise SystemExit(1)


if __name__ == "__main__":
    main()
