#!/usr/bin/env python3
"""What checkpoints cost: `scripts/bench checkpoints`; bench/README.md says how to read it.

1. CPU per record with a checkpoint every 100 ms against none but the final one: the same files,
   interleaved pairs, the order within a pair alternating.
2. From the barrier to durable with 1,000 splits: the time, the share of file syncs in it, and the
   size of the checkpoint by split, as `status` tells them.
"""
import argparse
import json
import os
import resource
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BUILD = Path(os.environ.get("WEIR_BUILD", ROOT / "build" / "release"))
WEIR = BUILD / "bin" / "weir"
WORK = ROOT / "build" / "bench-checkpoints"
STATE = WORK / "state"


def manifest(name, checkpoint, sources, sinks):
    path = WORK / f"{name}.yaml"
    path.write_text(json.dumps({"weir": 1, "name": name, "settings": {"checkpoint": checkpoint},
                                "sources": sources, "sinks": sinks}))
    return path


def environment():
    return dict(os.environ, WEIR_STATE=str(STATE))


def cpu_seconds(path):
    """User and system time of one whole run, its worker included."""
    shutil.rmtree(STATE, ignore_errors=True)
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run([WEIR, "run", "--once", path], env=environment(), stderr=subprocess.PIPE)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode != 0:
        sys.exit(f"weir failed: {done.stderr.decode()}")
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def cost(args):
    lines = WORK / "in.jsonl"
    with open(lines, "w") as out:
        for i in range(args.records):
            out.write('{"n":%09d,"text":"%s"}\n' % (i, "x" * 990))
    sinks = {"file": {"type": "file", "path": str(WORK / "out.jsonl"), "input": "in"},
             "blackhole": {"type": "blackhole", "input": "in"}}
    return {name: compare(args, lines, name, sink) for name, sink in sinks.items()}


def compare(args, lines, name, sink):
    """Into files the data itself has to be synced at each checkpoint; into nothing, only the
    protocol is left."""
    ways = {}
    for word in ("none", "100ms"):
        ways[word] = manifest(f"every-{word}", {"interval": word, "min_pause": 0},
                              {"in": {"type": "file", "path": str(lines)}}, {"out": sink})
    pairs = []
    for run in range(-1, args.runs):
        seconds = {}
        for word in sorted(ways, reverse=run % 2 == 0):
            for old in WORK.glob("out*"):
                old.unlink()
            seconds[word] = cpu_seconds(ways[word])
        if run >= 0:  # the first pair warms the page cache
            pairs.append(seconds)
    ratios = [p["100ms"] / p["none"] for p in pairs]
    print(f"file to {name}, {args.records:,} records of 1 KiB, {len(pairs)} pairs")
    for word in ("none", "100ms"):
        rates = [args.records / p[word] for p in pairs]
        print(f"  interval {word:>5}: {statistics.median(rates):12,.0f} records/CPU-s "
              f"({min(rates):,.0f} to {max(rates):,.0f})")
    print(f"  CPU per record, 100ms to none: {statistics.median(ratios):.3f} "
          f"({min(ratios):.3f} to {max(ratios):.3f})")
    return {"pairs": pairs, "ratio": statistics.median(ratios), "ratio_low": min(ratios),
            "ratio_high": max(ratios)}


def status(name):
    with socket.socket(socket.AF_UNIX) as s:
        s.connect(str(STATE / name / "control.sock"))
        s.sendall(b'{"do":"status"}\n')
        answer = b""
        while not answer.endswith(b"\n"):
            part = s.recv(1 << 16)
            if not part:
                break
            answer += part
    return json.loads(answer)


def barrier(args):
    shutil.rmtree(STATE, ignore_errors=True)
    path = manifest("splits", {"interval": "100ms", "min_pause": 0},
                    {"in": {"type": "generator", "splits": args.splits, "rate": 20000}},
                    {"out": {"type": "blackhole", "input": "in"}})
    running = subprocess.Popen([WEIR, "run", path], env=environment(), stderr=subprocess.DEVNULL)
    seen = {}
    try:
        end = time.monotonic() + 60
        while len(seen) < args.epochs and time.monotonic() < end:
            time.sleep(0.2)
            try:
                now = status("splits")
            except OSError:
                continue
            for c in now.get("checkpoints", []):
                if c["outcome"] == "done":
                    seen[c["epoch"]] = c
    finally:
        running.send_signal(signal.SIGTERM)
        running.wait()
    if not seen:
        sys.exit("no checkpoint came")
    several = list(seen.values())
    out = {"epochs": len(several)}
    print(f"{args.splits:,} splits, {len(several)} checkpoints")
    for key, text in (("acknowledged_ms", "barrier to the last acknowledgement"),
                      ("durable_ms", "barrier to durable"), ("sync_ms", "of that: file syncs")):
        values = [c[key] for c in several]
        out[key] = statistics.median(values)
        print(f"  {text:36}: {statistics.median(values):8.3f} ms ({min(values):.3f} to {max(values):.3f})")
    size = statistics.median(c["bytes"] for c in several)
    out["bytes"] = size
    print(f"  size: {size:,.0f} bytes, {size / args.splits:.1f} a split")
    return out


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=9)
    parser.add_argument("--records", type=int, default=2_000_000)
    parser.add_argument("--splits", type=int, default=1000)
    parser.add_argument("--epochs", type=int, default=50)
    parser.add_argument("--json", metavar="FILE")
    args = parser.parse_args()
    shutil.rmtree(WORK, ignore_errors=True)
    WORK.mkdir(parents=True)
    try:
        figures = {"barrier": barrier(args), "cost": cost(args)}
    finally:
        shutil.rmtree(WORK, ignore_errors=True)
    if args.json:
        Path(args.json).write_text(json.dumps(figures, indent=1))


if __name__ == "__main__":
    main()
