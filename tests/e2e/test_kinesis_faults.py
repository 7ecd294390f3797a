"""Trouble on the way to Kinesis: what is said, which status, and that nothing is lost."""

import base64
import os
import random
import time

import pytest

from kinesis_endpoints import WeirLocal
from processes import free_ports, status_kib, wait_for
from stub import error, garbage, hang_up, throttled
from weir import CONFIG, FAILED, OK, SANITIZED, bytes_below, lines_of, pipeline, wait_bytes

KEYS = {"AWS_ACCESS_KEY_ID": "local", "AWS_SECRET_ACCESS_KEY": "local-secret"}


def manifest(endpoint, stream="s", settings=None, **more):
    return pipeline(
        {"in": {"type": "kinesis", "stream": stream, "region": "us-east-1", "endpoint": endpoint,
                "start": "trim_horizon", "interval": "200ms",
                "retry": {"base": "20ms", "max": "200ms"}, **more}},
        {"out": {"type": "file", "path": "out/lines.txt", "input": "in"}},
        settings={"start_timeout": "5s", **(settings or {})})


def fill(stub, count=400, shards=2):
    stub.create_stream("s", shards)
    for i in range(count):
        stub.put("s", b"record-%06d" % i, shard=i % shards)
    return [b"record-%06d" % i for i in range(count)]


def read_everything(weir, stub, want, **more):
    running = weir.start("run", weir.manifest(manifest(stub.endpoint, **more)), env=KEYS)
    wait_bytes(weir.folder / "out", sum(len(x) + 1 for x in want), 60, running)
    result = running.stop()
    assert result.status == OK, result
    assert sorted(lines_of(weir.folder / "out")) == want
    return result


def test_without_faults(weir, stub):
    read_everything(weir, stub, fill(stub))


@pytest.mark.parametrize("answers", [
    [throttled()] * 5,
    [error("InternalFailure", "try again", 500)] * 3,
    [error("ServiceUnavailable", "", 503)] * 3,
    [garbage(502), garbage(504, b"")],
    [hang_up(), hang_up()],
    [error("ExpiredIteratorException", "Iterator expired")],
    [error("KMSThrottlingException", "slow down")],
], ids=["throttling", "500", "503", "gateway", "hang-up", "expired-iterator", "kms-throttling"])
def test_get_records_recovers(weir, stub, answers):
    want = fill(stub)
    stub.answer_next("GetRecords", *answers)
    read_everything(weir, stub, want)
    assert stub.pending("GetRecords") == 0


@pytest.mark.parametrize("operation", ["ListShards", "GetShardIterator"])
@pytest.mark.parametrize("answer", [throttled(), error("InternalFailure", "", 500), hang_up()],
                         ids=["throttling", "500", "hang-up"])
def test_the_start_is_patient(weir, stub, operation, answer):
    want = fill(stub)
    stub.answer_next(operation, answer, answer)
    read_everything(weir, stub, want)
    assert stub.pending(operation) == 0


def test_garbage_with_status_200_loses_nothing(weir, stub):
    want = fill(stub)
    stub.answer_next("GetRecords", garbage(), garbage(200, b'{"Records":[{"Data":"!!!"}]}'))
    running = weir.start("run", weir.manifest(manifest(stub.endpoint)), env=KEYS)
    total = sum(len(x) + 1 for x in want)

    def settled():
        return not running.alive() or bytes_below(weir.folder / "out") >= total

    wait_for(settled, 60, "it recovered or gave up")
    result = running.stop() if running.alive() else running.wait()
    if result.status == OK:  # tried again
        assert sorted(lines_of(weir.folder / "out")) == want
    else:  # or said what it cannot understand; what was written is then a part of the whole
        assert result.status == FAILED and "GetRecords" in result.err, result
        assert set(lines_of(weir.folder / "out")) <= set(want)


def test_an_endpoint_that_is_down(weir):
    [port] = free_ports(1)
    result = weir.run_pipeline(manifest(f"http://127.0.0.1:{port}"), env=KEYS)
    assert result.status == FAILED, result
    assert str(port) in result.err and ("refused" in result.err or "connect" in result.err), result


@pytest.mark.parametrize("operation", ["ListShards", "GetShardIterator", "GetRecords"])
@pytest.mark.parametrize("answer", [error("InternalFailure", "try again", 500), throttled(), hang_up()],
                         ids=["500", "throttling", "hang-up"])
def test_attempts_are_all_there_are(weir, stub, operation, answer):
    """The numbers of the plugin, its HTTP client and the runtime do not multiply."""
    fill(stub, 10, 1)
    stub.answer_next(operation, *[answer] * 100)
    result = weir.run_pipeline(manifest(stub.endpoint, retry={"attempts": 3, "base": "10ms", "max": "20ms"}),
                               env=KEYS)
    assert result.status == FAILED, result
    # A kept connection that ends before the first byte of an answer may have been dead all along: the
    # HTTP library replaces it and sends once more, which is no attempt.
    assert stub.calls[operation] in ((3, 4) if answer.close else (3,))
    assert "attempt 3 of 3" in result.err and "stream s" in result.err, result
    if operation != "ListShards":
        assert operation in result.err, result


def test_large_answers_stay_within_the_budget(weir, stub):
    """64 shards that each answer 10 MB, with a budget of 32 MiB."""
    shards, records, size = 64, 10, 1_000_000
    stub.create_stream("s", shards)
    body = b'{"Records":[%s],"NextShardIterator":"s/0/0","MillisBehindLatest":0}' % b",".join(
        b'{"Data":"%s","PartitionKey":"k","SequenceNumber":"49%054d"}' % (base64.b64encode(b"x" * size), i + 1)
        for i in range(records))
    stub.do_GetRecords = lambda request: (
        {"Records": [], "NextShardIterator": request["ShardIterator"], "MillisBehindLatest": 0}
        if request["ShardIterator"] == "s/0/0" else garbage(200, body))
    stub.do_GetShardIterator = lambda request: {"ShardIterator": "first"}
    running = weir.start("run", weir.manifest(pipeline(
        {"in": {"type": "kinesis", "stream": "s", "region": "us-east-1", "endpoint": stub.endpoint,
                "start": "trim_horizon", "interval": "200ms", "parallelism": 1}},
        {"out": {"type": "file", "path": "out/lines.txt", "input": "in"}},
        settings={"memory": "32MiB"})), env=KEYS)
    wait_bytes(weir.folder / "out", shards * records * (size + 1), 120, running)
    peak = status_kib(running.worker(), "VmHWM")
    result = running.stop()
    assert result.status == OK, result
    if not SANITIZED:
        # The budget, one answer of 14 MB above it, and what the program itself needs.
        assert peak <= (32 + 14 + 24) * 1024, f"{peak} KiB"


def test_an_endpoint_that_goes_away_and_comes_back(weir, stub):
    want = fill(stub, 200)
    running = weir.start("run", weir.manifest(manifest(stub.endpoint, retry={"base": "50ms", "max": "300ms"})),
                         env=KEYS)
    wait_bytes(weir.folder / "out", sum(len(x) + 1 for x in want), 60, running)
    stub.stop()
    for i in range(200, 300):
        stub.put("s", b"record-%06d" % i, shard=i % 2)
        want.append(b"record-%06d" % i)
    wait_for(lambda: any(w in running.errors().lower() for w in ("refused", "connect")), 30,
             "the trouble is logged")
    stub.start()
    wait_bytes(weir.folder / "out", sum(len(x) + 1 for x in want), 60, running)
    result = running.stop()
    assert result.status == OK, result
    assert sorted(lines_of(weir.folder / "out")) == want


def test_a_stream_that_does_not_exist(weir, stub):
    fill(stub)
    result = weir.run_pipeline(manifest(stub.endpoint, stream="nonsuch"), env=KEYS)
    assert result.status in (FAILED, CONFIG), result
    assert "nonsuch" in result.err, result
    assert stub.calls["GetRecords"] == 0


def test_no_credentials_at_all(weir, stub):
    fill(stub)
    result = weir.run_pipeline(manifest(stub.endpoint))
    assert result.status in (FAILED, CONFIG) and "credential" in result.err.lower(), result


class Verifier:
    """An endpoint that refuses a wrong key or signature, and the key it takes: moto, or weir-local."""

    def __init__(self, endpoint, client, access_key_id, secret):
        self.endpoint, self.client = endpoint, client
        self.access_key_id, self.secret = access_key_id, secret

    def stream(self, name, count=50):
        self.client.create_stream(StreamName=name, ShardCount=1)
        wait_for(lambda: self.client.describe_stream_summary(StreamName=name)["StreamDescriptionSummary"][
            "StreamStatus"] == "ACTIVE", 60, "the stream is active")
        for i in range(count):
            self.client.put_record(StreamName=name, Data=b"record-%06d" % i, PartitionKey="k")
        return [b"record-%06d" % i for i in range(count)]


@pytest.fixture(params=["weir-local", "moto"])
def verifier(request, tmp_path):
    """kinesis-local only looks whether there is a signature."""
    if request.param == "moto":
        moto = request.getfixturevalue("moto")
        yield Verifier(moto.endpoint, moto.client, moto.access_key_id, moto.secret)
        return
    folder = tmp_path / "weir-local"
    folder.mkdir()
    endpoint = WeirLocal(folder, "--auth", "verify")
    yield Verifier(endpoint.endpoint, endpoint.client, "local", "local-secret")
    endpoint.stop()


def test_signatures_are_right(weir, verifier):
    want = verifier.stream("signed")
    running = weir.start("run", weir.manifest(manifest(verifier.endpoint, stream="signed", wire="json")), env={
        "AWS_ACCESS_KEY_ID": verifier.access_key_id, "AWS_SECRET_ACCESS_KEY": verifier.secret})
    wait_bytes(weir.folder / "out", sum(len(x) + 1 for x in want), 60, running)
    result = running.stop()
    assert result.status == OK, result
    assert lines_of(weir.folder / "out") == want
    assert verifier.secret not in result.text


def test_credentials_of_a_profile(weir, verifier):
    want = verifier.stream("profile", 10)
    (weir.folder / "credentials").write_text(
        f"[other]\naws_access_key_id = {verifier.access_key_id}\naws_secret_access_key = {verifier.secret}\n")
    running = weir.start("run", weir.manifest(manifest(
        verifier.endpoint, stream="profile", wire="json",
        credentials={"provider": "profile", "profile": "other"})),
        env={"AWS_SHARED_CREDENTIALS_FILE": str(weir.folder / "credentials")})
    wait_bytes(weir.folder / "out", sum(len(x) + 1 for x in want), 60, running)
    assert running.stop().status == OK
    assert lines_of(weir.folder / "out") == want


@pytest.mark.parametrize("which", ["secret", "key"])
def test_wrong_credentials(weir, verifier, which):
    name = f"wrong-{which}"
    verifier.stream(name, 1)
    secret = "x" * 40
    env = {"AWS_ACCESS_KEY_ID": verifier.access_key_id if which == "secret" else "AKIAIOSFODNN7EXAMPLE",
           "AWS_SECRET_ACCESS_KEY": secret}
    result = weir.run_pipeline(manifest(verifier.endpoint, stream=name, wire="json"), env=env)
    assert result.status in (FAILED, CONFIG), result
    assert "403" in result.err or "credential" in result.err.lower() or "signature" in result.err.lower() \
        or "token" in result.err.lower(), result
    assert secret not in result.text, "a secret was printed"
    assert lines_of(weir.folder / "out") == []


@pytest.mark.chaos
def test_any_order_of_trouble(weir, stub):
    """Random faults between random puts; scripts/soak repeats it with other seeds."""
    rng = random.Random(int(os.environ.get("WEIR_CHAOS_SEED", "0")))
    want = fill(stub, 100, 3)
    running = weir.start("run", weir.manifest(manifest(stub.endpoint)), env=KEYS)
    faults = [throttled(), error("InternalFailure", "", 500), hang_up(), garbage(503, b""),
              error("ExpiredIteratorException", "Iterator expired")]
    for _ in range(60):
        action = rng.randrange(3)
        if action == 0:
            operation = rng.choice(["GetRecords", "GetShardIterator", "ListShards"])
            stub.answer_next(operation, *rng.choices(faults[:4] if operation != "GetRecords" else faults,
                                                     k=rng.randrange(1, 4)))
        elif action == 1:
            for _ in range(rng.randrange(1, 50)):
                data = b"record-%06d" % len(want)
                stub.put("s", data, shard=rng.randrange(3))
                want.append(data)
        elif rng.random() < 0.3:
            stub.stop()
            time.sleep(rng.random() / 2)  # the length of the outage is part of the experiment
            stub.start()
        else:
            seen = stub.calls["GetRecords"]
            wait_for(lambda: stub.calls["GetRecords"] > seen or not running.alive(), 30, "another call")
    wait_bytes(weir.folder / "out", sum(len(x) + 1 for x in want), 60, running)
    result = running.stop()
    assert result.status == OK, result
    assert sorted(lines_of(weir.folder / "out")) == want
