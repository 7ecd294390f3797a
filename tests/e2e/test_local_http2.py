"""weir-local over HTTP/2, by curl: in clear and in TLS, large bodies, fan-out, and what can go wrong."""

import base64
import json
import os
import subprocess

import pytest
from botocore.eventstream import EventStreamBuffer

from local import LocalAws, need_curl
from processes import wait_for

pytestmark = need_curl
SHARD = "shardId-000000000000"
STREAM_ERROR = 92  # curl's status for a stream that was reset


@pytest.fixture
def local(tmp_path):
    with LocalAws(tmp_path, "--stream", "one:1", "--tls-self-signed", tmp_path / "tls") as endpoint:
        endpoint.folder = tmp_path
        yield endpoint


def command(local, operation, body, wire, output):
    (local.folder / "request.json").write_text(json.dumps(body))
    where = {"clear": ["--http2-prior-knowledge", local.endpoint],
             "tls": ["--http2", "--cacert", local.ready["certificate"],
                     local.tls_endpoint.replace("127.0.0.1", "localhost")],
             "tls1": ["--http1.1", "--cacert", local.ready["certificate"],
                      local.tls_endpoint.replace("127.0.0.1", "localhost")]}[wire]
    return ["curl", "-sS", "-N", "--max-time", "60", "--noproxy", "*", "-o", output, "-w", "%{http_version} %{http_code}",
            "-H", f"X-Amz-Target: Kinesis_20131202.{operation}", "-H", "Content-Type: application/x-amz-json-1.1",
            "-H", "Expect:", "--data-binary", f"@{local.folder / 'request.json'}", *where]


def call(local, operation, body, wire="clear", status=0):
    output = local.folder / "answer"
    done = subprocess.run([str(c) for c in command(local, operation, body, wire, output)],
                          capture_output=True, text=True)
    assert done.returncode == status, done.stderr
    if status:
        return None
    assert done.stdout == ("1.1 200" if wire == "tls1" else "2 200"), output.read_text()
    text = output.read_bytes()
    return json.loads(text) if text else None


@pytest.mark.parametrize("wire", ["clear", "tls", "tls1"])
def test_large_bodies_both_ways(local, wire):
    local.admin("POST", "kinesis", {"limits": False})
    sent = [os.urandom(100_000) for _ in range(40)]
    records = [{"Data": base64.b64encode(d).decode(), "PartitionKey": "k"} for d in sent]
    assert call(local, "PutRecords", {"StreamName": "one", "Records": records}, wire)["FailedRecordCount"] == 0
    at = call(local, "GetShardIterator", {"StreamName": "one", "ShardId": SHARD,
                                          "ShardIteratorType": "TRIM_HORIZON"}, wire)["ShardIterator"]
    answer = call(local, "GetRecords", {"ShardIterator": at}, wire)
    assert [base64.b64decode(r["Data"]) for r in answer["Records"]] == sent


class Subscription:
    def __init__(self, local, wire):
        made = call(local, "RegisterStreamConsumer", {
            "StreamARN": "arn:aws:kinesis:us-east-1:000000000000:stream/one", "ConsumerName": "app"}, wire)
        local.advance(1)
        self.output = local.folder / "events"
        self.output.write_bytes(b"")
        self.process = subprocess.Popen([str(c) for c in command(local, "SubscribeToShard", {
            "ConsumerARN": made["Consumer"]["ConsumerARN"], "ShardId": SHARD,
            "StartingPosition": {"Type": "TRIM_HORIZON"}}, wire, self.output)], stdout=subprocess.DEVNULL)

    def events(self):
        buffer = EventStreamBuffer()
        buffer.add_data(self.output.read_bytes())
        return [(e.headers[":event-type"], json.loads(e.payload)) for e in buffer]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()


@pytest.mark.parametrize("wire", ["clear", "tls"])
@pytest.mark.parametrize("pace", [None, 1, 7])
def test_a_subscription(local, wire, pace):
    if pace:
        local.faults([{"operation": "SubscribeToShard", "pace": {"bytes": pace}}])
    with Subscription(local, wire) as s:
        wait_for(lambda: len(s.events()) >= 1, 10, "the first frame")
        assert s.events()[0] == ("initial-response", {})
        call(local, "PutRecord", {"StreamName": "one", "Data": "eA==", "PartitionKey": "k"}, wire)
        wait_for(lambda: any(e[1].get("Records") for e in s.events()[1:]), 20, "the record")
        local.advance(300)
        assert s.process.wait(10) == 0


def test_a_reset_stream(local):
    local.faults([{"operation": "ListStreams", "cut": {"at": at, "how": how}, "count": 1}
                  for at, how in ((0, "rst_stream"), (5, "rst_stream"), (0, "refused"))])
    for _ in range(2):
        call(local, "ListStreams", {}, status=STREAM_ERROR)
    # A refused stream was not looked at: curl asks again by itself.
    assert call(local, "ListStreams", {})["StreamNames"] == ["one"]


def test_going_away_lets_the_stream_end(local):
    local.faults([{"operation": "ListStreams", "cut": {"at": at, "how": "goaway"}} for at in (0,)])
    assert call(local, "ListStreams", {})["StreamNames"] == ["one"]
    local.faults([{"operation": "ListStreams", "cut": {"at": 7, "how": "goaway"}}])
    assert call(local, "ListStreams", {})["StreamNames"] == ["one"]


def test_a_cut_connection(local):
    for how in ("close", "reset"):
        local.faults([{"operation": "ListStreams", "cut": {"at": 7, "how": how}}])
        output = local.folder / "answer"
        done = subprocess.run([str(c) for c in command(local, "ListStreams", {}, "clear", output)],
                              capture_output=True)
        assert done.returncode != 0
        assert output.stat().st_size <= 7
