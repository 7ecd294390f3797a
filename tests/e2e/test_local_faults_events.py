"""weir-local's faults of SubscribeToShard, felt by boto3, by botocore's reader of event streams behind
curl, and by the reader in sdk/aws: weir itself has no client for it yet. README.md has the list."""

import base64
import json
import subprocess

import pytest
from botocore.eventstream import EventStreamBuffer

from kinesis_requests import Subscription, consumer
from local import LocalAws, need_curl
from processes import wait_for
from test_codecs import judge, ours_of

SHARD = "shardId-000000000000"


@pytest.fixture
def local(tmp_path):
    with LocalAws(tmp_path, "--auth", "verify", "--stream", "one:1", "--stream", "two:2") as endpoint:
        yield endpoint


@pytest.fixture
def unsigned(tmp_path):
    """For curl, whose own signatures leave headers out."""
    with LocalAws(tmp_path, "--stream", "one:1", "--tls-self-signed", tmp_path / "tls") as endpoint:
        yield endpoint


def subscribed(local, stream_rule, records=(b"first",), **rule):
    """A subscription whose second frame (after initial-response) holds the records."""
    client, _, arn = consumer(local)
    for r in records:
        client.put_record(StreamName="one", Data=r, PartitionKey="k")
    local.faults([{"operation": "SubscribeToShard", "stream": stream_rule, **rule}])
    return client, Subscription(client, arn)


@pytest.mark.parametrize("name", [
    "ResourceNotFoundException", "ResourceInUseException", "KMSDisabledException", "KMSInvalidStateException",
    "KMSAccessDeniedException", "KMSNotFoundException", "KMSOptInRequired", "KMSThrottlingException",
    "InternalFailureException"])
def test_each_exception_of_the_stream(local, name):
    _, s = subscribed(local, {"exception_at": 1, "exception": name}, records=())
    local.advance(5)
    assert s.done.wait(60)
    assert name in repr(s.error)


def test_an_error_frame(local):
    _, s = subscribed(local, {"error_at": 1})
    assert s.done.wait(60)
    assert "InternalFailure" in repr(s.error)


def test_no_initial_response(local):
    """botocore insists on it, as its model says: the stream is not taken for an empty one."""
    client, _, arn = consumer(local)
    client.put_record(StreamName="one", Data=b"x", PartitionKey="k")
    local.faults([{"operation": "SubscribeToShard", "stream": {"no_initial_response": 1}}])
    with pytest.raises(Exception, match="initial"):
        Subscription(client, arn)


def test_silence_on_a_stream(local):
    client, s = subscribed(local, {"silent_after": 2})
    wait_for(lambda: s.records() == [b"first"], 60, "the record before the silence")
    client.put_record(StreamName="one", Data=b"unsaid", PartitionKey="k")
    for _ in range(6):  # 30 s in which an event every 5 s would be usual
        local.advance(5)
    client.put_record(StreamName="one", Data=b"unsaid too", PartitionKey="k")
    assert s.records() == [b"first"] and len(s.events) == 1 and not s.done.is_set()
    local.advance(300)  # the end of five minutes comes all the same
    assert s.done.wait(60) and s.error is None


def test_nulls_and_exponents_in_events(local):
    _, s = subscribed(local, {"nulls": 1}, json={"timestamps": "exponent", "nulls": ["EncryptionType"]})
    wait_for(lambda: s.records() == [b"first"], 60, "the record")
    assert abs(s.events[0]["Records"][0]["ApproximateArrivalTimestamp"].timestamp() - local.now()) < 600
    assert s.events[0].get("ChildShards") is None


def frames_of(local, rule, stop=None, options=("--http2-prior-knowledge",)):
    """The bytes that arrive within a subscription under the rule, and curl's status."""
    client, _, arn = consumer(local)
    client.put_record(StreamName="one", Data=b"first", PartitionKey="k")
    local.faults([{"operation": "SubscribeToShard", **rule}])
    output = local.port_file.with_name("events")
    output.write_bytes(b"")
    body = json.dumps({"ConsumerARN": arn, "ShardId": SHARD, "StartingPosition": {"Type": "TRIM_HORIZON"}})
    process = subprocess.Popen(
        ["curl", "-sS", "-N", "--max-time", "120", "--noproxy", "*", *options, "-o", str(output),
         "-H", "X-Amz-Target: Kinesis_20131202.SubscribeToShard", "-H", "Expect:",
         "-H", "Content-Type: application/x-amz-json-1.1", "--data-binary", body, local.endpoint], stderr=subprocess.DEVNULL)
    try:
        if stop:
            wait_for(lambda: stop(output.read_bytes()), 60, "enough of the stream")
            local.advance(400)
        status = process.wait(60)
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
    return output.read_bytes(), status


def read_by_both(data):
    """Payloads and outcome of botocore's reader, and of sdk/aws's."""
    buffer, theirs, fault = EventStreamBuffer(), [], None
    buffer.add_data(data)
    try:
        for event in buffer:
            theirs.append(event.payload)
    except Exception as error:  # noqa: BLE001 - its name is looked at
        fault = type(error).__name__
    ours, end = ours_of(judge([f"es 13 {data.hex() or '-'}"])[0])
    return theirs, fault, [payload for _, payload in ours], end


def records_in(payloads):
    return [base64.b64decode(r["Data"]) for p in payloads for r in json.loads(p).get("Records", [])]


@need_curl
@pytest.mark.parametrize("rule,fault,frames", [
    ({"bad_crc_at": 1}, "ChecksumMismatch", 1),
    ({"bad_prelude_at": 1}, "ChecksumMismatch", 1),
    ({"bad_length_at": 1}, "InvalidHeadersLength", 1),
    ({"duplicate_header_at": 1}, "DuplicateHeader", 1),
    ({"truncate_at": 1}, None, 1),
], ids=["bad-crc", "bad-prelude", "bad-length", "duplicate-header", "truncated"])
def test_a_broken_frame_ends_the_stream(unsigned, rule, fault, frames):
    """botocore and sdk/aws agree on each: the frames before it count, it does not."""
    first = 4 if "truncate_at" in rule else 200
    data, _ = frames_of(unsigned, {"stream": rule}, stop=lambda d: len(d) > first)
    theirs, their_fault, ours, end = read_by_both(data)
    assert their_fault == fault and theirs == ours == [b"{}"] * frames
    assert end == ("cut" if "truncate_at" in rule else "fault")


@need_curl
@pytest.mark.parametrize("rule", ["unknown_event_at", "unknown_type_at"])
def test_an_unknown_frame_is_whole(unsigned, rule):
    data, _ = frames_of(unsigned, {"stream": {rule: 1}}, stop=lambda d: len(d) > 120)
    theirs, fault, ours, end = read_by_both(data)
    assert fault is None and end == "end" and theirs == ours and len(ours) >= 2
    buffer = EventStreamBuffer()
    buffer.add_data(data)
    headers = [e.headers for e in buffer][1]
    assert headers.get(":event-type") == ("SomethingNew" if rule == "unknown_event_at" else None)
    assert headers[":message-type"] == ("event" if rule == "unknown_event_at" else "rumour")


@need_curl
@pytest.mark.parametrize("size", [1, 2, 7, 12, 64])
def test_frames_split_at_every_size(unsigned, size):
    data, status = frames_of(unsigned, {"pace": {"bytes": size}}, stop=lambda d: b"Zmlyc3Q=" in d)
    theirs, fault, ours, end = read_by_both(data)
    assert status == 0 and fault is None and end == "end"
    assert records_in(theirs) == records_in(ours) == [b"first"]
    # And however the pieces reach the reader.
    answers = judge([f"es {piece} {data.hex()}" for piece in range(1, 100)])
    assert all(ours_of(a) == ours_of(answers[0]) for a in answers)


@need_curl
@pytest.mark.parametrize("how,status", [("rst_stream", 92), ("close", None), ("reset", None), ("goaway", 0)])
def test_a_stream_ends_inside_of_a_frame(unsigned, how, status):
    at = 150  # inside of the second frame
    data, ended = frames_of(unsigned, {"cut": {"at": at, "how": how}},
                            stop=(lambda d: b"Zmlyc3Q=" in d) if how == "goaway" else None)
    assert ended == status if status is not None else ended != 0
    theirs, fault, ours, end = read_by_both(data)
    assert fault is None and theirs == ours
    if how == "goaway":  # the stream itself goes on
        assert end == "end" and records_in(ours) == [b"first"]
    else:
        assert len(data) <= at and records_in(ours) == []
        assert end == "cut" or len(data) < at
