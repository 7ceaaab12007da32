"""Asks a real TensorBoard what it sees in the log of a training by `rushlight train` or `rushlight demo`.

    pip install -r requirements.txt
    python check.py LOGDIR

Starts a server on a copy of the log (the Profile tab keeps files of its own there) and asks what the browser asks.
Prints a line for each tab; ends with status 1 at the first thing that is missing or wrong.
"""

import gzip
import json
import math
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path

from google.protobuf import text_format
from tensorboard.compat.proto import config_pb2, graph_pb2

# Seconds that the server may take to start, and then to load.
PATIENCE = 60


def need(condition, what):
    if not condition:
        sys.exit(f"check.py: {what}")


class Server:
    def __init__(self, logdir):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        self.address = f"http://127.0.0.1:{port}/data/"
        command = [sys.executable, "-m", "tensorboard.main", "--logdir", str(logdir), "--port", str(port)]
        # The loader in Python looks at the checksums of all records.
        command += ["--load_fast=false", "--reload_interval=1"]
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def ask(self, route, body=None, **query):
        request = urllib.request.Request(self.address + route + "?" + urllib.parse.urlencode(query))
        if body is not None:
            request.add_header("Content-Type", "application/json")
            request.data = json.dumps(body).encode()
        with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
            data = answer.read()
        if data[:2] == b"\x1f\x8b":
            data = gzip.decompress(data)
        try:
            return json.loads(data)
        except ValueError:
            return data

    def load(self, runs):
        """Waits until these runs are there and nothing more comes."""
        end, before = time.monotonic() + PATIENCE, None
        while time.monotonic() < end:
            try:
                seen = [self.ask("runs"), self.ask("plugin/scalars/tags"), self.ask("plugin/histograms/tags")]
                if runs <= set(seen[0]) and seen == before:
                    return
                before = seen
            except (urllib.error.URLError, ConnectionError):
                need(self.process.poll() is None, "TensorBoard ended at once")
            time.sleep(1)
        sys.exit(f"check.py: TensorBoard shows no runs {runs} after {PATIENCE} s: {before}")


def scalars(server):
    count = 0
    for run, tags in server.ask("plugin/scalars/tags").items():
        for tag in tags:
            points = server.ask("plugin/scalars/scalars", run=run, tag=tag)
            steps = [step for _, step, _ in points]
            need(points and steps == sorted(set(steps)), f"{run}/{tag}: steps {steps}")
            need(all(math.isfinite(value) for _, _, value in points), f"{run}/{tag}: {points}")
            count += len(points)
    seen = server.ask("plugin/scalars/tags")
    for run, tag in [("train", "epoch_loss"), ("train", "batch_loss"), ("train", "epoch_learning_rate"),
                     ("validation", "epoch_loss"), ("validation", "evaluation_accuracy_vs_iterations")]:
        need(tag in seen.get(run, {}), f"no scalar {tag} in {run}: {list(seen.get(run, {}))}")
    return f"{count} points"


def histograms(server):
    tags = server.ask("plugin/histograms/tags")["train"]
    for tag in tags:
        for _, _, buckets in server.ask("plugin/histograms/histograms", run="train", tag=tag):
            need(sum(bucket[2] for bucket in buckets) > 0, f"histogram {tag} is empty")
    for kind in ["/histogram", "/gradient"]:
        need(any(tag.endswith(kind) for tag in tags), f"no histogram of a {kind[1:]}")
    return f"{len(tags)} tags"


def images(server):
    count = 0
    for run, tags in server.ask("plugin/images/tags").items():
        for tag in tags:
            for image in server.ask("plugin/images/images", run=run, tag=tag, sample=0):
                query = dict(urllib.parse.parse_qsl(image["query"]))
                need(server.ask("plugin/images/individualImage", **query)[:4] == b"\x89PNG", f"{tag} is no PNG")
                count += 1
    need(count > 0, "no images")
    return f"{count} pictures"


def text(server):
    tags = server.ask("plugin/text/tags")["train"]
    need(server.ask("plugin/text/text", run="train", tag=tags[0])[0]["text"], "the text is empty")
    return ", ".join(tags)


def hparams(server):
    asked = {"experimentName": "", "colParams": [], "startIndex": 0, "sliceSize": 9,
             "allowedStatuses": ["STATUS_SUCCESS", "STATUS_FAILURE", "STATUS_RUNNING", "STATUS_UNKNOWN"]}
    groups = server.ask("plugin/hparams/session_groups", asked)["sessionGroups"]
    need([group["sessions"][0]["status"] for group in groups] == ["STATUS_SUCCESS"], f"sessions: {groups}")
    return ", ".join(groups[0]["hparams"])


def graphs(server):
    """Every edge leads to a node; nodes have times and memory. The times of all nodes are kept for the profile."""
    shown, server.took = [], {}
    for run, entry in server.ask("plugin/graphs/info").items():
        for tag, what in entry["tags"].items():
            conceptual = what["conceptual_graph"]
            if not (what["op_graph"] or conceptual or what["profile"]):
                continue
            query = {"run": run, "tag": tag, "conceptual": str(conceptual).lower()}
            graph = text_format.Parse(server.ask("plugin/graphs/graph", **query), graph_pb2.GraphDef())
            names = {node.name for node in graph.node}
            need(len(names) == len(graph.node) > 1, f"{tag}: {len(names)} names of {len(graph.node)} nodes")
            for node in graph.node:
                for source in node.input:
                    need(source.lstrip("^").split(":")[0] in names, f"{tag}: {node.name} reads {source}")
            if what["profile"]:
                metadata = server.ask("plugin/graphs/run_metadata", run=run, tag=tag)
                metadata = text_format.Parse(metadata, config_pb2.RunMetadata())
                stats = [stat for device in metadata.step_stats.dev_stats for stat in device.node_stats]
                timed = [stat for stat in stats if stat.all_end_rel_micros > 0]
                need({stat.node_name for stat in stats} <= names, f"{tag}: times of nodes that are not there")
                need(len(timed) > 0.8 * len(graph.node), f"{tag}: {len(timed)} of {len(graph.node)} nodes have a time")
                need(any(stat.memory for stat in stats), f"{tag}: no node has memory")
                took = server.took[tag] = sum(stat.all_end_rel_micros for stat in timed)
                shown.append(f"{tag} ({len(graph.node)} nodes, {took / 1e3:.1f} ms)")
            else:
                shown.append(f"{tag} ({len(graph.node)} nodes)")
    for wanted in ["keras", "training_step/recorded", "training_step/compiled", "batch_5/compiled"]:
        need(any(tag.startswith(wanted) for tag in shown), f"no graph {wanted} among {shown}")
    return ", ".join(shown)


def profile(server):
    [run] = server.ask("plugin/profile/runs")
    [host] = server.ask("plugin/profile/hosts", run=run, tag="trace_viewer@")
    tool = lambda tag: server.ask("plugin/profile/data", run=run, tag=tag, host=host["hostname"])
    events = tool("trace_viewer@")["traceEvents"]
    threads = {event["args"]["name"] for event in events if event.get("name") == "thread_name"}
    need(any(name.startswith("main") for name in threads), f"threads: {threads}")
    names = " ".join(event["name"] for event in events if event.get("ph") == "X")
    for wanted in ["train 4", "conv", "wait for data", "make batch"]:
        need(wanted in names, f"the trace shows no {wanted}")
    # The graph's colours add up to what the last of the calls took. Microseconds are rounded, up where that is less than one.
    call = max((event for event in events if event["name"] == "training_step"), key=lambda event: event["ts"])
    colours = server.took["batch_5/compiled"] / call["dur"]
    need(0.9 < colours < 1.1, f"the nodes' times are {colours:.2f} of the call's")
    steps = [row for table in tool("overview_page") if any(col["id"] == "stepnum" for col in table.get("cols", []))
             for row in table["rows"]]
    need(len(steps) == 3, f"{len(steps)} steps in the overview, not 3")
    memory = tool("memory_profile")["memoryProfilePerAllocator"]["cpu"]
    peak = int(memory["profileSummary"]["peakStats"]["peakBytesInUse"])
    need(peak > 0 and memory["activeAllocations"], "no memory at the peak")
    operations = [row for table in tool("framework_op_stats") for row in table.get("rows", [])]
    need(len(operations) > 10, f"{len(operations)} kinds of ops")
    return f"{len(events)} events on {len(threads)} threads, {len(operations)} ops, {peak / 1e6:.1f} MB at the peak; " \
        f"times in the graph are {colours:.3f} of the call's"


def main():
    with tempfile.TemporaryDirectory() as scratch:
        logs = Path(scratch) / "logs"
        shutil.copytree(sys.argv[1], logs)
        server = Server(logs)
        try:
            server.load({"train", "validation"})
            for tab in [scalars, histograms, images, text, hparams, graphs, profile]:
                print(f"ok {tab.__name__}: {tab(server)}", flush=True)
        finally:
            server.process.terminate()
            server.process.wait()


main()
