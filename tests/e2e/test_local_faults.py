"""weir-local's faults: each one, felt by a client. README.md has the list by Appendix rows.

What weir does under a fault is asked of `weir run`: everything arrives, once, and what a person is told.
What weir has no client for yet (writing) is asked of boto3; streams of events are in
test_local_faults_events.py.
"""

import base64
import collections
import hashlib
import http.client
import json
import socket
import subprocess
import sys
import time
import urllib.error

import pytest
from botocore.exceptions import ClientError, ConnectionClosedError

from kinesis_requests import read_shard, refused
from local import ONCE, PROGRAM, LocalAws, need_curl
from processes import wait_for
from weir import FAILED, OK, lines_of, pipeline, wait_bytes

KEYS = {"AWS_ACCESS_KEY_ID": "local", "AWS_SECRET_ACCESS_KEY": "local-secret"}
SHARD = "shardId-000000000000"
COUNT = 200
WANT = [b"record-%06d" % i for i in range(COUNT)]


@pytest.fixture
def local(tmp_path):
    with LocalAws(tmp_path, "--auth", "verify", "--stream", "one:1", "--stream", "two:2") as endpoint:
        yield endpoint


@pytest.fixture
def tls(tmp_path):
    with LocalAws(tmp_path, "--auth", "verify", "--stream", "one:1", "--stream", "two:2",
                  "--tls-self-signed", tmp_path / "tls") as endpoint:
        yield endpoint


@pytest.fixture
def unsigned(tmp_path):
    """For curl, whose own signatures leave headers out."""
    with LocalAws(tmp_path, "--stream", "one:1", "--tls-self-signed", tmp_path / "tls") as endpoint:
        yield endpoint


# ---- weir under faults ----

def put(local, records, stream="two"):
    """Records that arrived are in `WANT` once each: none of this is a fault's business."""
    local.admin("POST", "kinesis", {"limits": False})
    client = local.client("kinesis")
    for at in range(0, len(records), 500):
        answer = client.put_records(StreamName=stream, Records=[
            {"Data": r, "PartitionKey": r.decode()} for r in records[at:at + 500]])
        assert answer["FailedRecordCount"] == 0


def manifest(local, stream="two", **more):
    source = {"type": "kinesis", "stream": stream, "region": "us-east-1", "endpoint": local.endpoint,
              "start": "trim_horizon", "interval": "10ms", "empty_interval": "10ms",
              "retry": {"base": "5ms", "max": "20ms"}, **more}
    return pipeline({"in": source}, {"out": {"type": "file", "path": "out/lines.txt", "input": "in"}},
                    settings={"start_timeout": "10s"})


def over_http2(local):
    return {"endpoint": local.tls_endpoint.replace("127.0.0.1", "localhost"), "http_version": "2",
            "ca_bundle": local.ready["certificate"]}


def start(weir, local, env=KEYS, **more):
    local.admin("POST", "journal", {"entries": 100_000})  # all of a test, however slow its machine
    return weir.start("run", weir.manifest(manifest(local, **more)), env=env)


def arrived(weir, running, want):
    wait_bytes(weir.folder / "out", sum(len(x) + 1 for x in want), 60, running)


def finish(weir, running, want=WANT):
    """All of it, nothing twice."""
    arrived(weir, running, want)
    result = running.stop()
    assert result.status == OK, result
    assert sorted(lines_of(weir.folder / "out")) == sorted(want)
    return result


def hits(local):
    return [r["hits"] for r in local.admin("GET", "faults")["rules"]]


def asked(local, **query):
    words = "&".join(f"{k}={v}" for k, v in query.items())
    return local.admin("GET", f"journal?{words}")["requests"]


THROTTLED = "ProvisionedThroughputExceededException"
EXPIRED = "ExpiredIteratorException"
def of_a_type(**form):
    # An expired iterator that is not understood would end the run.
    return {"exception": EXPIRED, "count": 2, "error_type": form}


# Rules of GetRecords that one run meets one after the other.
RULES = {
    "throttling": [
        {"exception": THROTTLED, "count": 5}, {"exception": "LimitExceededException", "count": 2},
        {"exception": "KMSThrottlingException", "count": 2}, {"status": 429, "count": 2},
        {"status": 429, "body": "", "count": 2}, {"exception": THROTTLED, "retry_after_ms": 50, "count": 2},
        {"exception": THROTTLED, "probability": 0.5, "count": 10}],
    "server-errors": [
        {"exception": "InternalFailure", "count": 3}, {"exception": "ServiceUnavailable", "count": 3},
        {"status": 502, "body": "<html>", "content_type": "text/html", "count": 2}, {"status": 504, "count": 2},
        {"exception": "InternalFailure", "every": 3, "skip": 1, "count": 5}],
    "carried-out-but-500": [{"status": 500, "after": True, "count": 3}],
    "200-with-an-error-body": [
        {"status": 200, "body": '{"__type":"InternalFailure","message":"Internal"}',
         "content_type": "application/x-amz-json-1.1", "count": 2},
        {"status": 200, "body": '{"Records":[{"Data":"cmVj', "count": 2}],
    "expired-iterators": [{"exception": EXPIRED, "count": 2}],
    "cut-at-a-byte": [{"cut": {"at": at, "how": how}} | {"count": 1} for at, how in (
        (5000, "close"), (5001, "reset"), (100, "close"), (99, "reset"), (1, "close"), (1, "reset"))],
    "cut-before-the-head": [{"cut": {"at": 0, "how": how}, "count": 2} for how in ("close", "reset", "refused")],
    "slow-bodies": [{"pace": {"bytes": 2000, "every_ms": 5}, "count": 2}],
    "bodies-byte-by-byte": [{"pace": {"bytes": 1}, "count": 2}],
    "latency": [{"latency_ms": 100, "jitter_ms": 50, "count": 3},
                {"latency": {"p50_ms": 1, "p90_ms": 20, "p100_ms": 100}, "count": 10},
                {"date_ms": 3600_000, "count": 3}],
    "other-json": [{"json": {"timestamps": "exponent", "nulls": ["EncryptionType", "ChildShards", "New"]}}],
    "error-types": [
        of_a_type(**{"in": "header"}), of_a_type(**{"in": "body"}),
        of_a_type(**{"in": "body", "prefix": "com.amazonaws.kinesis.v20131202#"}),
        of_a_type(**{"in": "header", "suffix": ":http://internal.amazon.com/coral/com.amazonaws.kinesis/"})],
}
HTTP2_RULES = {
    "rst-stream": [{"cut": {"at": at, "how": how}, "count": 2}
                   for at, how in ((100, "rst_stream"), (0, "rst_stream"), (0, "refused"))],
    "goaway": [{"cut": {"at": at, "how": "goaway"}, "count": 2} for at in (100, 0)],
    "connections-that-end": [{"cut": {"at": 100, "how": how}, "count": 2} for how in ("close", "reset")],
    "frames-of-one-byte": [{"pace": {"bytes": 1}, "count": 1}],
}


def all_hit(local):
    return all(r["hits"] >= r["rule"].get("count", 1) for r in local.admin("GET", "faults")["rules"])


@pytest.mark.parametrize("name", RULES)
def test_weir_reads_everything_once(weir, local, name):
    put(local, WANT)
    local.faults([{"service": "kinesis", "operation": "GetRecords", **r} for r in RULES[name]])
    running = start(weir, local)
    wait_for(lambda: all_hit(local) or not running.alive(), 60, "each rule")
    finish(weir, running)


@pytest.mark.parametrize("name", HTTP2_RULES)
def test_weir_reads_everything_once_over_http2(weir, tls, name):
    put(tls, WANT)
    tls.faults([{"operation": "GetRecords", **r} for r in HTTP2_RULES[name]])
    running = start(weir, tls, **over_http2(tls))
    wait_for(lambda: all_hit(tls) or not running.alive(), 60, "each rule")
    finish(weir, running)
    assert {r["http"] for r in asked(tls, operation="GetRecords")} == {"2"}


def weir_meets(weir, local, conducts, **more):
    """One run under one conduct of connections after the other: (conduct, requests answered under it)."""
    running, share, seen = start(weir, local, **more), COUNT // len(conducts), []
    for i, conduct in enumerate(conducts):
        local.admin("POST", "faults", {"rules": [], "connections": conduct})
        mark = local.admin("GET", "journal?limit=0")["last"]
        put(local, WANT[i * share:(i + 1) * share] if i + 1 < len(conducts) else WANT[i * share:])
        wait_for(lambda: len(asked(local, after=mark, operation="GetRecords", status=200)) >= 8
                 or not running.alive(), 60, f"requests under {conduct}")
        seen.append((conduct, asked(local, after=mark, operation="GetRecords", status=200)))
    finish(weir, running)
    return seen


def test_weir_and_connections_that_end(weir, local):
    """A last answer, keep-alive races, idle ends, slow reading."""
    seen = weir_meets(weir, local, [
        {"close_after": 1}, {"close_after": 3}, {"drop_after": 1}, {"drop_after": 2, "drop_count": 5},
        {"idle_ms": 50}, {"read_pace": {"bytes": 64, "every_ms": 1}}])
    for conduct, requests in seen:
        used = collections.Counter(r["connection"] for r in requests)
        most = max(n for c, n in used.items() if c != requests[0]["connection"]) if len(used) > 1 else 0
        if "close_after" in conduct:
            assert 1 <= most <= conduct["close_after"], conduct
        if conduct.get("drop_after") == 1:
            assert most == 1


def test_weir_and_http2_connections(weir, tls):
    """Small flow-control windows, one stream at a time, GOAWAY behind every other answer, drops."""
    tls.admin("POST", "faults", {"rules": [], "connections": {"window": 1, "streams": 1}})  # for the first one
    seen = weir_meets(weir, tls, [{"window": 1, "streams": 1}, {"close_after": 2, "window": 100},
                                  {"drop_after": 3, "drop_count": 3}], **over_http2(tls))
    assert {r["http"] for _, requests in seen for r in requests} == {"2"}
    assert len({r["connection"] for r in seen[1][1]}) >= 3


@pytest.mark.parametrize("rule,status,words", [
    ({"operation": "GetRecords", "exception": "AccessDeniedException",
      "message": "User: x is not authorized"}, 1, ["GetRecords", "AccessDeniedException", "not authorized"]),
    ({"operation": "GetRecords", "exception": "KMSDisabledException"}, 1, ["KMSDisabledException"]),
    ({"operation": "ListShards", "exception": "ResourceNotFoundException"}, 1, ["two"]),
    ({"operation": "GetRecords", "status": 403}, 1, ["AccessDeniedException"]),
], ids=["access-denied", "kms-disabled", "no-such-stream", "403"])
def test_what_cannot_be_mended_is_said(weir, local, rule, status, words):
    put(local, WANT[:10])
    local.faults([rule])
    result = weir.run_pipeline(manifest(local), env=KEYS)
    assert result.status == status, result
    assert all(w in result.err for w in words), result
    assert "local-secret" not in result.text


@pytest.mark.parametrize("operation,rule", [
    ("ListShards", {"exception": "LimitExceededException"}), ("ListShards", {"exception": "ResourceInUseException"}),
    ("ListShards", {"status": 500}), ("GetShardIterator", {"exception": THROTTLED}),
    ("GetShardIterator", {"cut": {"at": 3}})],
    ids=["list-limit", "list-in-use", "list-500", "iterator-throttled", "iterator-cut"])
def test_the_start_is_patient(weir, local, operation, rule):
    put(local, WANT)
    local.faults([{"operation": operation, **rule, "count": 2}])
    finish(weir, start(weir, local))
    assert hits(local) == [2]


def test_retry_after_is_waited_for(weir, local):
    """weir's own delay would be 5 to 20 ms."""
    put(local, WANT, "one")
    local.faults([{"operation": "GetRecords", "status": 503, "retry_after_ms": 400, "count": 2}])
    finish(weir, start(weir, local, stream="one"))
    times = [r["time_ms"] for r in asked(local, operation="GetRecords")]
    assert times[1] - times[0] >= 399 and times[2] - times[1] >= 399


def test_a_person_reads_what_went_wrong(weir, local):
    put(local, WANT)
    local.faults([{"operation": "GetRecords", "exception": "InternalFailure", "message": "the disk is on fire",
                   "count": 2}])
    result = finish(weir, start(weir, local))
    assert "GetRecords" in result.err and "the disk is on fire" in result.err, result


# ---- row 1: signatures, keys, clocks ----

@pytest.mark.parametrize("skew", [-600, 600])
def test_a_clock_that_is_ten_minutes_off(weir, local, skew):
    put(local, WANT)
    local.skew(skew)
    result = finish(weir, start(weir, local))
    assert "clock" in result.err, result
    refusals = asked(local, status=400)
    # The time is corrected for good by the first refusal: what was under way may be refused as well.
    assert 1 <= len(refusals) <= 3 and all(r["operation"] == "ListShards" or r["number"] < 12 for r in refusals)


def test_a_clock_that_jumps_in_mid_stream(weir, local):
    put(local, WANT[:50])
    running = start(weir, local)
    arrived(weir, running, WANT[:50])

    def last():
        return local.admin("GET", "journal?limit=0")["last"]

    def set_and_await(skew, status):
        """A 400 may come as soon as the clock is set; a 200 counts if it was asked for behind that."""
        before = last()
        local.skew(skew)
        mark = before if status == 400 else last()
        wait_for(lambda: asked(local, after=mark, operation="GetRecords", status=status), 60, f"a {status}")

    for at, skew in ((50, 600), (100, -600), (150, 0)):
        set_and_await(skew, 400)
        set_and_await(skew, 200)  # with the time of this clock
        # For boto3. A call bears one change of the clock: the next waits until one has gone through.
        set_and_await(0, 200)
        put(local, WANT[at:at + 50])
        set_and_await(skew, 200)
        arrived(weir, running, WANT[:at + 50])
    finish(weir, running)


def test_a_date_that_lies_beside_a_clock_that_is_off(weir, local):
    """The Date of a refusal is what corrects the clock: where that lies, it is said and given up."""
    put(local, WANT[:10])
    local.skew(600)
    local.faults([{"date_ms": -600_000}])
    result = weir.run_pipeline(manifest(local, retry={"attempts": 3, "base": "5ms", "max": "10ms"}), env=KEYS)
    assert result.status == FAILED and "Signature" in result.err, result


def keys_program(weir):
    """Hands out keys K1, K2, ... that never end by themselves."""
    program = weir.folder / "keys"
    program.write_text(f"""#!{sys.executable}
import json, pathlib
at = pathlib.Path({str(weir.folder / "number")!r})
number = int(at.read_text()) + 1 if at.exists() else 1
at.write_text(str(number))
print(json.dumps({{"Version": 1, "AccessKeyId": f"K{{number}}", "SecretAccessKey": f"secret-{{number}}",
                  "SessionToken": f"token-{{number}}", "Expiration": "2099-01-01T00:00:00Z"}}))
""")
    program.chmod(0o700)
    return {"provider": "process", "command": str(program)}


def test_keys_that_expire_in_mid_stream(weir, tmp_path):
    """The endpoint takes any key; those that a rule names are expired from then on."""
    with LocalAws(tmp_path, "--stream", "two:2") as local:
        put(local, WANT[:100])
        running = start(weir, local, credentials=keys_program(weir), env={})
        arrived(weir, running, WANT[:100])
        for _ in range(2):
            local.faults([{"operation": "GetRecords", "expire_keys": True, "count": 1}])
            wait_for(lambda: asked(local, status=400, operation="GetRecords"), 60, "a refusal")
            refused_key = asked(local, status=400)[-1]["access_key"]
            wait_for(lambda: any(r["access_key"] != refused_key for r in asked(local, status=200)[-1:]), 60,
                     "other keys")
            local.admin("DELETE", "journal")
        put(local, WANT[100:])
        result = finish(weir, running)
        assert asked(local, operation="GetRecords")[-1]["access_key"] == "K3"
        assert "secret-" not in result.text and "token-" not in result.text


def test_keys_that_expire_and_have_no_successor(weir, local):
    put(local, WANT)
    local.faults([{"operation": "GetRecords", "expire_keys": ["local", "another"]}])
    result = weir.run_pipeline(manifest(local), env=KEYS)
    assert result.status == FAILED and "ExpiredToken" in result.err, result
    assert refused(local.client("kinesis").list_streams) == "ExpiredTokenException"
    local.admin("DELETE", "faults")
    assert local.client("kinesis").list_streams()["StreamNames"] == ["one", "two"]


def test_the_journal_has_what_should_have_been_signed(local):
    wrong = local.client("kinesis", retries=ONCE, aws_secret_access_key="another")
    assert refused(wrong.list_streams) == "InvalidSignatureException"
    [entry] = asked(local)
    lines = entry["canonical_request"].split("\n")
    assert lines[0] == "POST" and lines[-1] == hashlib.sha256(b"{}").hexdigest()
    assert any(line.startswith("x-amz-date:") for line in lines)
    assert entry["access_key"] == "local" and entry["status"] == 400


@pytest.mark.parametrize("name,status", [
    ("UnrecognizedClientException", 400), ("ExpiredTokenException", 400), ("AccessDeniedException", 400),
    ("InvalidSignatureException", 403), ("RequestExpired", 400)])
def test_refusals_by_name(local, name, status):
    local.faults([{"exception": name, "status": status, "message": "no"}])
    with pytest.raises(ClientError) as error:
        local.client("kinesis", retries=ONCE).list_streams()
    answer = error.value.response
    assert answer["Error"] == {"Code": name, "Message": "no"}
    assert answer["ResponseMetadata"]["HTTPStatusCode"] == status and answer["ResponseMetadata"]["RequestId"]


def ask(local, operation="ListStreams", body=b"{}", connection=None, **headers):
    """By hand: status, headers and body as they are."""
    c = connection or http.client.HTTPConnection("127.0.0.1", local.port, timeout=60)
    c.request("POST", "/", body, {"X-Amz-Target": f"Kinesis_20131202.{operation}",
                                  "Content-Type": "application/x-amz-json-1.1", **headers})
    answer = c.getresponse()
    return answer.status, answer.headers, answer.read()


@pytest.mark.parametrize("where", ["both", "header", "body", "none"])
def test_an_error_type_in_each_place(local, where):
    local.faults([{"exception": "LimitExceededException",
                   "error_type": {"in": where, "prefix": "ns#", "suffix": ":x"}}])
    status, headers, body = ask(local)
    body = json.loads(body)
    want = "ns#LimitExceededException:x"
    assert status == 400 and body["message"] and headers["x-amzn-RequestId"]
    assert headers.get("x-amzn-ErrorType") == (want if where in ("both", "header") else None)
    assert body.get("__type") == (want if where in ("both", "body") else None)


def test_an_error_type_of_a_real_error(local):
    """The form is independent of whether a rule or the service itself refuses."""
    local.faults([{"error_type": {"in": "body", "prefix": "com.amazonaws.kinesis.v20131202#"}}])
    client = local.client("kinesis", retries=ONCE)
    assert refused(client.describe_stream_summary, StreamName="none") == "ResourceNotFoundException"


# ---- row 2: data ----

def test_stored_but_answered_500_comes_twice(weir, local):
    """A writer that asks again writes again: that is what at-least-once means."""
    local.faults([{"operation": "PutRecord", "status": 500, "after": True, "count": 1}])
    local.client("kinesis").put_record(StreamName="two", Data=b"twice", PartitionKey="k")
    finish(weir, start(weir, local), [b"twice", b"twice"])


def test_records_that_failed_are_sent_again(local):
    client = local.client("kinesis")
    local.faults([{"operation": "PutRecords", "records": {"every": 3, "exception": THROTTLED}, "count": 2}])
    left, rounds = [b"%d" % i for i in range(10)], 0
    while left:
        answer = client.put_records(StreamName="one", Records=[{"Data": d, "PartitionKey": "k"} for d in left])
        failed = [d for d, r in zip(left, answer["Records"]) if "ErrorCode" in r]
        assert answer["FailedRecordCount"] == len(failed)
        assert all(r.get("ErrorCode", THROTTLED) == THROTTLED for r in answer["Records"])
        left, rounds = failed, rounds + 1
    assert rounds == 3
    assert sorted(r["Data"] for r in read_shard(client, "one", SHARD)[0]) == [b"%d" % i for i in range(10)]


@pytest.mark.parametrize("order", ["reverse", "shuffle"])
def test_a_batch_is_stored_out_of_order(weir, local, order):
    client = local.client("kinesis")
    local.faults([{"operation": "PutRecords", "records": {"order": order}}])
    sent = [b"%02d" % i for i in range(50)]
    answer = client.put_records(StreamName="one", Records=[{"Data": d, "PartitionKey": "k"} for d in sent])
    stored = read_shard(client, "one", SHARD)[0]
    data = [r["Data"] for r in stored]
    assert sorted(data) == sent and data != sent
    if order == "reverse":
        assert data == sent[::-1]
    # Each record is answered with its own number all the same.
    numbers = {r["Data"]: r["SequenceNumber"] for r in stored}
    assert [numbers[d] for d in sent] == [r["SequenceNumber"] for r in answer["Records"]]
    finish(weir, start(weir, local, stream="one"), sent)
    assert lines_of(weir.folder / "out") == data


def test_iterators_end_while_weir_waits(weir, local):
    put(local, WANT[:100])
    running = start(weir, local, empty_interval="100ms")
    arrived(weir, running, WANT[:100])
    for at in (100, 150):
        local.advance(301)
        wait_for(lambda: asked(local, status=400, operation="GetRecords"), 60, "an expired iterator")
        local.admin("DELETE", "journal")
        put(local, WANT[at:at + 50])
        arrived(weir, running, WANT[:at + 50])
    finish(weir, running)


def test_five_reads_a_second_are_enforced_against_weir(weir, local):
    put(local, WANT)
    local.admin("POST", "kinesis", {"limits": True})
    running = start(weir, local)  # every 10 ms
    arrived(weir, running, WANT)
    wait_for(lambda: len(asked(local, status=400, operation="GetRecords")) >= 3, 60, "throttling")
    finish(weir, running)


def test_sequence_numbers_beyond_64_bits_are_places_to_go_on_from(weir, local):
    put(local, WANT[:100])
    running = start(weir, local)
    arrived(weir, running, WANT[:100])
    assert running.stop().status == OK
    put(local, WANT[100:])
    running = start(weir, local)
    finish(weir, running)
    bodies = local.client("kinesis").list_shards(StreamName="two")["Shards"]
    assert all(len(s["SequenceNumberRange"]["StartingSequenceNumber"]) == 56 for s in bodies)


# ---- row 3: control ----

def test_a_stream_is_resharded_under_weir(weir, local):
    put(local, WANT[:50])
    running = start(weir, local, discovery_interval="100ms")
    arrived(weir, running, WANT[:50])
    client = local.client("kinesis")
    for at, target in ((50, 4), (100, 2), (150, 3)):
        client.update_shard_count(StreamName="two", TargetShardCount=target, ScalingType="UNIFORM_SCALING")
        local.advance(1)
        put(local, WANT[at:at + 50])
        arrived(weir, running, WANT[:at + 50])
    finish(weir, running)
    assert len(client.list_shards(StreamName="two")["Shards"]) > 6


def test_weir_waits_for_a_stream_that_is_being_created(weir, local):
    local.client("kinesis").create_stream(StreamName="new", ShardCount=2)
    running = start(weir, local, stream="new")
    wait_for(lambda: asked(local, operation="GetRecords"), 60, "reading begins")
    put(local, WANT, "new")
    finish(weir, running)


def test_control_operations_that_fail(local):
    """LimitExceeded and ResourceInUse of control calls, to a client that polls and tries again."""
    local.faults([{"operation": "SplitShard", "exception": "LimitExceededException", "count": 1},
                  {"operation": "SplitShard", "exception": "ResourceInUseException", "count": 1},
                  {"operation": "RegisterStreamConsumer", "exception": "LimitExceededException", "count": 1},
                  {"operation": "ListShards", "exception": "ExpiredNextTokenException", "count": 1}])
    client = local.client("kinesis", retries=ONCE)
    split = {"StreamName": "one", "ShardToSplit": SHARD, "NewStartingHashKey": "7"}
    assert refused(client.split_shard, **split) == "LimitExceededException"
    assert refused(client.split_shard, **split) == "ResourceInUseException"
    client.split_shard(**split)
    arn = client.describe_stream_summary(StreamName="two")["StreamDescriptionSummary"]["StreamARN"]
    assert refused(client.register_stream_consumer, StreamARN=arn, ConsumerName="c") == "LimitExceededException"
    assert refused(client.list_shards, StreamName="one") == "ExpiredNextTokenException"
    local.advance(1)
    assert len(client.list_shards(StreamName="one")["Shards"]) == 3


# ---- row 11: everywhere ----

def test_latency_by_percentiles(local):
    """No answer comes before the curve's foot; the curve itself is tested in tests/unit/local."""
    local.faults([{"latency": {"p0_ms": 20, "p50_ms": 40, "p100_ms": 60}}])
    for _ in range(5):
        begun = time.monotonic()
        ask(local)
        assert time.monotonic() - begun >= 0.02


@pytest.mark.parametrize("status", [429, 503])
def test_retry_after_is_in_the_answer(local, status):
    local.faults([{"status": status, "retry_after_ms": 700, "count": 1}])
    answer, headers, body = ask(local)
    assert (answer, headers["x-amz-retry-after"]) == (status, "700")
    assert json.loads(body)["__type"] == ("ThrottlingException" if status == 429 else "ServiceUnavailable")
    assert ask(local)[1]["x-amz-retry-after"] is None


def test_retry_after_beside_a_good_answer(local):
    local.faults([{"retry_after_ms": 5}])
    client = local.client("kinesis", retries=ONCE)
    assert client.list_streams()["ResponseMetadata"]["HTTPHeaders"]["x-amz-retry-after"] == "5"


def test_a_date_that_is_off(local):
    local.faults([{"date_ms": 3600_000, "count": 1}])
    there, here = (time.mktime(time.strptime(ask(local)[1]["Date"], "%a, %d %b %Y %H:%M:%S GMT"))
                   for _ in range(2))
    assert 3000 < there - here <= 3600


def test_an_answer_is_never_compressed(local):
    status, headers, body = ask(local, **{"Accept-Encoding": "gzip, deflate, br"})
    assert headers["content-encoding"] is None and json.loads(body)


def test_a_connection_ends_after_its_last_answer(local):
    local.admin("POST", "faults", {"rules": [], "connections": {"close_after": 2}})
    c = http.client.HTTPConnection("127.0.0.1", local.port, timeout=60)
    assert ask(local, connection=c)[1]["connection"] is None
    assert ask(local, connection=c)[1]["connection"] == "close"
    assert c.sock is None  # http.client believed it
    local.admin("POST", "faults", {"rules": []})
    assert ask(local)[1]["connection"] is None


def test_a_keep_alive_race_is_felt_and_survived(local):
    local.admin("POST", "faults", {"rules": [], "connections": {"drop_after": 1, "drop_count": 2}})
    c = http.client.HTTPConnection("127.0.0.1", local.port, timeout=60)
    ask(local, connection=c)
    with pytest.raises((ConnectionResetError, BrokenPipeError, http.client.RemoteDisconnected)):
        ask(local, connection=c)
    seen = len(asked(local))
    client = local.client("kinesis", retries={"total_max_attempts": 3, "mode": "standard"})
    for _ in range(3):
        client.list_streams()
    assert len(asked(local)) == seen + 3  # the request that met the end was never read
    assert len({r["connection"] for r in asked(local)}) == 3


def test_an_idle_connection_is_closed(local):
    local.admin("POST", "faults", {"rules": [], "connections": {"idle_ms": 30}})
    with socket.create_connection(("127.0.0.1", local.port), timeout=60) as s:
        assert s.recv(1) == b""
    with socket.create_connection(("127.0.0.1", local.port), timeout=60) as s:
        s.sendall(b"GET /_weir/clock HTTP/1.1\r\nHost: x\r\n\r\n")
        text = b""
        while chunk := s.recv(4096):
            text += chunk
    assert text.startswith(b"HTTP/1.1 200") and b"connection: close" not in text


def test_a_request_is_read_slowly(local):
    """A cap on uploads: the request arrives whole, and late."""
    local.admin("POST", "kinesis", {"limits": False})
    local.admin("POST", "faults", {"rules": [], "connections": {"read_pace": {"bytes": 65536, "every_ms": 20}}})
    client = local.client("kinesis", retries=ONCE)
    begun = time.monotonic()
    client.put_record(StreamName="one", Data=bytes(700_000), PartitionKey="k")
    assert time.monotonic() - begun >= 0.2
    local.admin("DELETE", "faults")
    assert len(read_shard(client, "one", SHARD)[0][0]["Data"]) == 700_000


@need_curl
@pytest.mark.parametrize("window", [1, 1000])
def test_a_body_through_a_small_window(unsigned, window):
    unsigned.admin("POST", "kinesis", {"limits": False})
    unsigned.admin("POST", "faults", {"rules": [], "connections": {"window": window}})
    size = 2000 if window == 1 else 300_000
    body = json.dumps({"StreamName": "one", "PartitionKey": "k", "Data": base64.b64encode(bytes(size)).decode()})
    request = unsigned.port_file.with_name("request")
    request.write_text(body)
    # The first request is for the settings to be known: what a client sends before it has read them may
    # be more than they allow, and HTTP/2 libraries now and then disagree about what holds then.
    url = unsigned.tls_endpoint.replace("127.0.0.1", "localhost")
    common = ["-sS", "--http2", "--max-time", "60", "--noproxy", "*", "--cacert", unsigned.ready["certificate"],
              "-H", "Expect:", "-H", "Content-Type: application/x-amz-json-1.1"]
    done = subprocess.run(
        ["curl", *common, "-H", "X-Amz-Target: Kinesis_20131202.ListStreams", "-o", "/dev/null", "-d", "{}", url,
         "--next", *common, "-H", "X-Amz-Target: Kinesis_20131202.PutRecord", "--data-binary", f"@{request}", url],
        capture_output=True, text=True)
    assert done.returncode == 0 and json.loads(done.stdout)["ShardId"] == SHARD, done
    first, second = asked(unsigned)
    assert first["connection"] == second["connection"] and second["body_size"] == len(body)


def test_the_journal(local):
    local.admin("POST", "kinesis", {"limits": False})
    local.admin("POST", "journal", {"entries": 5, "body_bytes": 8, "headers": ["Amz-Sdk-Request"]})
    local.faults([{"operation": "PutRecord", "status": 500, "count": 1}])
    client = local.client("kinesis")
    client.put_record(StreamName="one", Data=b"x", PartitionKey="k")
    first, second = asked(local)
    assert (first["status"], second["status"]) == (500, 200)
    assert first["fault"] == 0 and "fault" not in second
    assert all(f"attempt={n}" in r["headers"]["amz-sdk-request"] for n, r in enumerate((first, second), 1))
    assert base64.b64decode(first["body"]) == b'{"Stream' and first["body_size"] == second["body_size"] > 8
    assert first["service"] == "kinesis" and first["operation"] == "PutRecord" and first["request_id"]
    assert first["access_key"] == "local" and first["http"] == "1.1" and first["method"] == "POST"
    assert first["time_ms"] <= second["time_ms"] <= local.now() * 1000
    for _ in range(7):
        client.list_streams()
    assert [r["number"] for r in asked(local)] == [5, 6, 7, 8, 9]
    assert [r["number"] for r in asked(local, after=6, limit=2)] == [8, 9]
    assert asked(local, operation="PutRecord") == [] and asked(local, service="s3") == []
    local.admin("DELETE", "journal")
    assert asked(local) == []
    local.admin("POST", "journal", {"entries": 0})
    client.list_streams()
    assert asked(local) == []
    for bad in ("journal?what=1", "journal?limit=x"):
        with pytest.raises(urllib.error.HTTPError) as error:
            local.admin("GET", bad)
        assert error.value.code == 400
    with pytest.raises(urllib.error.HTTPError) as error:
        local.admin("POST", "journal", {"entries": -1})
    assert "entries: expected an integer of 0 to" in json.load(error.value)["error"]


def test_a_request_that_was_never_answered_is_in_the_journal(local):
    local.faults([{"operation": "ListStreams", "latency_ms": 3600_000}])
    c = http.client.HTTPConnection("127.0.0.1", local.port, timeout=60)
    c.request("POST", "/", b"{}", {"X-Amz-Target": "Kinesis_20131202.ListStreams"})
    wait_for(lambda: asked(local), 60, "it came")
    c.close()
    assert [r["status"] for r in asked(local)] == [None]


def test_settings_can_be_asked_for(local):
    assert local.admin("GET", "kinesis")["limits"] is True
    local.admin("POST", "kinesis", {"limits": False})
    assert local.admin("GET", "kinesis")["limits"] is False
    for method, what, status in (("GET", "nobody", 404), ("DELETE", "kinesis", 405), ("GET", "save", 405),
                                 ("POST", "save", 400), ("DELETE", "clock", 405), ("POST", "stats", 405)):
        with pytest.raises(urllib.error.HTTPError) as error:
            local.admin(method, what, {} if method == "POST" else None)
        assert error.value.code == status and json.load(error.value)["error"], what


def test_save_writes_now(tmp_path):
    (tmp_path / "state").mkdir()
    with LocalAws(tmp_path, "--dir", tmp_path / "state") as local:
        local.client("kinesis").create_stream(StreamName="kept", ShardCount=1)
        assert local.admin("POST", "save", {}) == {"dir": str(tmp_path / "state")}
        assert (tmp_path / "state" / "kinesis.state").stat().st_size > 0
        local.process.kill()
        local.process.wait()
        local.process.returncode = 0  # as was asked for
    (tmp_path / "state" / "kinesis.state.new").write_bytes(b"what a killed process left")
    with LocalAws(tmp_path, "--dir", tmp_path / "state") as local:
        assert local.client("kinesis").list_streams()["StreamNames"] == ["kept"]
        assert not list((tmp_path / "state").glob("*.new"))


def test_a_save_that_fails_leaves_what_was_there(tmp_path):
    folder = tmp_path / "state"
    with LocalAws(tmp_path, "--dir", folder) as local:
        local.client("kinesis").create_stream(StreamName="one", ShardCount=1)
        local.admin("POST", "save", {})
        before = {p.name: p.read_bytes() for p in folder.glob("*.state")}
        assert {"kinesis.state", "s3.state"} <= set(before)
        local.client("kinesis").create_stream(StreamName="two", ShardCount=1)
        (folder / "s3.state.new").mkdir()  # in the way, behind kinesis in the order of services
        with pytest.raises(urllib.error.HTTPError) as error:
            local.admin("POST", "save", {})
        assert error.value.code == 500 and "state of s3" in json.load(error.value)["error"]
        assert {p.name: p.read_bytes() for p in folder.glob("*.state")} == before
        assert [p.name for p in folder.glob("*.new")] == ["s3.state.new"]
        (folder / "s3.state.new").rmdir()
    with LocalAws(tmp_path, "--dir", folder) as local:
        assert local.client("kinesis").list_streams()["StreamNames"] == ["one", "two"]


def test_how_far_the_clock_may_go(local):
    century = 36525 * 86400_000

    def refused(settings):
        with pytest.raises(urllib.error.HTTPError) as error:
            local.admin("POST", "clock", settings)
        assert error.value.code == 400
        return json.load(error.value)["error"]

    begun = local.now()
    for many in (century + 1, 2**63 - 1):
        assert f"advance_ms: expected an integer of 0 to {century}" in refused({"advance_ms": many})
        for sign in (1, -1):
            assert f"skew_ms: expected an integer of -{century} to {century}" in refused({"skew_ms": sign * many})
    local.admin("POST", "clock", {"advance_ms": century - 1000})
    assert f"the clock may go on by 100 years ({century} ms) in all" in refused({"advance_ms": 1001})
    for sign, years in ((1, (2120, 9999)), (-1, (1900, 1930))):
        local.admin("POST", "clock", {"skew_ms": sign * century})
        assert years[0] <= int(ask(local)[1]["Date"].split()[3]) <= years[1]
    local.admin("POST", "clock", {"advance_ms": 1000, "skew_ms": 0})
    assert refused({"advance_ms": 1}) and local.admin("POST", "clock", {"advance_ms": 0})
    assert local.now() - begun >= century / 1000
    client = local.client("kinesis")  # and everything goes on then
    client.create_stream(StreamName="later", ShardCount=1)
    assert client.describe_stream_summary(StreamName="later")["StreamDescriptionSummary"][
        "StreamCreationTimestamp"].year >= 2120


# ---- rules themselves ----

def outcome(local, rules, seed=None):
    """Status and delay class of forty calls under the rules."""
    local.admin("POST", "faults", {"rules": rules, **({"seed": seed} if seed is not None else {})})
    return [ask(local, "ListStreams" if i % 3 else "DescribeLimits")[0] for i in range(40)]


def test_the_same_seed_gives_the_same_faults(tmp_path):
    rules = [{"operation": "ListStreams", "probability": 0.3, "status": 503},
             {"probability": 0.5, "status": 500}]
    seen = []
    for run, seed in enumerate((7, 7, 8)):
        (tmp_path / str(run)).mkdir()
        with LocalAws(tmp_path / str(run), "--seed", seed) as local:
            local.admin("POST", "kinesis", {"limits": False})
            seen.append(outcome(local, rules))
            assert outcome(local, rules) == seen[-1]  # and so do the same rules, given again
            assert outcome(local, rules, seed=7) == seen[0]
    assert seen[0] == seen[1] != seen[2]
    assert len(set(seen[0])) == 3


def test_other_requests_do_not_change_a_rules_faults(local):
    seen = []
    for others in range(3):
        local.faults([{"operation": "ListStreams", "probability": 0.5, "status": 500}])
        seen.append([(ask(local)[0], [ask(local, "DescribeLimits") for _ in range(others)])[0]
                     for _ in range(20)])
    assert seen[0] == seen[1] == seen[2] and 500 in seen[0] and len(set(seen[0])) > 1


def test_a_file_of_rules(tmp_path):
    (tmp_path / "rules.json").write_text(json.dumps({
        "comment": "from the start", "seed": 3, "connections": {"close_after": 1},
        "rules": [{"operation": "ListStreams", "exception": "LimitExceededException", "count": 1}]}))
    with LocalAws(tmp_path, "--faults", tmp_path / "rules.json") as local:
        status, headers, _ = ask(local)
        assert (status, headers["connection"]) == (400, "close")
        assert ask(local)[0] == 200 and hits(local) == [1]


def test_a_file_of_rules_that_is_wrong(tmp_path):
    path = tmp_path / "rules.json"
    for text, words in (('{"rules": [{"operation": "PutRecord"}, {"cut": {"att": 3}}]}',
                         "rule 1: cut: unknown member 'att'; did you mean 'at'?"),
                        ('{"rules": [}', "line 1, column"), ("[]", "expected an object")):
        path.write_text(text)
        done = subprocess.run([str(PROGRAM), "--faults", str(path)], capture_output=True, text=True, timeout=60)
        assert done.returncode == 1 and words in done.stderr and done.stdout == "", done


@pytest.mark.parametrize("rule, words", [
    ({"operation": "PutRecrods"}, "operation: no service here has an operation 'PutRecrods'; did you mean 'PutRecords'?"),
    ({"operation": "DescribeInstances"}, "operation: no service here has an operation 'DescribeInstances'"),
    ({"service": "kinesis", "operation": "GetObject"}, "operation: kinesis has no operation 'GetObject'"),
    ({"service": "s3", "operation": "GetObjects"},
     "operation: s3 has no operation 'GetObjects'; did you mean 'GetObject'?"),
    ({"service": "sts", "operation": "AssumeRol"},
     "operation: sts has no operation 'AssumeRol'; did you mean 'AssumeRole'?"),
    ({"service": "metadata", "operation": "Tokens"},
     "operation: metadata has no operation 'Tokens'; did you mean 'Token'?"),
    ({"service": "unknown", "operation": "ListTables"}, "operation: unknown has no operation 'ListTables'"),
    ({"service": "kinesys"}, "service: nobody here is called 'kinesys'; did you mean 'kinesis'?")])
def test_a_rule_that_could_never_hit_is_refused(unsigned, rule, words):
    with pytest.raises(urllib.error.HTTPError) as error:
        unsigned.faults([{"status": 500}, rule])
    assert json.load(error.value)["error"].startswith(f"rule 1: {words}")
    assert hits(unsigned) == []


def test_every_operation_of_every_service_may_be_named(unsigned):
    """What a rule names is what the journal tells: S3's and the metadata service's come from no table of names."""
    for service, operation in (("kinesis", "ListStreams"), ("s3", "ListBuckets"), ("sts", "GetCallerIdentity"),
                               ("secretsmanager", "ListSecrets"), ("glue", "ListRegistries"),
                               ("firehose", "ListDeliveryStreams"), ("metadata", "MetaData")):
        for rule in {"operation": operation}, {"operation": operation, "service": service}:
            unsigned.faults([{**rule, "status": 503}])
    unsigned.faults([{"operation": "?", "status": 503}])  # a request for no operation at all
    with pytest.raises(ClientError, match="503|ServiceUnavailable"):
        unsigned.client("dynamodb", retries=ONCE).list_tables()
    assert hits(unsigned) == [1]


def test_a_rule_that_is_refused_changes_nothing(local):
    local.faults([{"operation": "ListStreams", "status": 503}])
    with pytest.raises(urllib.error.HTTPError) as error:
        local.faults([{"status": 500}, {"status": "500"}])
    assert json.load(error.value)["error"] == "rule 1: status: expected an integer of 200 to 599"
    assert ask(local)[0] == 503


def test_match_by_path_and_body(local):
    local.faults([{"contains": '"StreamName": "two"', "path": "/", "status": 503}])
    client = local.client("kinesis", retries=ONCE)
    client.describe_stream_summary(StreamName="one")
    assert refused(client.describe_stream_summary, StreamName="two") == "ServiceUnavailable"
    local.faults([{"path": "/elsewhere", "status": 503}])
    client.describe_stream_summary(StreamName="two")


def test_boto3_meets_a_cut_upload_answer(local):
    local.faults([{"operation": "PutRecord", "cut": {"at": 0, "how": "reset"}}])
    with pytest.raises((ConnectionClosedError, ClientError, Exception)) as error:
        local.client("kinesis", retries=ONCE).put_record(StreamName="one", Data=b"x", PartitionKey="k")
    assert "onnection" in str(error.value)
