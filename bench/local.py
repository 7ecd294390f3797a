"""What weir-local gives and takes: bytes of records a second of its own processor time, and of wall
time with the client on the other core. Run: python3 bench/local.py [SECONDS]

A benchmark of a client must measure the client, so the endpoint has to be faster by far. Requests
are rendered once and sent over sockets as they are; answers are read into one buffer. Signatures
and limits are off, HTTP/1.1 in clear, one connection.
"""

import base64
import json
import os
import socket
import statistics
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
BUILD = Path(os.environ.get("WEIR_BUILD", ROOT / "build" / "release")).resolve()
RECORD = 10_000
RUNS = 5
TICKS = os.sysconf("SC_CLK_TCK")


class Endpoint:
    def __enter__(self):
        self.process = subprocess.Popen([BUILD / "bin" / "weir-local", "--auth", "off", "--stream", "s:1"],
                                        stdout=subprocess.PIPE)
        ready = json.loads(self.process.stdout.readline())
        self.port = ready["port"]
        self.url = ready["endpoint"]
        self.admin("kinesis", {"limits": False, "memory_bytes": 512 << 20})
        self.socket = socket.create_connection(("127.0.0.1", self.port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.buffer = bytearray(16 << 20)
        return self

    def __exit__(self, *_):
        self.socket.close()
        self.process.terminate()
        self.process.wait()

    def admin(self, what, body):
        urllib.request.urlopen(urllib.request.Request(
            f"{self.url}/_weir/{what}", data=json.dumps(body).encode(), method="POST")).read()

    def cpu(self):
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / TICKS

    def request(self, operation, body):
        return (f"POST / HTTP/1.1\r\nHost: x\r\nX-Amz-Target: Kinesis_20131202.{operation}\r\n"
                f"Content-Type: application/x-amz-json-1.1\r\nContent-Length: {len(body)}\r\n\r\n"
                ).encode() + body

    def call(self, request):
        """Sends it and reads the answer: the body, as a view that holds until the next call."""
        self.socket.sendall(request)
        view, have, total = memoryview(self.buffer), 0, None
        while total is None or have < total:
            got = self.socket.recv_into(view[have:])
            if got == 0:
                sys.exit("bench: weir-local closed the connection")
            have += got
            if total is None and (end := self.buffer.find(b"\r\n\r\n", 0, min(have, 65536))) >= 0:
                head = bytes(self.buffer[:end]).lower()
                start = end + 4
                total = start + int(head.split(b"content-length:")[1].split(b"\r\n")[0])
                if not head.startswith(b"http/1.1 200"):
                    sys.exit(f"bench: {bytes(self.buffer[:2000])!r}")
        return view[start:total]

    def json(self, operation, **members):
        return json.loads(bytes(self.call(self.request(operation, json.dumps(members).encode()))))


def put_request(endpoint):
    """About 5 MB of records in one request."""
    data = base64.b64encode(os.urandom(RECORD)).decode()
    records = [{"Data": data, "PartitionKey": str(i)} for i in range(500)]
    body = json.dumps({"StreamName": "s", "Records": records}).encode()
    return endpoint.request("PutRecords", body)


def measured(endpoint, seconds, call):
    """Bytes of records a second of the server's processor, and of wall time."""
    cpu, begun, calls = endpoint.cpu(), time.monotonic(), 0
    while time.monotonic() - begun < seconds:
        call()
        calls += 1
    wall, cpu = time.monotonic() - begun, endpoint.cpu() - cpu
    return calls * 500 * RECORD / cpu / 1e9, calls * 500 * RECORD / wall / 1e9


def main():
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 3.0
    with Endpoint() as endpoint:
        put = put_request(endpoint)

        def put_once():
            if b"\"FailedRecordCount\":0" not in endpoint.call(put)[-100:].tobytes():
                sys.exit("bench: records failed")

        put_once()
        iterator = endpoint.json("GetShardIterator", StreamName="s", ShardId="shardId-000000000000",
                                 ShardIteratorType="TRIM_HORIZON")["ShardIterator"]
        get = endpoint.request("GetRecords", json.dumps({"ShardIterator": iterator, "Limit": 500}).encode())
        if len(json.loads(bytes(endpoint.call(get)))["Records"]) != 500:
            sys.exit("bench: not all records came back")
        for name, call in (("GetRecords", lambda: endpoint.call(get)), ("PutRecords", put_once)):
            measured(endpoint, seconds / 3, call)
            runs = [measured(endpoint, seconds, call) for _ in range(RUNS)]
            for what, at in (("server CPU", 0), ("wall", 1)):
                values = sorted(r[at] for r in runs)
                print(f"{name:11} {what:11} {statistics.median(values):5.2f} GB/s "
                      f"({values[0]:.2f} to {values[-1]:.2f}), {RUNS} runs of {seconds:g} s")


if __name__ == "__main__":
    main()
