"""weir-local's consumers of Kinesis streams and what is pushed to them, as boto3 sees it."""

import pytest

from kinesis_requests import Subscription, consumer, local, refused
from processes import wait_for


def test_consumers(local):
    c, arn, consumer_arn = consumer(local)
    described = c.describe_stream_consumer(StreamARN=arn, ConsumerName="app")["ConsumerDescription"]
    assert described["ConsumerStatus"] == "ACTIVE" and described["StreamARN"] == arn
    assert described["ConsumerARN"] == consumer_arn and consumer_arn.startswith(f"{arn}/consumer/app:")
    assert refused(c.register_stream_consumer, StreamARN=arn, ConsumerName="app") == "ResourceInUseException"
    local.advance(seconds=1)
    c.register_stream_consumer(StreamARN=arn, ConsumerName="other")
    page = c.list_stream_consumers(StreamARN=arn, MaxResults=1)
    assert [x["ConsumerName"] for x in page["Consumers"]] == ["app"]
    page = c.list_stream_consumers(StreamARN=arn, NextToken=page["NextToken"])
    assert [x["ConsumerName"] for x in page["Consumers"]] == ["other"] and "NextToken" not in page
    assert refused(c.delete_stream, StreamName="one") == "ResourceInUseException"
    c.deregister_stream_consumer(ConsumerARN=consumer_arn)
    assert refused(c.describe_stream_consumer, ConsumerARN=consumer_arn) == "ResourceNotFoundException"


def test_a_subscription_gets_what_is_there_and_what_comes(local):
    c, _, arn = consumer(local)
    c.put_record(StreamName="one", Data=b"there", PartitionKey="k")
    s = Subscription(c, arn)
    wait_for(lambda: s.records() == [b"there"], 10, "the record that was there")
    c.put_record(StreamName="one", Data=b"comes", PartitionKey="k")
    wait_for(lambda: s.records() == [b"there", b"comes"], 10, "the record that came")
    last = s.events[-1]
    assert last["ContinuationSequenceNumber"] == last["Records"][-1]["SequenceNumber"]
    assert last["MillisBehindLatest"] == 0
    count = len(s.events)
    local.advance(seconds=5)
    wait_for(lambda: len(s.events) > count, 10, "an empty event")
    assert s.events[-1]["Records"] == []
    local.advance(seconds=300)
    assert s.done.wait(10) and s.error is None
    c.put_record(StreamName="one", Data=b"later", PartitionKey="k")
    again = Subscription(c, arn, Type="AFTER_SEQUENCE_NUMBER",
                         SequenceNumber=s.events[-1]["ContinuationSequenceNumber"])
    wait_for(lambda: again.records() == [b"later"], 10, "the record behind the continuation")


def test_the_five_second_rule_and_the_take_over(local):
    c, _, arn = consumer(local)
    first = Subscription(c, arn)
    start = {"ConsumerARN": arn, "ShardId": "shardId-000000000000", "StartingPosition": {"Type": "LATEST"}}
    assert refused(c.subscribe_to_shard, **start) == "ResourceInUseException"
    local.advance(seconds=5)
    second = Subscription(c, arn)
    assert first.done.wait(10)
    assert "ResourceInUseException" in str(first.error)
    c.put_record(StreamName="one", Data=b"x", PartitionKey="k")
    wait_for(lambda: second.records() == [b"x"], 10, "a record for the second one")


def test_a_closed_shard_ends_its_subscription_with_its_children(local):
    c, _, arn = consumer(local)
    c.put_record(StreamName="one", Data=b"last", PartitionKey="k")
    s = Subscription(c, arn)
    wait_for(lambda: s.records() == [b"last"], 10, "the record")
    c.split_shard(StreamName="one", ShardToSplit="shardId-000000000000", NewStartingHashKey="7")
    assert s.done.wait(10) and s.error is None
    assert [x["ShardId"] for x in s.events[-1]["ChildShards"]] == ["shardId-000000000001",
                                                                    "shardId-000000000002"]
    assert "ContinuationSequenceNumber" not in s.events[-1]


def test_a_deregistered_consumer_loses_its_subscription(local):
    c, _, arn = consumer(local)
    s = Subscription(c, arn)
    c.deregister_stream_consumer(ConsumerARN=arn)
    assert s.done.wait(10)
    assert "ResourceNotFoundException" in str(s.error)


@pytest.mark.parametrize("rule,text", [
    ({"bad_crc_at": 2}, "Checksum"),
    ({"bad_prelude_at": 2}, "Checksum"),
    ({"exception_at": 2, "exception": "KMSThrottlingException"}, "KMSThrottlingException"),
])
def test_broken_frames(local, rule, text):
    c, _, arn = consumer(local)
    local.faults([{"operation": "SubscribeToShard", "stream": rule}])
    s = Subscription(c, arn)
    local.advance(seconds=5)
    wait_for(lambda: s.done.is_set() or len(s.events) == 1, 10, "the first event")
    local.advance(seconds=5)
    assert s.done.wait(10)
    assert text in repr(s.error)


def test_frames_in_pieces_of_one_byte(local):
    c, _, arn = consumer(local)
    c.put_record(StreamName="one", Data=b"slowly", PartitionKey="k")
    local.faults([{"operation": "SubscribeToShard", "pace": {"bytes": 1, "every_ms": 0}}])
    s = Subscription(c, arn)
    wait_for(lambda: s.records() == [b"slowly"], 30, "the record")
