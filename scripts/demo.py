"""The demonstration that scripts/demo runs: a fed stream, the example pipeline, a count at the end.

python3 scripts/demo.py [SECONDS [FOLDER]] runs it with the program that is already built.

Standard library only. Requests to weir-local need no signature unless it was told to check them, so
the feeder is a few lines of JSON over HTTP; weir itself signs what it sends, as it would for AWS.
"""

import base64
import json
import os
import random
import shutil
import subprocess
import sys
import threading
import time
import urllib.request
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PROGRAMS = Path(os.environ.get("WEIR_BUILD", ROOT / "build" / "release")) / "bin"
FOLDER = Path(sys.argv[2]) if len(sys.argv) > 2 else ROOT / "build" / "demo"
SECONDS = float(sys.argv[1]) if len(sys.argv) > 1 else 15  # that the stream is fed
STREAM = "demo"
RATE = 400  # records a second
TICKERS = ["AAPL", "AMZN", "MSFT", "INTC", "TBV"]


class LocalAws:
    """weir-local, ended with the block that it is used in."""

    def __init__(self, *options):
        self.process = subprocess.Popen([PROGRAMS / "weir-local", *options], stdout=subprocess.PIPE)
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError("weir-local did not start")
        self.endpoint = json.loads(line)["endpoint"]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait()

    def kinesis(self, operation, **request):
        head = {"Content-Type": "application/x-amz-json-1.1", "X-Amz-Target": f"Kinesis_20131202.{operation}"}
        call = urllib.request.Request(self.endpoint, json.dumps(request).encode(), head)
        with urllib.request.urlopen(call, timeout=10) as answer:
            return json.loads(answer.read() or b"{}")


class Feeder(threading.Thread):
    """Puts numbered records, a tenth of a second's worth at a time; splits a shard on half its way."""

    def __init__(self, aws):
        super().__init__(daemon=True)
        self.aws = aws
        self.sent = 0
        self.error = None

    def run(self):
        rng = random.Random(4)
        split = False
        try:
            start = time.monotonic()
            while (spent := time.monotonic() - start) < SECONDS:
                if spent > SECONDS / 2 and not split:
                    self.aws.kinesis("SplitShard", StreamName=STREAM, ShardToSplit="shardId-000000000000",
                                     NewStartingHashKey=str(2**126))
                    split = True
                due = int(spent * RATE) + RATE // 10
                self.put([self.record(rng, n) for n in range(self.sent, due)])
                time.sleep(max(0.0, start + self.sent / RATE - time.monotonic()))
        except Exception as cause:  # told to the main thread, which ends the demonstration
            self.error = cause

    def record(self, rng, number):
        data = {"n": number, "ticker": rng.choice(TICKERS), "price": round(rng.uniform(1, 200), 2)}
        return {"Data": base64.b64encode(json.dumps(data).encode()).decode(), "PartitionKey": str(number)}

    def put(self, records):
        while records:  # what is refused, during a split for instance, is put again
            answer = self.aws.kinesis("PutRecords", StreamName=STREAM, Records=records)
            self.sent += len(records) - answer["FailedRecordCount"]
            records = [r for r, result in zip(records, answer["Records"]) if "ErrorCode" in result]
            time.sleep(0.1 if records else 0)


def lines_below(folder):
    """Lines of all finished files: those whose names begin with a dot are still written to."""
    files = sorted(p for p in folder.rglob("*") if p.is_file() and not p.name.startswith("."))
    return files, [line for path in files for line in path.read_bytes().splitlines()]


def run_pipeline(aws):
    """Runs the example while the stream is fed, and ends it when it has caught up. Records sent."""
    command = [PROGRAMS / "weir", "run", ROOT / "examples" / "kinesis-to-files.yaml", "--from", "none",
               "--set", f"input.stream={STREAM}", "--set", f"input.endpoint={aws.endpoint}",
               "--set", f"output.path={FOLDER}"]
    environment = {**os.environ, "WEIR_STATE": str(FOLDER / "state"), "AWS_ACCESS_KEY_ID": "local",
                   "AWS_SECRET_ACCESS_KEY": "local-secret"}
    feeder = Feeder(aws)
    feeder.start()
    print(f"== weir run examples/kinesis-to-files.yaml --set input.stream={STREAM} ...")
    weir = subprocess.Popen(command, env=environment)
    try:
        feeder.join()
        if feeder.error:
            raise RuntimeError(f"feeding failed: {feeder.error}")
        # Everything is sent: once all of it was read, end the run as an operator would.
        end = time.monotonic() + 15
        while weir.poll() is None and time.monotonic() < end and records_read(environment) < feeder.sent:
            time.sleep(0.1)
        if weir.poll() is not None:
            raise RuntimeError(f"weir ended on its own with status {weir.returncode}")
        weir.terminate()
        if (status := weir.wait(20)) != 0:
            raise RuntimeError(f"weir ended with status {status}")
    finally:
        if weir.poll() is None:
            weir.kill()
            weir.wait()
    return feeder.sent


def records_read(environment):
    """As `weir status` has it."""
    asked = subprocess.run([PROGRAMS / "weir", "status", "kinesis-to-files", "--json"], env=environment,
                           stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    [pipeline] = json.loads(asked.stdout or b"[{}]")
    return sum(node["records_in"] for node in pipeline.get("nodes", []) if node["kind"] == "source")


def main():
    sys.stdout.reconfigure(line_buffering=True)  # in a log, too, each line comes when it is true
    shutil.rmtree(FOLDER, ignore_errors=True)
    FOLDER.mkdir(parents=True)
    try:
        with LocalAws("--stream", f"{STREAM}:2") as aws:
            print(f"== weir-local is ready at {aws.endpoint}: stream {STREAM}, 2 shards; it gets {RATE} "
                  f"records a second for {SECONDS:g} s, and one of its shards splits on the way")
            sent = run_pipeline(aws)
    except (RuntimeError, OSError, subprocess.TimeoutExpired) as cause:
        print(f"demo: {cause}", file=sys.stderr)
        return 1
    files, lines = lines_below(FOLDER / "records")
    print(f"\n== {len(files)} files below {FOLDER / 'records'}")
    for path in files[:5]:
        print(f"   {os.path.relpath(path)}  {path.stat().st_size:,} bytes")
    print(f"   {lines[0].decode()}" if lines else "   all empty")
    print(f"== {sent} records were put into the stream, {len(lines)} are in the files")
    numbers = [json.loads(line)["n"] for line in lines]
    if sorted(numbers) != list(range(sent)):
        missing = len(set(range(sent)) - set(numbers))
        print(f"demo: the counts do not agree: {missing} are missing, "
              f"{len(numbers) - len(set(numbers))} came twice", file=sys.stderr)
        return 1
    print("== each of them once")
    return 0


if __name__ == "__main__":
    sys.exit(main())
