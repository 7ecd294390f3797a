"""Clients that nobody here wrote read weir-local unchanged: SubscribeToShard of the Go and the Java
SDK, and Amazon's Kinesis Client Library as a whole consumer. tests/judges/README.md says what is
whose."""

import threading
import time

import boto3
import pytest
from botocore.config import Config

import judges
from local import LocalAws
from processes import wait_for

HALF = 2**127
CLIENTS = [("go", "tls"), ("go", "clear"), ("go", "http1"),
           ("java", "tls"), ("java", "assume"), ("java", "clear")]


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    """The folder of weir-local's own certificate, and a Java trust store that holds it."""
    folder = tmp_path_factory.mktemp("judges")
    with LocalAws(folder, "--tls-self-signed", folder / "tls"):
        pass
    return folder / "tls", judges.trust_store(folder / "tls" / "cert.pem", folder)


@pytest.fixture(scope="module")
def subscribers(certificate, tmp_path_factory):
    folder = tmp_path_factory.mktemp("subscribers")
    tls, trust = certificate
    both = {"go": judges.Subscriber([judges.made(judges.ENV / "judges" / "subscribe-go"),
                                     tls / "cert.pem"], folder / "go.log"),
            "java": judges.Subscriber(judges.java(trust, "Subscribe"), folder / "java.log")}
    yield both
    for subscriber in both.values():
        subscriber.judge.kill()


class Setting:
    """A weir-local with a stream of two shards and a consumer of it, and one client's way to it."""

    def __init__(self, local, subscriber, mode):
        self.local, self.subscriber, self.mode = local, subscriber, mode
        self.client = local.client("kinesis")
        self.arn = self.client.describe_stream_summary(StreamName="s")["StreamDescriptionSummary"][
            "StreamARN"]
        self.consumer = self.client.register_stream_consumer(StreamARN=self.arn, ConsumerName="c")[
            "Consumer"]["ConsumerARN"]
        local.advance(seconds=1)
        self.put_records = {}  # shard -> [(sequence number, key, data)], as boto3 put them

    def put(self, key, data, shard=None):
        more = {} if shard is None else {"ExplicitHashKey": str(shard * HALF)}
        answer = self.client.put_record(StreamName="s", PartitionKey=key, Data=data, **more)
        self.put_records.setdefault(answer["ShardId"], []).append((answer["SequenceNumber"], key, data))

    def subscribe(self, shard=0, position="TRIM_HORIZON", number="", consumer=None):
        return self.subscriber.subscribe(self.mode, self.local, consumer or self.consumer,
                                         f"shardId-{shard:012}", position, number)

    def wait(self, condition, what):
        return self.subscriber.wait(condition, what)


@pytest.fixture(params=CLIENTS, ids="-".join)
def setting(request, certificate, subscribers, tmp_path):
    client, mode = request.param
    with LocalAws(tmp_path, "--auth", "verify", "--tls-self-signed", certificate[0],
                  "--stream", "s:2") as local:
        yield Setting(local, subscribers[client], mode)


def numbers_rise(records):
    numbers = [int(number) for number, _, _ in records]
    return all(a < b for a, b in zip(numbers, numbers[1:]))


def test_records_are_those_that_were_put(setting):
    for i in range(40):
        setting.put(f"key {i} \u65e5\u672c\U0001f600 \"\\\t", bytes(range(256))[i:i * 7 % 256])
    setting.put("large", bytes(range(256)) * 3500, shard=0)
    there = {shard: setting.subscribe(shard) for shard in (0, 1)}
    for subscription in there.values():
        setting.wait(lambda s=subscription: s.records(), "records that were there")
    for i in range(40):
        setting.put(f"while {i}", b"%d" % i)
    put = setting.put_records
    for shard, subscription in there.items():
        wanted = put[f"shardId-{shard:012}"]
        setting.wait(lambda s=subscription, n=len(wanted): len(s.records()) >= n, "records that came")
        assert subscription.records() == wanted and numbers_rise(wanted)
        assert subscription.continuation() == wanted[-1][0]
        assert subscription.events[-1]["behind"] == 0
        if setting.mode in ("tls", "clear") and subscription.protocol is not None:
            assert subscription.protocol == "HTTP/2.0"

    # Five minutes end both; each goes on behind the last continuation number.
    setting.local.advance(seconds=301)
    for subscription in there.values():
        setting.wait(lambda s=subscription: s.done, "the end after five minutes")
        assert subscription.error is None
    for shard in there:
        setting.put("later", b"%d" % shard, shard)
    for shard, subscription in there.items():
        again = setting.subscribe(shard, "AFTER_SEQUENCE_NUMBER", subscription.continuation())
        setting.wait(lambda: again.records(), "the record behind the continuation number")
        assert again.records() == put[f"shardId-{shard:012}"][-1:]
    # At a number: that record too.
    at = put["shardId-000000000000"][-2]
    setting.local.advance(seconds=5)
    again = setting.subscribe(0, "AT_SEQUENCE_NUMBER", at[0])
    setting.wait(lambda: len(again.records()) == 2, "the records from a number on")
    assert again.records() == put["shardId-000000000000"][-2:]


def test_an_idle_shard_says_so(setting):
    idle = setting.subscribe()
    setting.wait(lambda: idle.opened, "a subscription")
    for count in (1, 2):
        setting.local.advance(seconds=5)
        setting.wait(lambda: len(idle.events) >= count, "an empty event")
    numbers = {event["continuation"] for event in idle.events}
    assert not idle.records() and all(numbers)
    setting.put("k", b"after", 0)
    setting.wait(lambda: idle.records(), "the first record")
    setting.local.advance(seconds=301)
    setting.wait(lambda: idle.done, "the end")
    again = setting.subscribe(0, "AFTER_SEQUENCE_NUMBER", sorted(numbers, key=int)[0])
    setting.wait(lambda: again.records(), "what came behind an empty event")
    assert again.records() == idle.records()


def test_a_second_subscription_within_five_seconds_is_refused_later_it_takes_over(setting):
    while True:
        begun = time.monotonic()
        first, second = setting.subscribe(), setting.subscribe()
        setting.wait(lambda: (first.opened and second.done) or (second.opened and first.done),
                     "one is open, the other one refused")
        if time.monotonic() - begun < 4:
            break
        setting.local.advance(seconds=301)  # too slow a machine at this moment: once more
        setting.wait(lambda: first.done and second.done, "the end of both")
    won, lost = (first, second) if first.opened else (second, first)
    assert lost.error["where"] == "call" and lost.error["type"] == "ResourceInUseException"
    assert not lost.opened
    setting.local.advance(seconds=5)
    third = setting.subscribe()
    setting.wait(lambda: won.done and third.opened, "the third one takes over")
    assert won.error["where"] == "stream" and won.error["type"] == "ResourceInUseException"
    setting.put("k", b"x", 0)
    setting.wait(lambda: third.records(), "a record for the one that took over")
    assert third.records() == setting.put_records["shardId-000000000000"]


@pytest.mark.parametrize("exception", ["KMSThrottlingException", "ResourceNotFoundException",
                                       "InternalFailureException"])
def test_an_exception_within_the_stream_is_the_sdk_s_own(setting, exception):
    setting.put("k", b"before", 0)
    setting.local.faults([{"operation": "SubscribeToShard",
                           "stream": {"exception_at": 2, "exception": exception}}])
    subscription = setting.subscribe()
    setting.wait(lambda: subscription.records() or subscription.done, "the record before it")
    setting.local.advance(seconds=5)
    setting.wait(lambda: subscription.done, "the exception")
    assert subscription.error["where"] == "stream"
    assert subscription.error["type"].lower() == exception.lower()  # Java: KmsThrottlingException
    assert "a fault rule says so" in subscription.error["message"]
    assert subscription.records() == setting.put_records["shardId-000000000000"]


@pytest.mark.parametrize("rule", ["bad_crc_at", "bad_prelude_at"])
def test_a_damaged_frame_is_an_error_and_what_came_before_it_is_not_lost(setting, rule):
    setting.put("k", b"before", 0)
    setting.local.faults([{"operation": "SubscribeToShard", "stream": {rule: 2}}])
    subscription = setting.subscribe()
    setting.wait(lambda: subscription.records() or subscription.done, "the record before it")
    setting.put("k", b"damaged", 0)
    setting.wait(lambda: subscription.done, "the error")
    assert subscription.error["where"] == "stream"
    assert subscription.records() == setting.put_records["shardId-000000000000"][:1]


def test_closed_shards_end_with_their_children(setting):
    for shard in (0, 1):
        setting.put("last", b"%d" % shard, shard)
    split = setting.subscribe(0)
    setting.wait(lambda: split.records(), "the record of the shard to split")
    setting.client.split_shard(StreamName="s", ShardToSplit="shardId-000000000000",
                               NewStartingHashKey=str(HALF // 2))
    setting.wait(lambda: split.done, "the end of the shard")
    parent = ["shardId-000000000000"]
    assert split.error is None and split.continuation() is None
    assert split.events[-1]["children"] == [
        {"shard": "shardId-000000000002", "parents": parent, "first": "0", "last": str(HALF // 2 - 1)},
        {"shard": "shardId-000000000003", "parents": parent, "first": str(HALF // 2),
         "last": str(HALF - 1)}]
    assert split.records() == setting.put_records["shardId-000000000000"]

    wait_for(lambda: setting.client.describe_stream_summary(StreamName="s")["StreamDescriptionSummary"][
        "StreamStatus"] == "ACTIVE", 60, "the stream is active")
    setting.client.merge_shards(StreamName="s", ShardToMerge="shardId-000000000003",
                                AdjacentShardToMerge="shardId-000000000001")
    merged = setting.subscribe(1)
    setting.wait(lambda: merged.done, "the end of the other shard")
    assert merged.error is None
    assert merged.events[-1]["children"] == [
        {"shard": "shardId-000000000004", "parents": ["shardId-000000000003", "shardId-000000000001"],
         "first": str(HALF // 2), "last": str(2**128 - 1)}]
    assert merged.records() == setting.put_records["shardId-000000000001"]


@pytest.mark.parametrize("shard,consumer", [(7, None), (0, "arn:aws:kinesis:us-east-1:000000000000:"
                                                           "stream/s/consumer/none:1")])
def test_what_does_not_exist_is_refused_with_the_sdk_s_own_exception(setting, shard, consumer):
    subscription = setting.subscribe(shard, consumer=consumer)
    setting.wait(lambda: subscription.done, "a refusal")
    assert not subscription.opened
    assert subscription.error["where"] == "call"
    assert subscription.error["type"] == "ResourceNotFoundException"


# ---- the Kinesis Client Library ----

class Consumer:
    """One worker of the library, from the stream's beginning; what it said, in order."""

    def __init__(self, how, certificate, table_endpoint, folder):
        folder.mkdir()
        self.how, self.lines, self.worker = how, [], None
        tls, trust = certificate
        self.local = LocalAws(folder, "--auth", "verify", "--tls-self-signed", tls, "--stream", "s:2")
        try:
            self.judge = judges.Judge(
                judges.java(trust, "Consume", "s", f"app-{how}", how, self.local.tls_endpoint,
                            table_endpoint), folder / "kcl.log", self.lines.append)
        except BaseException:
            self.local.stop()
            raise
        self.table = boto3.client(
            "dynamodb", endpoint_url=table_endpoint, region_name="us-east-1",
            aws_access_key_id="local", aws_secret_access_key="local-secret",
            config=Config(retries={"max_attempts": 5, "mode": "standard"}))

    def wait(self, condition, what):
        return wait_for(lambda: self.judge.alive() and condition(), 240, f"{self.how}: {what}", 0.1)

    def said(self, event):
        return [line for line in list(self.lines) if line["event"] == event]

    def shards(self, event):
        return [line["shard"] for line in self.said(event)]

    def records(self):
        """[(shard, sequence number, key, data)], as processed."""
        return [(line["shard"], number, bytes.fromhex(key).decode(), bytes.fromhex(data))
                for line in self.said("records") for number, key, data in line["records"]]

    def leases(self):
        rows = self.table.scan(TableName=f"app-{self.how}", ConsistentRead=True)["Items"]
        leases = {}
        for row in rows:
            plain = {name: next(iter(value.values())) for name, value in row.items()}
            if "checkpoint" in plain:  # other rows are the leader's lock and the worker's figures
                leases[plain["leaseKey"]] = plain
        return leases

    def close(self):
        self.judge.kill()
        self.local.stop()


class Writer(threading.Thread):
    """Puts records with boto3 until it is told to stop, about a hundred a second."""

    def __init__(self, local):
        super().__init__(daemon=True)
        self.client = local.client("kinesis")
        self.put, self.error = [], None
        self.ended = threading.Event()
        self.start()

    def run(self):
        try:
            number = 0
            while not self.ended.wait(0.1):
                batch = []
                for number in range(number, number + 10):
                    batch.append({"PartitionKey": f"key {number} \u65e5", "Data": b"%d " % number * 20})
                number += 1
                answer = self.client.put_records(StreamName="s", Records=batch)
                assert answer["FailedRecordCount"] == 0, answer
                self.put += [(result["ShardId"], result["SequenceNumber"], record["PartitionKey"],
                              record["Data"]) for record, result in zip(batch, answer["Records"])]
        except BaseException as error:  # noqa: BLE001 - the test looks at it
            self.error = error

    def stop(self):
        self.ended.set()
        self.join(60)
        assert self.error is None and not self.is_alive()


@pytest.fixture(scope="module")
def consumers(certificate, tmp_path_factory):
    """Both kinds at once: most of their time goes by in the library's own waiting."""
    folder = tmp_path_factory.mktemp("kcl")
    server = judges.dynamodb_local(folder)
    started = {}
    try:
        for how in ("polling", "fanout"):
            started[how] = Consumer(how, certificate, f"http://127.0.0.1:{server.ports[0]}",
                                    folder / how)
        yield started
    finally:
        for consumer in started.values():
            consumer.close()
        server.stop()


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("how", ["polling", "fanout"])
def test_the_client_library_reads_everything_through_a_split_and_a_merge(consumers, how):
    consumer = consumers[how]
    client = consumer.local.client("kinesis")
    writer = Writer(consumer.local)
    shard = "shardId-{:012}".format

    def active():
        return client.describe_stream_summary(StreamName="s")["StreamDescriptionSummary"][
            "StreamStatus"] == "ACTIVE"

    def read_from(*wanted):
        return lambda: {shard(i) for i in wanted} <= set(consumer.shards("records"))

    try:
        consumer.wait(read_from(0, 1), "records of both shards")
        client.split_shard(StreamName="s", ShardToSplit=shard(0), NewStartingHashKey=str(HALF // 2))
        consumer.wait(read_from(2, 3), "records of the children")
        # Iterators expire and subscriptions end: what is read goes on where it was.
        consumer.local.advance(seconds=301)
        before = len(consumer.records())
        consumer.wait(lambda: len(consumer.records()) > before, "records behind five minutes")
        wait_for(active, 60, "the stream is active")
        client.merge_shards(StreamName="s", ShardToMerge=shard(3), AdjacentShardToMerge=shard(1))
        consumer.wait(read_from(4), "records of the merged shard")
    finally:
        writer.stop()
    put = {record[:2]: record for record in writer.put}
    consumer.wait(lambda: len({r[:2] for r in consumer.records()}) >= len(put), "every record")
    assert consumer.judge.end(180) == 0
    assert consumer.said("stopped") == [{"event": "stopped", "clean": True}]

    # Every record as it was put. Again only what the library may read again: where a lease changed.
    got = consumer.records()
    print(f"{how}: {len(put)} records, {len(got) - len(put)} of them again")
    assert {record[:2]: record for record in got} == put and all(put[r[:2]] == r for r in got)
    lost_early = [line for line in consumer.lines[:consumer.lines.index(consumer.said("shutdown")[0])]
                  if line["event"] == "lost"]
    if not lost_early:
        assert len(got) == len(put), "records twice without a lost lease"
        for i in range(5):
            assert numbers_rise([r[1:] for r in got if r[0] == shard(i)])

    # Parents are read to their end before anything of their children.
    order = [(line["event"], line.get("shard")) for line in consumer.lines]
    for parent, child in [(0, 2), (0, 3), (3, 4), (1, 4)]:
        end = order.index(("end", shard(parent)))
        assert end < order.index(("initialize", shard(child)))
        assert ("records", shard(parent)) not in order[end:]
    assert sorted(consumer.shards("end")) == [shard(i) for i in (0, 1, 3)]
    assert not consumer.said("failed")

    leases = consumer.leases()
    assert sorted(leases) == [shard(i) for i in range(5)]
    last = {r[0]: r[1] for r in got}
    assert {key: lease["checkpoint"] for key, lease in leases.items()} == {
        shard(0): "SHARD_END", shard(1): "SHARD_END", shard(2): last[shard(2)],
        shard(3): "SHARD_END", shard(4): last[shard(4)]}
    assert {key: sorted(lease.get("parentShardId", [])) for key, lease in leases.items()} == {
        shard(0): [], shard(1): [], shard(2): [shard(0)], shard(3): [shard(0)],
        shard(4): [shard(1), shard(3)]}
    assert sorted(leases[shard(0)]["childShardIds"]) == [shard(2), shard(3)]
    assert leases[shard(4)]["startingHashKey"] == str(HALF // 2)

    # It read in the way it was told to, and the five minutes were felt: by three open subscriptions
    # beside the five first ones, by iterators that had expired.
    operations = consumer.local.admin("GET", "stats")["operations"]
    if how == "fanout":
        assert "kinesis.GetRecords" not in operations
        assert operations["kinesis.SubscribeToShard"]["status"]["200"] >= 5 + 3
    else:
        assert "kinesis.SubscribeToShard" not in operations
        assert operations["kinesis.GetRecords"]["status"]["400"] >= 1
