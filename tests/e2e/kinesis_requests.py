"""What the tests of weir-local's Kinesis share: the endpoint, streams read whole, subscriptions."""

import threading

import pytest
from botocore.exceptions import ClientError

from local import LocalAws
from processes import wait_for

MAX_HASH = 2**128 - 1


@pytest.fixture
def local(tmp_path):
    with LocalAws(tmp_path, "--auth", "verify", "--stream", "two:2", "--stream", "one:1") as endpoint:
        yield endpoint


def code(error):
    return error.value.response["Error"]["Code"]


def refused(call, **arguments):
    with pytest.raises(ClientError) as error:
        call(**arguments)
    return code(error)


def shards(client, stream, **more):
    return client.list_shards(StreamName=stream, **more)["Shards"]


def iterator(client, stream, shard, kind="TRIM_HORIZON", **more):
    return client.get_shard_iterator(StreamName=stream, ShardId=shard, ShardIteratorType=kind,
                                     **more)["ShardIterator"]


def read_shard(client, stream, shard, kind="TRIM_HORIZON", **more):
    """Records of a shard until its tip or end, and the last answer."""
    at, records = iterator(client, stream, shard, kind, **more), []
    while True:
        answer = client.get_records(ShardIterator=at)
        records += answer["Records"]
        at = answer.get("NextShardIterator")
        if at is None or (not answer["Records"] and answer["MillisBehindLatest"] == 0):
            return records, answer


def wait_active(client, stream):
    wait_for(lambda: client.describe_stream_summary(StreamName=stream)["StreamDescriptionSummary"][
        "StreamStatus"] == "ACTIVE", 20, f"{stream} is ACTIVE", interval=0.1)


def summary(c, stream):
    return c.describe_stream_summary(StreamName=stream)["StreamDescriptionSummary"]


def commit(c, status="ENABLED"):
    return c.update_account_settings(MinimumThroughputBillingCommitment={"Status": status})[
        "MinimumThroughputBillingCommitment"]


def settings(c):
    """The account's."""
    return c.describe_account_settings()["MinimumThroughputBillingCommitment"]


def consumer(local, stream="one", name="app"):
    c = local.client("kinesis")
    arn = c.describe_stream_summary(StreamName=stream)["StreamDescriptionSummary"]["StreamARN"]
    made = c.register_stream_consumer(StreamARN=arn, ConsumerName=name)["Consumer"]
    assert made["ConsumerStatus"] == "CREATING"
    local.advance(seconds=1)
    return c, arn, made["ConsumerARN"]


class Subscription:
    """The events of one subscription, read by a thread of its own."""

    def __init__(self, client, consumer_arn, shard="shardId-000000000000", **position):
        position = position or {"Type": "TRIM_HORIZON"}
        self.stream = client.subscribe_to_shard(ConsumerARN=consumer_arn, ShardId=shard,
                                                StartingPosition=position)["EventStream"]
        self.events, self.error, self.done = [], None, threading.Event()
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self):
        try:
            for event in self.stream:
                self.events.append(event["SubscribeToShardEvent"])
        except Exception as error:  # noqa: BLE001 - the test looks at it
            self.error = error
        self.done.set()

    def records(self):
        return [r["Data"] for e in list(self.events) for r in e["Records"]]
