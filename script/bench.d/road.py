"""Where the time from pushes to the first answers of new colours goes: by the lines of the daemon's log, whose recorder is at `debug`.

    road.py LOG TIMES [WORDS]    a row `| WHAT | MEDIAN | LEAST | MOST |` for each part of the way, in milliseconds

TIMES has a line for each push: when it was sent, when it was accepted, when the first new answer came; in seconds since the epoch.
A part ends where the next one begins: what is done side by side counts as what was waited for.
"""

import datetime
import re
import statistics
import sys

# What ends a part, in the order of the road; a part without its line is none of this deployment.
PARTS = (
    ("accepted, and claimed by its lane", "fetch"),
    ("git: fetched, checked out", "plan"),
    ("both colours looked at, planned", "warm"),
    ("images built (the engine)", "images"),
    ("looked again, planned", "made"),
    ("networks and containers made", "starting"),
    ("the web service started (the engine)", "started"),
    ("the gate, the worker made meanwhile", "change over"),
    ("the old worker ended (the engine)", "ended"),
    ("planned", "starting again"),
    ("the new worker started (the engine)", "started again"),
    ("it stays up", "switch"),
    ("the routes moved, and were asked", "answered"),
)
LINE = re.compile(r"^(\S+Z)\s+(\w+) (.*)$")
NUMBER = re.compile(r"\bdeployment=(\d+)")


def seconds(text):
    return datetime.datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()


def lines(path):
    """When, of which deployment, what."""
    with open(path, encoding="utf-8", errors="replace") as log:
        for line in log:
            known = LINE.match(re.sub(r"\x1b\[[0-9;]*m", "", line.rstrip("\n")))
            number = known and NUMBER.search(known[3])
            if number:
                yield seconds(known[1]), int(number[1]), known[3]


def milestones(log):
    """For each deployment, when each part ended."""
    seen = {}
    for at, number, text in log:
        of = seen.setdefault(number, {})
        phase = re.match(r"phase ([a-z ]+?)(?: repo=|$)", text)
        late = "change over" in of
        if phase:
            of.setdefault(phase[1], at)
        elif re.match(r"(built|pulled) ", text):
            of["images"] = at
        elif re.match(r"begins: (create|start|remove|rename) ", text):
            of.setdefault("made", at)
            if text.startswith("begins: start "):
                of.setdefault("starting again" if late else "starting", at)
        elif text.startswith("started "):
            of["started again" if late else "started"] = at
        elif "must not run twice" in text:
            of["ended"] = at
    return seen


def main():
    seen = milestones(lines(sys.argv[1]))
    with open(sys.argv[2], encoding="utf-8") as times:
        pushes = [tuple(float(word) for word in line.split()) for line in times]
    took = {what: [] for what, _ in PARTS}
    whole = []
    for sent, _, answered in pushes:
        own = [of for of in seen.values() if sent - 0.001 <= of.get("fetch", 0) <= answered]
        if len(own) != 1:
            raise SystemExit(f"{len(own)} deployments began between {sent} and {answered}")
        before, of = sent, {**own[0], "answered": answered}
        for what, end in PARTS:
            if end in of:
                took[what].append((of[end] - before) * 1e3)
                before = of[end]
        whole.append((answered - sent) * 1e3)
    for what, each in [*took.items(), ("**in all**", whole)]:
        if each:
            print(f"| {what} | {statistics.median(each):.0f} | {min(each):.0f} | {max(each):.0f} |")


if __name__ == "__main__":
    main()
