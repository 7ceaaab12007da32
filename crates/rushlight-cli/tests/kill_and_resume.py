"""Trains with the command, kills it (SIGKILL) at random moments and resumes, until it is done; then compares with the
run that was never killed, byte by byte.

    python kill_and_resume.py RUSHLIGHT MODEL X Y FOLDER [ROUNDS] [fit options…]
"""

import pathlib
import random
import shutil
import subprocess
import sys
import time

command, model, x, y, folder = (str(pathlib.Path(argument).resolve()) for argument in sys.argv[1:6])
rounds = int(sys.argv[6]) if len(sys.argv) > 6 else 10
options = sys.argv[7:] or ["--epochs", "20", "--batch-size", "4"]


def arguments(here):
    return [command, "fit", model, "--input", x, "--target", y, "--history", here / "h.json", "--save", here / "out.keras",
            "--logdir", here / "logs", "--resume", *options]


def fresh(name):
    here = pathlib.Path(folder) / name
    shutil.rmtree(here, ignore_errors=True)
    here.mkdir(parents=True)
    return here


whole = fresh("whole")
start = time.monotonic()
subprocess.run(arguments(whole), check=True, stdout=subprocess.DEVNULL)
took = time.monotonic() - start
wanted = [(whole / name).read_bytes() for name in ("out.keras", "h.json")]
kills = same = 0
for round in range(rounds):
    random.seed(round)
    here = fresh("killed")
    own = 0
    while True:
        process = subprocess.Popen(arguments(here), stdout=subprocess.DEVNULL)
        try:
            # Longer with each kill, so that there is an end.
            status = process.wait(random.uniform(0.0, took * (0.4 + 0.05 * own)))
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            own += 1
            continue
        assert status == 0, status
        break
    kills += own
    same += [(here / name).read_bytes() for name in ("out.keras", "h.json")] == wanted
print(f"{rounds} runs of {took:.2f} s, {kills} kills: {same} of {rounds} the same to the bit as the run never killed")
sys.exit(same != rounds)
