"""Benchmarks of weir; scripts/bench starts it. bench/README.md explains method and figures."""

import argparse
import contextlib
import json
import os
import shlex
import shutil
import statistics
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
BUILD = Path(os.environ.get("WEIR_BUILD", ROOT / "build" / "release")).resolve()
TOOLS = BUILD / "bench"
CACHE = ROOT / "build" / "cache"
WORK = ROOT / "build" / "bench-work"
WEIR = BUILD / "bin" / "weir"
LOCAL = BUILD / "bin" / "weir-local"
KINESIS_RECORDS_A_CALL = 1000
KINESIS_SHARDS = 4


def fail(text):
    sys.exit(f"bench: {text}")


def corpus(count):
    """The file of `count` records, made once and read once so that it is in the page cache."""
    path = CACHE / f"bench-{count}.jsonl"
    if not path.exists():
        CACHE.mkdir(parents=True, exist_ok=True)
        part = path.with_suffix(".part")
        print(f"making {path} ...", file=sys.stderr)
        with open(part, "wb") as out:
            subprocess.run([TOOLS / "corpus", str(count)], stdout=out, check=True)
        part.rename(path)
    with open(path, "rb", buffering=0) as warm:
        while warm.read(1 << 20):
            pass
    return path


def measured(command, env=None, limit=600, until_it_speaks=False):
    """Runs a command under bench/measure.c; `until_it_speaks`: it is ended by its first output."""
    report = WORK / "report.json"
    options = ["--until-it-speaks"] if until_it_speaks else []
    done = subprocess.run([TOOLS / "measure", *options, report, *map(str, command)], cwd=WORK, timeout=limit,
                          env={**os.environ, "WEIR_STATE": str(WORK / "state"), "WEIR_LOG": "warn",
                               "AWS_EC2_METADATA_DISABLED": "true", **(env or {})},
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    if done.returncode != 0:
        fail(f"measure: {done.stderr.decode()}")
    result = json.loads(report.read_text())
    if result["status"] != 0:
        fail(f"{command[0]} ended with {result['status']}:\n{done.stderr.decode()[-3000:]}")
    result["cpu"] = result["user"] + result["system"]
    return result


def write_manifest(name, sources, sinks):
    manifest = WORK / f"{name}.yaml"
    document = {"weir": 1, "name": f"bench-{name}", "sources": sources, "sinks": sinks}
    manifest.write_text(json.dumps(document, indent=1))  # JSON is YAML
    return manifest


def weir_run(name, sources, sinks, env=None):
    """One run of a pipeline, from a fresh state."""
    manifest = write_manifest(name, sources, sinks)
    shutil.rmtree(WORK / "state", ignore_errors=True)
    return measured([WEIR, "run", "--once", "--from", "none", manifest], env)


# ---- rows: each returns the records it moved and the measurement, after checking the result ----


class Row:
    name = ""
    what = ""
    bound_text = ""
    peers = False  # whether --peer applies
    start = None   # what is waited for if the row is about the time until then, not about records

    def __init__(self, args, primitives):
        self.args, self.primitives = args, primitives
        self.record_bytes = primitives["record_bytes"]

    def missing(self):
        """Why this build cannot run the row, or nothing."""
        return None

    def prepare(self):
        pass

    def bound(self):
        """Nanoseconds of CPU time a record cannot go below, from this machine's primitives."""
        return None

    def cost(self, **bytes_of):
        return sum(count * 1e9 / self.primitives[name] for name, count in bytes_of.items())

    def finish(self):
        pass


class FileRow(Row):
    peers = True
    pass_through = "auto"

    def prepare(self):
        self.input = corpus(self.args.records)
        self.size = self.input.stat().st_size
        self.output = WORK / "out.jsonl"

    def run(self):
        self.output.unlink(missing_ok=True)
        form = {"type": "json", "pass_through": self.pass_through}
        result = weir_run(self.name,
                          {"in": {"type": "file", "path": str(self.input), "format": form}},
                          {"out": {"type": "file", "path": str(self.output), "format": form, "input": "in"}})
        fault = self.fault(self.output)
        if fault:
            fail(f"{self.output} {fault}")
        return self.args.records, result

    def peer(self, template):
        """The peer is given {input} and {output}. Too few lines are no result; other content is told."""
        self.output.unlink(missing_ok=True)
        command = [part.format(input=self.input, output=self.output) for part in shlex.split(template)]
        if Path(command[0]).is_file():  # it runs in another folder
            command[0] = Path(command[0]).resolve()
        result = measured(command)
        if "{output}" in template:
            lines = count_lines(self.output)
            if lines != self.args.records:
                fail(f"the peer wrote {lines} records instead of {self.args.records}")
            result["fault"] = self.fault(self.output)
        return self.args.records, result

    def finish(self):
        self.output.unlink(missing_ok=True)


def count_lines(path):
    lines = 0
    with open(path, "rb", buffering=0) as file:
        while block := file.read(1 << 20):
            lines += block.count(b"\n")
    return lines


class FilePass(FileRow):
    name = "file-pass"
    what = "file to file, the same format on both sides: bytes travel untouched"
    bound_text = "read(2) + newline scan + write(2) + fsync(2)"

    def bound(self):
        b = self.record_bytes
        return self.cost(file_read_256k=b, newline_scan=b, file_write_256k=b, file_sync=b)

    def fault(self, output):
        if output.stat().st_size != self.size:
            return f"has {output.stat().st_size} bytes, its input {self.size}"
        with open(output, "rb") as a, open(self.input, "rb") as b:
            while block := a.read(1 << 20):
                if block != b.read(1 << 20):
                    return "differs from its input"
        return None


class FileDecode(FileRow):
    name = "file-decode"
    what = "file to file, every record decoded to the value tape and encoded again"
    pass_through = "never"
    bound_text = "read(2) + newline scan + two passes that class each byte (parse, escape) + copy + write(2) + fsync(2)"

    def bound(self):
        b = self.record_bytes
        return self.cost(file_read_256k=b, newline_scan=b, string_scan=2 * b, memcpy=b, file_write_256k=b, file_sync=b)

    def fault(self, output):
        lines = count_lines(output)
        if lines != self.args.records:
            return f"has {lines} records instead of {self.args.records}"
        with open(output, "rb") as a, open(self.input, "rb") as b:  # all of them would take minutes
            for _ in range(2000):
                if json.loads(a.readline()) != json.loads(b.readline()):
                    return "has a record of other content"
        return None


class Generator(Row):
    name = "generator"
    what = "generator to blackhole, 1,010-byte records: what the framework itself costs"
    bound_text = "one copy of the record"

    def bound(self):
        return self.cost(memcpy=self.record_bytes)

    def run(self):
        count = self.args.records * 4
        result = weir_run(self.name, {"in": {"type": "generator", "shape": "sequence", "count": count,
                                             "size": int(self.record_bytes)}},
                          {"out": {"type": "blackhole", "input": "in"}})
        return count, result


@contextlib.contextmanager
def kinesis_stub(calls):
    stub = subprocess.Popen([TOOLS / "kinesis_stub", "--shards", str(KINESIS_SHARDS), "--records",
                             str(KINESIS_RECORDS_A_CALL), "--calls", str(calls)],
                            stdout=subprocess.PIPE, text=True)
    try:
        port = json.loads(stub.stdout.readline())["port"]
        served = {}
        yield port, served
        stub.terminate()
        served.update(json.loads(stub.stdout.readline()))
    finally:
        if stub.poll() is None:
            stub.kill()
        stub.wait()


class Kinesis(Row):
    wire = "json"

    def manifest(self, port):
        source = {"type": "kinesis", "stream": "bench", "region": "us-east-1",
                  "endpoint": f"http://127.0.0.1:{port}", "start": "trim_horizon", "stop": "latest",
                  "wire": self.wire, "interval": "1ms"}
        return {"in": source}, {"out": {"type": "blackhole", "input": "in"}}

    def missing(self):
        done = subprocess.run([WEIR, "check", write_manifest(self.name, *self.manifest(1))], cwd=WORK,
                              stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        return done.stderr.decode().splitlines()[0] if done.returncode else None

    def run(self):
        calls = max(1, self.args.records // (KINESIS_SHARDS * KINESIS_RECORDS_A_CALL))
        count = calls * KINESIS_SHARDS * KINESIS_RECORDS_A_CALL
        with kinesis_stub(calls) as (port, served):
            result = weir_run(self.name, *self.manifest(port),
                              {"AWS_ACCESS_KEY_ID": "bench", "AWS_SECRET_ACCESS_KEY": "bench"})
        if served["records"] != count:
            fail(f"the endpoint served {served['records']} records instead of {count}")
        return count, result


class KinesisJson(Kinesis):
    name = "kinesis-json"
    what = "Kinesis (own endpoint, plain HTTP, 4 shards) to blackhole"
    bound_text = "recv(2) of the body + one pass that classes each byte + base64"

    def bound(self):
        wire = self.record_bytes * 4 / 3 + 163
        return self.cost(socket_recv=wire, string_scan=wire, base64_decode=self.record_bytes)


class KinesisLocal(Row):
    name = "kinesis-local"
    what = "Kinesis (kinesis-local of npm) to blackhole: the emulator is the limit"

    def run(self):
        sys.path.insert(0, str(ROOT / "tests" / "e2e"))
        from conftest import KinesisLocal as Server
        server = Server(WORK)
        try:
            stream = server.create_stream(KINESIS_SHARDS)
            count = 10_000
            text = json.dumps({"text": "x" * 980}).encode()
            for at in range(0, count, 500):
                server.client.put_records(StreamName=stream, Records=[
                    {"Data": text, "PartitionKey": str(at + i)} for i in range(500)])
            source = {"type": "kinesis", "stream": stream, "region": "us-east-1", "endpoint": server.endpoint,
                      "start": "trim_horizon", "stop": "latest", "interval": "1ms"}
            result = weir_run(self.name, {"in": source}, {"out": {"type": "blackhole", "input": "in"}},
                              {"AWS_ACCESS_KEY_ID": "bench", "AWS_SECRET_ACCESS_KEY": "bench"})
            return count, result
        finally:
            server.server.stop()


class Ready(Row):
    name = "ready"
    what = "from exec to the first record on standard output"
    start = "to the first record"

    def run(self):
        result = weir_run(self.name, {"in": {"type": "generator", "shape": "sequence", "count": 1}},
                          {"out": {"type": "stdout", "input": "in"}})
        return 1, result


class LocalReady(Row):
    name = "local-ready"
    what = "weir-local, from exec to the line that says it is ready: 100 shards, TLS"
    start = "until it is ready"

    def prepare(self):
        self.run()  # makes the certificate, which later starts find

    def run(self):
        command = [LOCAL, "--stream", "a:100", "--tls-self-signed", WORK / "tls"]
        return 1, measured(command, until_it_speaks=True)


ROWS = [FilePass, FileDecode, Generator, KinesisJson, KinesisLocal, Ready, LocalReady]


# ---- report ----


def spread(values):
    return f"{min(values):,.0f} to {max(values):,.0f}"


def report(row, runs, peers):
    out = {"row": row.name, "what": row.what, "runs": len(runs)}
    if row.start:
        first = [r["first_byte"] * 1000 for _, r in runs]
        out.update(ready_ms=statistics.median(first), low=min(first), high=max(first))
        print(f"{row.name:14} {statistics.median(first):8.2f} ms {row.start} "
              f"({min(first):.2f} to {max(first):.2f}), peak RSS "
              f"{statistics.median(r['peak_rss_kib'] for _, r in runs) / 1024:.1f} MiB")
        return out
    rates = [n / r["cpu"] for n, r in runs]
    rate = statistics.median(rates)
    rss = statistics.median(r["peak_rss_kib"] for _, r in runs) / 1024
    wall = statistics.median(n / r["wall"] for n, r in runs)
    bound = row.bound()
    out.update(records_per_cpu_second=rate, low=min(rates), high=max(rates), peak_rss_mib=rss,
               records_per_second=wall)
    line = (f"{row.name:14} {rate:12,.0f} records/CPU-s ({spread(rates)}), {wall:,.0f} records/s, "
            f"peak RSS {rss:.1f} MiB")
    if bound:
        out.update(bound_records_per_cpu_second=1e9 / bound, share_of_bound=rate * bound / 1e9)
        line += f"; {100 * rate * bound / 1e9:.0f} % of {1e9 / bound:,.0f} ({row.bound_text})"
    print(line)
    if peers:
        ratios = [(n / r["cpu"]) / (pn / pr["cpu"]) for (n, r), (pn, pr) in zip(runs, peers)]
        peer_rates = [n / r["cpu"] for n, r in peers]
        peer_rate = statistics.median(peer_rates)
        fault = next((r["fault"] for _, r in peers if r.get("fault")), None)
        out.update(peer_records_per_cpu_second=peer_rate, peer_low=min(peer_rates), peer_high=max(peer_rates),
                   peer_fault=fault, ratio=statistics.median(ratios),
                   ratio_low=min(ratios), ratio_high=max(ratios),
                   peer_peak_rss_mib=statistics.median(r["peak_rss_kib"] for _, r in peers) / 1024)
        print(f"{'':14} {peer_rate:12,.0f} records/CPU-s of the peer ({spread(peer_rates)}), "
              f"peak RSS {out['peer_peak_rss_mib']:.1f} MiB; "
              f"ratio {out['ratio']:.2f} ({min(ratios):.2f} to {max(ratios):.2f}, {len(ratios)} pairs)")
        if fault:
            print(f"{'':14} the peer's output {fault}")
    return out


def main():
    parser = argparse.ArgumentParser(
        prog="scripts/bench", formatter_class=argparse.RawDescriptionHelpFormatter,
        description="Records per CPU-second, memory and start time of weir, beside what this machine "
                    "could do at best.\n\nrows:\n" +
                    "\n".join(f"  {r.name:14} {r.what}" for r in ROWS))
    parser.add_argument("rows", nargs="*", metavar="ROW", help="default: all but kinesis-local")
    parser.add_argument("--runs", type=int, default=5, help="runs of each row (5)")
    parser.add_argument("--records", type=int, default=1_000_000, help="records of a run (1,000,000)")
    parser.add_argument("--peer", metavar="COMMAND", help="another program for the file rows, run in turn "
                        "with weir; {input} and {output} stand for the files")
    parser.add_argument("--json", metavar="FILE", help="write the figures there too")
    args = parser.parse_args()
    known = {r.name: r for r in ROWS}
    unknown = [r for r in args.rows if r not in known]
    if unknown:
        fail(f"no row {unknown[0]!r}; there are: {' '.join(known)}")
    if args.runs < 1 or args.records < 4000:
        fail("at least 1 run of 4,000 records")
    chosen = args.rows or [n for n in known if n != "kinesis-local"]

    shutil.rmtree(WORK, ignore_errors=True)
    WORK.mkdir(parents=True)
    primitives = json.loads(subprocess.run([TOOLS / "primitives", WORK], stdout=subprocess.PIPE,
                                           check=True).stdout)
    print("this machine, GB per CPU-second: " + ", ".join(
        f"{name} {rate / 1e9:.2f}" for name, rate in primitives.items() if name != "record_bytes"))
    figures = {"primitives": primitives, "rows": []}
    try:
        for name in chosen:
            row = known[name](args, primitives)
            why = row.missing()
            if why:
                print(f"{name:14} skipped: {why}")
                continue
            row.prepare()
            if not row.start:
                row.run()  # warms caches and the page cache; not counted
            with_peer = args.peer and row.peers
            if with_peer:
                row.peer(args.peer)
            runs, peers = [], []
            for _ in range(max(args.runs, 20) if row.start else args.runs):
                runs.append(row.run())
                if with_peer:
                    peers.append(row.peer(args.peer))
            row.finish()
            figures["rows"].append(report(row, runs, peers))
    finally:
        shutil.rmtree(WORK, ignore_errors=True)
    figures["when"] = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    if args.json:
        Path(args.json).write_text(json.dumps(figures, indent=1) + "\n")


if __name__ == "__main__":
    main()
