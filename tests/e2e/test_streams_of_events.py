"""A call whose answer does not end: SubscribeToShard through weir/aws.h, over HTTP/2 in clear and in
TLS, against weir-local. call_judge prints each event as it comes."""

import base64
import json
import os
import subprocess
from contextlib import contextmanager

import pytest

from local import LocalAws
from weir import BUILD, REPORTS

SHARD = "shardId-000000000000"


@pytest.fixture(params=["clear", "tls"])
def local(request, tmp_path):
    with LocalAws(tmp_path, "--auth", "verify", "--stream", "s:1", "--tls-self-signed", tmp_path / "tls") as it:
        it.wire = request.param
        c = it.client("kinesis")
        arn = c.describe_stream_summary(StreamName="s")["StreamDescriptionSummary"]["StreamARN"]
        it.consumer = c.register_stream_consumer(StreamARN=arn, ConsumerName="c")["Consumer"]["ConsumerARN"]
        it.advance(1)
        it.kinesis = c
        yield it


@contextmanager
def subscription(local, position, stop=0):
    """Lines of the judge, as they come; its answer is the last."""
    tls = local.wire == "tls"
    options = {"region": "us-east-1", "endpoint": local.tls_endpoint if tls else local.endpoint,
               "http_version": "2", "credentials.provider": "basic", "credentials.access_key_id": "local",
               "credentials.secret_access_key": "local-secret"}
    if tls:
        options["ca_bundle"] = local.ready["certificate"]
    process = subprocess.Popen(
        [BUILD / "tests" / "call_judge", "kinesis", *(f"{k}={v}" for k, v in options.items())],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env={k: v for k, v in os.environ.items() if not k.startswith("AWS_")})
    body = json.dumps({"ConsumerARN": local.consumer, "ShardId": SHARD, "StartingPosition": position})
    process.stdin.write(json.dumps({"target": "Kinesis_20131202.SubscribeToShard", "stream": True, "stop": stop,
                                    "body": base64.b64encode(body.encode()).decode()}) + "\n")
    process.stdin.close()
    try:
        yield (json.loads(line) for line in process.stdout)
        process.wait(60)
        err = process.stderr.read()
        assert process.returncode == 0 and not REPORTS.search(err), err[-4000:]
    finally:
        process.kill()
        process.wait()
        process.stdout.close()
        process.stderr.close()


def records(event):
    assert (event["message"], event["event"]) == ("event", "SubscribeToShardEvent"), event
    return json.loads(base64.b64decode(event["payload"]))


def test_events_come_as_they_happen_and_the_end_is_a_success(local):
    got = []
    with subscription(local, {"Type": "TRIM_HORIZON"}) as lines:
        assert next(lines)["event"] == "initial-response"
        for i in range(20):
            data = b"%d-" % i + bytes(i * 5000)
            local.kinesis.put_record(StreamName="s", Data=data, PartitionKey="k")
            while len(got) <= i:  # each before the next is put
                got += [base64.b64decode(r["Data"]) for r in records(next(lines))["Records"]]
            assert got[i] == data
        local.advance(301)
        rest = list(lines)
    assert [(r["kind"], r["http"], r["body"]) for r in rest if "kind" in r] == [(0, 200, "")], rest
    assert len(got) == 20


def test_a_refusal_is_read_as_of_any_call(local):
    with subscription(local, {"Type": "AT_SEQUENCE_NUMBER", "SequenceNumber": "1"}) as lines:
        answer = list(lines)
    assert [(a["kind"], a["http"], a["code"]) for a in answer] == [(6, 400, "InvalidArgumentException")]


def test_a_stream_that_breaks_is_not_begun_again(local):
    local.kinesis.put_record(StreamName="s", Data=b"one", PartitionKey="k")
    local.faults([{"operation": "SubscribeToShard", "count": 1, "cut": {"at": 400, "how": "rst_stream"},
                   "pace": {"bytes": 150, "every_ms": 50}}])
    with subscription(local, {"Type": "TRIM_HORIZON"}) as lines:
        *events, answer = list(lines)
    assert events and (answer["kind"], answer["attempts"]) == (2, 1), answer
    assert local.admin("GET", "stats")["operations"]["kinesis.SubscribeToShard"]["requests"] == 1


def test_a_reader_may_leave(local):
    local.kinesis.put_record(StreamName="s", Data=b"one", PartitionKey="k")
    with subscription(local, {"Type": "TRIM_HORIZON"}, stop=2) as lines:
        first, second, answer = list(lines)
    assert first["event"] == "initial-response" and records(second)["Records"]
    assert answer["kind"] == 6 or answer["kind"] == 7, answer
