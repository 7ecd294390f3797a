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
CLIENTS = [("go", "tls"), ("go", "clear"), ("java", "tls"), ("java", "assume"), ("java", "clear")]


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
        assert subscription.protocol in ("HTTP/2.0", None)  # Go tells; Java would not go on without

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
    for _ in range(10):
        begun = time.monotonic()
        first, second = setting.subscribe(), setting.subscribe()
        setting.wait(lambda: (first.opened and second.done) or (second.opened and first.done),
                     "one is open, the other one refused")
        if time.monotonic() - begun < 4:
            break
        setting.local.advance(seconds=301)  # too slow a machine at this moment: once more
        setting.wait(lambda: first.done and second.done, "the end of both")
    else:
        pytest.fail("ten times two subscriptions took four seconds: this machine is too slow for the test")
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

shard_name = "shardId-{:012}".format
LINEAGE = [(0, 2), (0, 3), (3, 4), (1, 4)]  # parent and child behind a split and a merge


def reshard_split(client):
    client.split_shard(StreamName="s", ShardToSplit=shard_name(0), NewStartingHashKey=str(HALF // 2))
    wait_active(client)


def reshard_merge(client):
    client.merge_shards(StreamName="s", ShardToMerge=shard_name(3), AdjacentShardToMerge=shard_name(1))
    wait_active(client)


def wait_active(client):
    wait_for(lambda: client.describe_stream_summary(StreamName="s")["StreamDescriptionSummary"][
        "StreamStatus"] == "ACTIVE", 60, "the stream is active", 0.1)


class Consumer:
    """One worker of the library, from the stream's beginning; what it said, in order."""

    def __init__(self, name, how, certificate, table_endpoint, folder, prepare=None):
        folder.mkdir()
        self.name, self.how, self.lines = name, how, []
        self.put = {}  # (shard, sequence number) -> (shard, sequence number, key, data)
        tls, trust = certificate
        self.local = LocalAws(folder, "--auth", "verify", "--tls-self-signed", tls, "--stream", "s:2")
        try:
            if prepare:
                prepare(self)
            self.judge = judges.Judge(
                judges.java(trust, "Consume", "s", f"app-{name}", how, self.local.tls_endpoint,
                            table_endpoint), folder / "kcl.log", self.lines.append)
        except BaseException:
            self.local.stop()
            raise
        self.table = boto3.client(
            "dynamodb", endpoint_url=table_endpoint, region_name="us-east-1",
            aws_access_key_id="local", aws_secret_access_key="local-secret",
            config=Config(retries={"max_attempts": 5, "mode": "standard"}))

    def wait(self, condition, what):
        return wait_for(lambda: self.judge.alive() and condition(), 240, f"{self.name}: {what}", 0.1)

    def put_batch(self, client, first):
        """Ten records, by boto3."""
        batch = [{"PartitionKey": f"key {n} \u65e5", "Data": b"%d " % n * 20}
                 for n in range(first, first + 10)]
        answer = client.put_records(StreamName="s", Records=batch)
        assert answer["FailedRecordCount"] == 0, answer
        for record, result in zip(batch, answer["Records"]):
            place = result["ShardId"], result["SequenceNumber"]
            self.put[place] = (*place, record["PartitionKey"], record["Data"])

    def said(self, event):
        return [line for line in list(self.lines) if line["event"] == event]

    def shards(self, event):
        return [line["shard"] for line in self.said(event)]

    def records(self):
        """[(shard, sequence number, key, data)], as processed."""
        return [(line["shard"], number, bytes.fromhex(key).decode(), bytes.fromhex(data))
                for line in self.said("records") for number, key, data in line["records"]]

    def leases(self):
        rows = self.table.scan(TableName=f"app-{self.name}", ConsistentRead=True)["Items"]
        leases = {}
        for row in rows:
            plain = {name: next(iter(value.values())) for name, value in row.items()}
            if "checkpoint" in plain:  # other rows are the leader's lock and the worker's figures
                leases[plain["leaseKey"]] = plain
        return leases

    def finish(self):
        """Waits for every record, ends the worker, and looks at all that it did."""
        self.wait(lambda: {r[:2] for r in self.records()} >= self.put.keys(), "every record")
        self.wait(lambda: {shard_name(i) for i in (2, 4)} <= set(self.shards("initialize")),
                  "the last shards are read")
        assert self.judge.end(180) == 0
        assert self.said("stopped") == [{"event": "stopped", "clean": True}]
        self.check_records()
        self.check_order()
        self.check_leases()

    def check_records(self):
        """Each as it was put. Again only what the library may read again: where a lease changed."""
        got = self.records()
        print(f"{self.name}: {len(self.put)} records, {len(got) - len(self.put)} of them again")
        assert {r[:2] for r in got} == self.put.keys()
        assert all(self.put[r[:2]] == r for r in got)
        asked = self.lines.index(self.said("shutdown")[0])
        if not any(line["event"] == "lost" for line in self.lines[:asked]):
            assert len(got) == len(self.put), "records twice without a lost lease"
            for i in range(5):
                assert numbers_rise([r[1:] for r in got if r[0] == shard_name(i)])
        assert not self.said("failed")

    def check_order(self):
        """Parents are read to their end before anything of their children."""
        order = [(line["event"], line.get("shard")) for line in self.lines]
        for parent, child in LINEAGE:
            end = order.index(("end", shard_name(parent)))
            assert end < order.index(("initialize", shard_name(child)))
            assert ("records", shard_name(parent)) not in order[end:]
        assert set(self.shards("end")) == {shard_name(i) for i in (0, 1, 3)}

    def check_leases(self):
        leases = self.leases()
        assert sorted(leases) == [shard_name(i) for i in range(5)]
        last = {r[0]: r[1] for r in self.records()}
        for i in range(5):
            wanted = "SHARD_END" if i in (0, 1, 3) else last.get(shard_name(i), "TRIM_HORIZON")
            assert leases[shard_name(i)]["checkpoint"] == wanted
            assert set(leases[shard_name(i)].get("parentShardId", [])) == {
                shard_name(parent) for parent, child in LINEAGE if child == i}
        assert set(leases[shard_name(0)]["childShardIds"]) == {shard_name(2), shard_name(3)}
        assert leases[shard_name(4)]["startingHashKey"] == str(HALF // 2)

    def close(self):
        self.judge.kill()
        self.local.stop()


class Writer(threading.Thread):
    """Puts records with boto3 until it is told to stop, about a hundred a second."""

    def __init__(self, consumer):
        super().__init__(daemon=True)
        self.consumer, self.client = consumer, consumer.local.client("kinesis")
        self.error, self.ended = None, threading.Event()
        self.start()

    def run(self):
        try:
            first = 0
            while not self.ended.wait(0.1):
                self.consumer.put_batch(self.client, first)
                first += 10
        except BaseException as error:  # noqa: BLE001 - the test looks at it
            self.error = error

    def stop(self):
        self.ended.set()
        self.join(60)
        assert self.error is None and not self.is_alive()


def reshard_before(consumer):
    """Records in every shard of a stream that was split and merged before anybody read it."""
    client = consumer.local.client("kinesis")
    for first, change in ((0, reshard_split), (200, reshard_merge), (400, None)):
        for n in range(first, first + 200, 10):
            consumer.put_batch(client, n)
        if change:
            change(client)


@pytest.fixture(scope="module")
def consumers(certificate, tmp_path_factory):
    """All at once: most of their time goes by in the library's own waiting."""
    folder = tmp_path_factory.mktemp("kcl")
    server = judges.dynamodb_local(folder)
    started = {}
    try:
        for name, how, prepare in (("polling", "polling", None), ("fanout", "fanout", None),
                                   ("late", "polling", reshard_before)):
            started[name] = Consumer(name, how, certificate, f"http://127.0.0.1:{server.ports[0]}",
                                     folder / name, prepare)
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
    writer = Writer(consumer)

    def read_from(*wanted):
        return lambda: {shard_name(i) for i in wanted} <= set(consumer.shards("records"))

    try:
        consumer.wait(read_from(0, 1), "records of both shards")
        reshard_split(client)
        consumer.wait(read_from(2, 3), "records of the children")
        # Iterators expire and subscriptions end: what is read goes on where it was.
        consumer.local.advance(seconds=301)
        before = len(consumer.records())
        consumer.wait(lambda: len(consumer.records()) > before, "records behind five minutes")
        reshard_merge(client)
        consumer.wait(read_from(4), "records of the merged shard")
    finally:
        writer.stop()
    consumer.finish()

    # It read in the way it was told to, and the five minutes were felt: by three open subscriptions
    # beside the five first ones, by iterators that had expired.
    operations = consumer.local.admin("GET", "stats")["operations"]
    if how == "fanout":
        assert "kinesis.GetRecords" not in operations
        assert operations["kinesis.SubscribeToShard"]["status"]["200"] >= 5 + 3
    else:
        assert "kinesis.SubscribeToShard" not in operations
        assert operations["kinesis.GetRecords"]["status"]["400"] >= 1


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_client_library_begins_with_the_parents_of_a_stream_that_was_resharded_before(consumers):
    consumers["late"].finish()
