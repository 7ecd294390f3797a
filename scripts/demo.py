"""The demonstration that scripts/demo runs: a fed stream, the example pipeline, a count at the end."""

import json
import os
import random
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests" / "e2e"))

import urllib3  # noqa: E402
from conftest import KinesisLocal  # noqa: E402
from weir import PROGRAM, bytes_below  # noqa: E402

urllib3.disable_warnings()

FOLDER = ROOT / "build" / "demo"
SECONDS = 15
RATE = 400  # records a second
TICKERS = ["AAPL", "AMZN", "MSFT", "INTC", "TBV"]


class Feeder(threading.Thread):
    """Puts numbered records, a tenth of a second's worth at a time."""

    def __init__(self, client, stream):
        super().__init__(daemon=True)
        self.client, self.stream = client, stream
        self.sent = 0
        self.error = None

    def run(self):
        rng = random.Random(4)
        try:
            start = time.monotonic()
            while time.monotonic() - start < SECONDS:
                due = int((time.monotonic() - start) * RATE) + 1
                self.put(rng, min(due - self.sent, 400))
                time.sleep(max(0.0, start + self.sent / RATE - time.monotonic()))
        except Exception as cause:  # told to the main thread, which ends the demonstration
            self.error = cause

    def put(self, rng, count):
        records = [{"Data": json.dumps({"n": n, "ticker": rng.choice(TICKERS),
                                        "price": round(rng.uniform(1, 200), 2)}).encode(),
                    "PartitionKey": str(n)} for n in range(self.sent, self.sent + count)]
        answer = self.client.put_records(StreamName=self.stream, Records=records)
        if answer["FailedRecordCount"]:
            raise RuntimeError(f"the emulator refused {answer['FailedRecordCount']} records")
        self.sent += count


def numbers_in(folder):
    found = []
    for path in sorted(folder.rglob("*")):
        if path.is_file() and not path.name.startswith("."):
            found += [json.loads(line)["n"] for line in path.read_bytes().splitlines()]
    return found


def run(folder):
    print("== starting a Kinesis emulator (kinesis-local)")
    endpoint = KinesisLocal(folder)
    weir = None
    try:
        stream = endpoint.create_stream(2, "demo")
        print(f"== {endpoint.endpoint}, stream {stream} with 2 shards; feeding {RATE} records a second "
              f"for {SECONDS} s")
        feeder = Feeder(endpoint.client, stream)
        feeder.start()
        command = [PROGRAM, "run", ROOT / "examples" / "kinesis-to-files.yaml", "--from", "none",
                   "--set", f"input.stream={stream}", "--set", f"input.endpoint={endpoint.endpoint}",
                   "--set", f"output.path={folder}"]
        print("== weir run examples/kinesis-to-files.yaml --set input.stream=demo ...")
        weir = subprocess.Popen(command, env={
            **os.environ, "WEIR_STATE": str(folder / "state"), "AWS_ACCESS_KEY_ID": "local",
            "AWS_SECRET_ACCESS_KEY": "local-secret", "AWS_EC2_METADATA_DISABLED": "true"})
        feeder.join()
        if feeder.error:
            raise RuntimeError(f"feeding failed: {feeder.error}")
        # Everything is sent: let the pipeline catch up, then end it as an operator would.
        size, since = -1, time.monotonic()
        end = since + 15
        while weir.poll() is None and time.monotonic() < end and time.monotonic() - since < 2:
            time.sleep(0.1)
            if bytes_below(folder / "records") != size:
                size, since = bytes_below(folder / "records"), time.monotonic()
        if weir.poll() is not None:
            raise RuntimeError(f"weir ended on its own with status {weir.returncode}")
        weir.terminate()
        status = weir.wait(20)
        if status != 0:
            raise RuntimeError(f"weir ended with status {status}")
    finally:
        if weir and weir.poll() is None:
            weir.kill()
            weir.wait()
        endpoint.server.stop()
    return feeder.sent


def main():
    sys.stdout.reconfigure(line_buffering=True)  # in a log, too, each line comes when it is true
    shutil.rmtree(FOLDER, ignore_errors=True)
    FOLDER.mkdir(parents=True)
    try:
        sent = run(FOLDER)
    except (RuntimeError, AssertionError, subprocess.TimeoutExpired) as cause:
        print(f"demo: {cause}", file=sys.stderr)
        return 1
    numbers = numbers_in(FOLDER / "records")
    files = [p for p in (FOLDER / "records").rglob("*") if p.is_file()]
    print(f"\n== {len(files)} files below {FOLDER / 'records'}")
    for path in sorted(files)[:5]:
        print(f"   {path.relative_to(ROOT)}  {path.stat().st_size:,} bytes")
    print(f"== {sent} records were put into the stream, {len(numbers)} are in the files")
    if sorted(numbers) != list(range(sent)):
        missing = len(set(range(sent)) - set(numbers))
        print(f"demo: the counts do not agree: {missing} are missing, "
              f"{len(numbers) - len(set(numbers))} came twice", file=sys.stderr)
        return 1
    print("== the counts agree")
    return 0


if __name__ == "__main__":
    sys.exit(main())
