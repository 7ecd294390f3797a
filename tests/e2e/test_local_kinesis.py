"""weir-local's Kinesis, as boto3 sees it: every operation, its limits and its errors."""

import base64
import hashlib
import http.client
import json
import time
import urllib.error
import urllib.request

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from kinesis_requests import MAX_HASH, code, iterator, local, read_shard, refused, shards, wait_active
from local import ONCE, LocalAws
from processes import Deadline, wait_for


# ---- records ----

def test_records_come_back_as_they_went(local):
    c = local.client("kinesis")
    sent = {}
    for start in range(0, 100, 50):
        batch = [{"Data": bytes([i]) * (i * 7 % 300), "PartitionKey": f"key \"{i}\" \u65e5\n"} for i in
                 range(start, start + 50)]
        answer = c.put_records(StreamName="two", Records=batch)
        assert answer["FailedRecordCount"] == 0
        for record, result in zip(batch, answer["Records"]):
            sent[result["ShardId"], result["SequenceNumber"]] = (record["Data"], record["PartitionKey"])
    got = {}
    for shard in shards(c, "two"):
        low, high = (int(shard["HashKeyRange"][k]) for k in ("StartingHashKey", "EndingHashKey"))
        last = 0
        records, answer = read_shard(c, "two", shard["ShardId"])
        for r in records:
            assert int(r["SequenceNumber"]) > last
            last = int(r["SequenceNumber"])
            assert low <= int(hashlib.md5(r["PartitionKey"].encode()).hexdigest(), 16) <= high
            assert abs(r["ApproximateArrivalTimestamp"].timestamp() - time.time()) < 60
            got[shard["ShardId"], r["SequenceNumber"]] = (r["Data"], r["PartitionKey"])
        assert answer["MillisBehindLatest"] == 0
    assert got == sent


def test_put_record_and_explicit_hash_key(local):
    c = local.client("kinesis")
    for hash_key, shard in [("0", 0), (str(2**127 - 1), 0), (str(2**127), 1), (str(MAX_HASH), 1)]:
        answer = c.put_record(StreamName="two", Data=b"x", PartitionKey="k", ExplicitHashKey=hash_key)
        assert answer["ShardId"] == f"shardId-{shard:012}"
        assert len(answer["SequenceNumber"]) == 56
    for bad in (str(MAX_HASH + 1), "007", "abc"):
        assert refused(c.put_record, StreamName="two", Data=b"x", PartitionKey="k",
                       ExplicitHashKey=bad) == "InvalidArgumentException"


def test_limits_of_a_request(local):
    c = local.client("kinesis")
    one = {"Data": b"x", "PartitionKey": "k"}
    assert refused(c.put_records, StreamName="two", Records=[one] * 501) == "ValidationException"
    assert c.put_records(StreamName="two", Records=[one] * 500)["FailedRecordCount"] == 0
    assert refused(c.put_record, StreamName="two", Data=b"x",
                   PartitionKey="k" * 257) == "ValidationException"
    c.put_record(StreamName="two", Data=b"x", PartitionKey="\u65e5" * 256)
    assert refused(c.put_record, StreamName="two", Data=bytes(2**20),
                   PartitionKey="k") == "InvalidArgumentException"
    large = {"Data": bytes(2**20 - 1), "PartitionKey": "k"}
    assert refused(c.put_records, StreamName="two", Records=[large] * 5 + [
        {"Data": b"", "PartitionKey": "k"}]) == "InvalidArgumentException"
    assert refused(c.put_record, StreamName="none", Data=b"", PartitionKey="k") == "ResourceNotFoundException"


def test_a_shard_takes_a_mebibyte_and_a_thousand_records_a_second(local):
    c = local.client("kinesis", retries=ONCE)
    answer = c.put_records(StreamName="one", Records=[{"Data": bytes(400_000), "PartitionKey": "k"}] * 4)
    errors = [r.get("ErrorCode") for r in answer["Records"]]
    assert errors == [None, None, *["ProvisionedThroughputExceededException"] * 2]
    assert answer["FailedRecordCount"] == 2
    assert refused(c.put_record, StreamName="one", Data=bytes(700_000),
                   PartitionKey="k") == "ProvisionedThroughputExceededException"
    local.advance(seconds=2)
    for _ in range(2):
        c.put_records(StreamName="one", Records=[{"Data": b"x", "PartitionKey": "k"}] * 500)
    assert c.put_records(StreamName="one", Records=[{"Data": b"x", "PartitionKey": "k"}] * 500)[
        "FailedRecordCount"] > 300
    local.advance(seconds=2)
    records, _ = read_shard(c, "one", "shardId-000000000000")
    assert sum(len(r["Data"]) == 400_000 for r in records) == 2


def test_a_larger_record_limit_of_the_stream(local):
    c = local.client("kinesis")
    arn = c.describe_stream_summary(StreamName="one")["StreamDescriptionSummary"]["StreamARN"]
    c.update_max_record_size(StreamARN=arn, MaxRecordSizeInKiB=4096)
    wait_active(c, "one")
    c.put_record(StreamName="one", Data=bytes(3 * 2**20), PartitionKey="k")
    # It is paid for by the seconds that follow.
    assert c.put_records(StreamName="one", Records=[{"Data": b"x", "PartitionKey": "k"}])[
        "FailedRecordCount"] == 1
    local.advance(seconds=4)
    records, _ = read_shard(c, "one", "shardId-000000000000")
    assert [len(r["Data"]) for r in records] == [3 * 2**20]


# ---- iterators ----

def test_every_type_of_iterator(local):
    c = local.client("kinesis")
    shard, numbers = "shardId-000000000000", []
    for i in range(3):
        numbers.append(c.put_record(StreamName="one", Data=b"%d" % i, PartitionKey="k")["SequenceNumber"])
    local.advance(seconds=10)
    middle = local.now()
    local.advance(seconds=10)
    numbers.append(c.put_record(StreamName="one", Data=b"3", PartitionKey="k")["SequenceNumber"])

    def data(kind, **more):
        local.advance(seconds=2)
        return b"".join(r["Data"] for r in read_shard(c, "one", shard, kind, **more)[0])

    assert data("TRIM_HORIZON") == b"0123"
    assert data("LATEST") == b""
    assert data("AT_SEQUENCE_NUMBER", StartingSequenceNumber=numbers[1]) == b"123"
    assert data("AFTER_SEQUENCE_NUMBER", StartingSequenceNumber=numbers[1]) == b"23"
    assert data("AFTER_SEQUENCE_NUMBER", StartingSequenceNumber=numbers[3]) == b""
    assert data("AT_TIMESTAMP", Timestamp=middle) == b"3"
    assert data("AT_TIMESTAMP", Timestamp=middle - 100) == b"0123"
    start = shards(c, "one")[0]["SequenceNumberRange"]["StartingSequenceNumber"]
    assert data("AFTER_SEQUENCE_NUMBER", StartingSequenceNumber=start) == b"0123"

    for bad in ({"ShardIteratorType": "AT_TIMESTAMP", "Timestamp": local.now() + 3600},
                {"ShardIteratorType": "AT_TIMESTAMP"},
                {"ShardIteratorType": "AT_SEQUENCE_NUMBER"},
                {"ShardIteratorType": "AT_SEQUENCE_NUMBER", "StartingSequenceNumber": "12"}):
        local.advance(seconds=1)
        assert refused(c.get_shard_iterator, StreamName="one", ShardId=shard,
                       **bad) == "InvalidArgumentException"
    other = c.put_record(StreamName="two", Data=b"x", PartitionKey="k", ExplicitHashKey=str(MAX_HASH))
    assert refused(c.get_shard_iterator, StreamName="two", ShardId=shard,
                   ShardIteratorType="AT_SEQUENCE_NUMBER",
                   StartingSequenceNumber=other["SequenceNumber"]) == "InvalidArgumentException"
    assert refused(c.get_shard_iterator, StreamName="one", ShardId="shardId-000000000009",
                   ShardIteratorType="LATEST") == "ResourceNotFoundException"


def test_iterators_expire_and_cannot_be_made_up(local):
    c = local.client("kinesis")
    at = iterator(c, "one", "shardId-000000000000")
    local.advance(seconds=299)
    at = c.get_records(ShardIterator=at)["NextShardIterator"]
    local.advance(seconds=301)
    assert refused(c.get_records, ShardIterator=at) == "ExpiredIteratorException"
    fresh = iterator(c, "one", "shardId-000000000000")
    tampered = base64.b64encode(bytes(b ^ (i == 20) for i, b in enumerate(base64.b64decode(fresh)))).decode()
    for bad in (tampered, "AAAA", "not base64!", fresh[:-8]):
        assert refused(c.get_records, ShardIterator=bad) == "InvalidArgumentException"
    for limit in (10_001,):
        assert refused(c.get_records, ShardIterator=fresh, Limit=limit) == "InvalidArgumentException"


def test_five_calls_a_second_and_ten_mebibytes_a_call(local):
    c = local.client("kinesis", retries=ONCE)
    at = iterator(c, "one", "shardId-000000000000")
    for _ in range(5):
        c.get_records(ShardIterator=at)
    assert refused(c.get_records, ShardIterator=at) == "ProvisionedThroughputExceededException"
    for _ in range(12):
        local.advance(seconds=2)
        c.put_record(StreamName="one", Data=bytes(1_000_000), PartitionKey="k")
    answer = c.get_records(ShardIterator=at)
    assert len(answer["Records"]) == 10 and answer["MillisBehindLatest"] > 0
    at = answer["NextShardIterator"]
    local.advance(seconds=4)
    assert refused(c.get_records, ShardIterator=at) == "ProvisionedThroughputExceededException"
    local.advance(seconds=1)
    answer = c.get_records(ShardIterator=at, Limit=1)
    assert len(answer["Records"]) == 1
    assert len(c.get_records(ShardIterator=answer["NextShardIterator"])["Records"]) == 1


def test_records_leave_with_retention(local):
    c = local.client("kinesis")
    c.put_record(StreamName="one", Data=b"old", PartitionKey="k")
    local.advance(seconds=12 * 3600)
    c.put_record(StreamName="one", Data=b"new", PartitionKey="k")
    local.advance(seconds=13 * 3600)
    assert [r["Data"] for r in read_shard(c, "one", "shardId-000000000000")[0]] == [b"new"]


# ---- streams ----

def test_a_stream_from_creation_to_deletion(local):
    c = local.client("kinesis")
    c.create_stream(StreamName="fresh", ShardCount=3, Tags={"team": "data"})
    d = c.describe_stream_summary(StreamName="fresh")["StreamDescriptionSummary"]
    assert d["StreamStatus"] == "CREATING"
    assert refused(c.put_record, StreamName="fresh", Data=b"", PartitionKey="k") == "ResourceNotFoundException"
    assert refused(c.create_stream, StreamName="fresh", ShardCount=1) == "ResourceInUseException"
    wait_active(c, "fresh")
    d = c.describe_stream_summary(StreamName="fresh")["StreamDescriptionSummary"]
    assert d["StreamARN"] == "arn:aws:kinesis:us-east-1:000000000000:stream/fresh"
    assert (d["OpenShardCount"], d["ConsumerCount"], d["RetentionPeriodHours"]) == (3, 0, 24)
    assert d["EncryptionType"] == "NONE" and d["MaxRecordSizeInKiB"] == 1024
    full = c.describe_stream(StreamARN=d["StreamARN"], Limit=2)["StreamDescription"]
    assert len(full["Shards"]) == 2 and full["HasMoreShards"]
    rest = c.describe_stream(StreamName="fresh", ExclusiveStartShardId="shardId-000000000001")
    assert [s["ShardId"] for s in rest["StreamDescription"]["Shards"]] == ["shardId-000000000002"]
    assert c.list_tags_for_stream(StreamName="fresh")["Tags"] == [{"Key": "team", "Value": "data"}]
    c.delete_stream(StreamName="fresh")
    assert c.describe_stream_summary(StreamName="fresh")["StreamDescriptionSummary"][
        "StreamStatus"] == "DELETING"
    c.get_waiter("stream_not_exists").wait(StreamName="fresh", WaiterConfig={"Delay": 1})
    assert refused(c.describe_stream_summary, StreamName="fresh") == "ResourceNotFoundException"
    assert refused(c.create_stream, StreamName="bad name", ShardCount=1) == "ValidationException"
    assert refused(c.put_record, StreamARN=d["StreamARN"].replace("fresh", "one"), StreamName="two",
                   Data=b"", PartitionKey="k") == "InvalidArgumentException"


def test_list_streams_in_pages(local):
    c = local.client("kinesis")
    first = c.list_streams(Limit=1)
    assert first["StreamNames"] == ["one"] and first["HasMoreStreams"]
    assert c.list_streams(NextToken=first["NextToken"])["StreamNames"] == ["two"]
    assert c.list_streams(ExclusiveStartStreamName="one")["StreamNames"] == ["two"]
    assert c.list_streams()["StreamSummaries"][1]["StreamARN"].endswith(":stream/two")


def test_settings_of_a_stream(local):
    c = local.client("kinesis")
    c.increase_stream_retention_period(StreamName="one", RetentionPeriodHours=48)
    assert refused(c.decrease_stream_retention_period, StreamName="one",
                   RetentionPeriodHours=24) == "ResourceInUseException"
    wait_active(c, "one")
    assert refused(c.increase_stream_retention_period, StreamName="one",
                   RetentionPeriodHours=24) == "InvalidArgumentException"
    assert refused(c.increase_stream_retention_period, StreamName="one",
                   RetentionPeriodHours=9000) == "InvalidArgumentException"
    c.decrease_stream_retention_period(StreamName="one", RetentionPeriodHours=24)
    wait_active(c, "one")
    c.start_stream_encryption(StreamName="one", EncryptionType="KMS", KeyId="alias/aws/kinesis")
    wait_active(c, "one")
    assert c.put_record(StreamName="one", Data=b"x", PartitionKey="k")["EncryptionType"] == "KMS"
    assert read_shard(c, "one", "shardId-000000000000")[0][0]["EncryptionType"] == "KMS"
    c.stop_stream_encryption(StreamName="one", EncryptionType="KMS", KeyId="alias/aws/kinesis")
    wait_active(c, "one")
    arn = c.describe_stream_summary(StreamName="one")["StreamDescriptionSummary"]["StreamARN"]
    c.update_stream_mode(StreamARN=arn, StreamModeDetails={"StreamMode": "ON_DEMAND"})
    wait_active(c, "one")
    assert refused(c.split_shard, StreamName="one", ShardToSplit="shardId-000000000000",
                   NewStartingHashKey="7") == "ValidationException"
    limits = c.describe_limits()
    assert limits["OpenShardCount"] == 3 and limits["OnDemandStreamCount"] == 1
    assert c.enable_enhanced_monitoring(StreamName="one", ShardLevelMetrics=["ALL"])["StreamName"] == "one"
    assert c.disable_enhanced_monitoring(StreamName="one", ShardLevelMetrics=["ALL"])["StreamName"] == "one"


def test_tags_old_and_new(local):
    c = local.client("kinesis")
    c.add_tags_to_stream(StreamName="one", Tags={"b": "2", "a": "1"})
    page = c.list_tags_for_stream(StreamName="one", Limit=1)
    assert page["Tags"] == [{"Key": "a", "Value": "1"}] and page["HasMoreTags"]
    page = c.list_tags_for_stream(StreamName="one", ExclusiveStartTagKey="a")
    assert page["Tags"] == [{"Key": "b", "Value": "2"}] and not page["HasMoreTags"]
    c.remove_tags_from_stream(StreamName="one", TagKeys=["a"])
    arn = c.describe_stream_summary(StreamName="one")["StreamDescriptionSummary"]["StreamARN"]
    c.tag_resource(ResourceARN=arn, Tags={"c": "3"})
    c.untag_resource(ResourceARN=arn, TagKeys=["b"])
    assert c.list_tags_for_resource(ResourceARN=arn)["Tags"] == [{"Key": "c", "Value": "3"}]
    for start in range(0, 49, 10):
        c.tag_resource(ResourceARN=arn, Tags={f"k{i}": "" for i in range(start, min(start + 10, 49))})
    assert refused(c.tag_resource, ResourceARN=arn, Tags={"one more": ""}) == "InvalidArgumentException"


# ---- shards ----

def test_split_and_merge(local):
    c = local.client("kinesis")
    before = c.put_record(StreamName="one", Data=b"before", PartitionKey="k")
    c.split_shard(StreamName="one", ShardToSplit="shardId-000000000000", NewStartingHashKey=str(2**100))
    assert refused(c.split_shard, StreamName="one", ShardToSplit="shardId-000000000000",
                   NewStartingHashKey="9") == "ResourceInUseException"
    wait_active(c, "one")
    parent, low, high = shards(c, "one")
    assert low["ParentShardId"] == high["ParentShardId"] == parent["ShardId"]
    assert low["HashKeyRange"] == {"StartingHashKey": "0", "EndingHashKey": str(2**100 - 1)}
    assert high["HashKeyRange"]["StartingHashKey"] == str(2**100)
    end = parent["SequenceNumberRange"]["EndingSequenceNumber"]
    assert int(end) > int(before["SequenceNumber"])
    assert "EndingSequenceNumber" not in low["SequenceNumberRange"]
    # The parent is read to its end, and says who comes next.
    records, answer = read_shard(c, "one", parent["ShardId"])
    assert [r["Data"] for r in records] == [b"before"]
    assert "NextShardIterator" not in answer and answer["MillisBehindLatest"] == 0
    assert [(s["ShardId"], s["ParentShards"]) for s in answer["ChildShards"]] == [
        (s["ShardId"], [parent["ShardId"]]) for s in (low, high)]
    assert answer["ChildShards"][0]["HashKeyRange"] == low["HashKeyRange"]
    assert read_shard(c, "one", parent["ShardId"], "LATEST")[1].get("NextShardIterator") is None
    assert read_shard(c, "one", parent["ShardId"], "AFTER_SEQUENCE_NUMBER", StartingSequenceNumber=end)[0] == []

    c.put_record(StreamName="one", Data=b"low", PartitionKey="k", ExplicitHashKey="5")
    assert refused(c.merge_shards, StreamName="one", ShardToMerge=parent["ShardId"],
                   AdjacentShardToMerge=low["ShardId"]) == "InvalidArgumentException"
    c.merge_shards(StreamName="one", ShardToMerge=high["ShardId"], AdjacentShardToMerge=low["ShardId"])
    wait_active(c, "one")
    merged = shards(c, "one")[3]
    assert (merged["ParentShardId"], merged["AdjacentParentShardId"]) == (high["ShardId"], low["ShardId"])
    records, answer = read_shard(c, "one", low["ShardId"])
    assert [r["Data"] for r in records] == [b"low"]
    assert answer["ChildShards"][0]["ParentShards"] == [high["ShardId"], low["ShardId"]]
    assert refused(c.split_shard, StreamName="one", ShardToSplit=merged["ShardId"],
                   NewStartingHashKey="0") == "InvalidArgumentException"


def test_filters_and_pages_of_list_shards(local):
    c = local.client("kinesis")
    created = local.now()
    local.advance(seconds=60)
    before = local.now()
    local.advance(seconds=60)
    c.split_shard(StreamName="two", ShardToSplit="shardId-000000000000", NewStartingHashKey="1000")
    wait_active(c, "two")

    def ids(kind, **more):
        return [int(s["ShardId"][-2:]) for s in shards(c, "two", ShardFilter={"Type": kind, **more})]

    assert ids("FROM_TRIM_HORIZON") == [0, 1, 2, 3]
    assert ids("AT_TRIM_HORIZON") == [0, 1]
    assert ids("AT_LATEST") == [1, 2, 3]
    assert ids("AT_TIMESTAMP", Timestamp=before) == [0, 1]
    assert ids("FROM_TIMESTAMP", Timestamp=local.now()) == [1, 2, 3]
    assert ids("FROM_TIMESTAMP", Timestamp=created) == [0, 1, 2, 3]
    assert ids("AFTER_SHARD_ID", ShardId="shardId-000000000001") == [2, 3]
    assert refused(c.list_shards, StreamName="two", ShardFilter={"Type": "AT_TIMESTAMP"}) == \
        "InvalidArgumentException"
    page = c.list_shards(StreamName="two", MaxResults=3)
    assert len(page["Shards"]) == 3
    rest = c.list_shards(NextToken=page["NextToken"])
    assert [s["ShardId"][-1] for s in rest["Shards"]] == ["3"] and "NextToken" not in rest
    assert refused(c.list_shards, StreamName="two", NextToken=page["NextToken"]) == "InvalidArgumentException"
    local.advance(seconds=301)
    assert refused(c.list_shards, NextToken=page["NextToken"]) == "ExpiredNextTokenException"
    # A closed shard leaves with its last record.
    local.advance(seconds=24 * 3600)
    assert ids("FROM_TRIM_HORIZON") == [1, 2, 3]


@pytest.mark.parametrize("target", [4, 3, 1])
def test_update_shard_count(local, target):
    c = local.client("kinesis")
    answer = c.update_shard_count(StreamName="two", TargetShardCount=target, ScalingType="UNIFORM_SCALING")
    assert (answer["CurrentShardCount"], answer["TargetShardCount"]) == (2, target)
    wait_active(c, "two")
    now = sorted((s["HashKeyRange"] for s in shards(c, "two", ShardFilter={"Type": "AT_LATEST"})),
                 key=lambda r: int(r["StartingHashKey"]))
    assert [int(r["StartingHashKey"]) for r in now] == [2**128 // target * i for i in range(target)]
    assert int(now[-1]["EndingHashKey"]) == MAX_HASH
    for a, b in zip(now, now[1:]):
        assert int(a["EndingHashKey"]) + 1 == int(b["StartingHashKey"])
    once = local.client("kinesis", retries=ONCE)
    assert refused(once.update_shard_count, StreamName="two", TargetShardCount=target * 2 + 1,
                   ScalingType="UNIFORM_SCALING") == "LimitExceededException"


def test_shards_are_counted_anew_ten_times_a_day(local):
    once = local.client("kinesis", retries=ONCE)
    for i in range(10):
        once.update_shard_count(StreamName="one", TargetShardCount=1 + (i + 1) % 2, ScalingType="UNIFORM_SCALING")
        wait_active(once, "one")
        local.advance(seconds=60)
    again = {"StreamName": "one", "TargetShardCount": 2, "ScalingType": "UNIFORM_SCALING"}
    assert refused(once.update_shard_count, **again) == "LimitExceededException"
    local.advance(seconds=24 * 3600)
    once.update_shard_count(**again)


def test_a_stream_on_demand_grows_by_itself(local):
    c = local.client("kinesis", retries=ONCE)
    c.create_stream(StreamName="od", StreamModeDetails={"StreamMode": "ON_DEMAND"})
    wait_active(c, "od")
    assert len(shards(c, "od")) == 4
    assert refused(c.split_shard, StreamName="od", ShardToSplit="shardId-000000000000",
                   NewStartingHashKey="9") == "ValidationException"
    hot = {"StreamName": "od", "Records": [{"Data": bytes(700_000), "PartitionKey": "k"}] * 2}
    assert c.put_records(**hot)["FailedRecordCount"] == 1
    wait_active(c, "od")
    listed = shards(c, "od")
    assert len(listed) == 12
    assert [int(s["ParentShardId"][-2:]) for s in listed[4:]] == [0, 0, 1, 1, 2, 2, 3, 3]

    # One hot key is refused again and again; the stream doubles once in 15 minutes all the same.
    for seconds, count in [(1, 8), (1, 8), (800, 8), (100, 16), (1, 16), (900, 32)]:
        local.advance(seconds=seconds)
        assert c.put_records(**hot)["FailedRecordCount"] == 1
        wait_active(c, "od")
        assert len(shards(c, "od", ShardFilter={"Type": "AT_LATEST"})) == count, seconds


# ---- signatures ----

def test_signatures_are_checked(local):
    wrong = local.client("kinesis", aws_secret_access_key="another")
    assert refused(wrong.list_streams) == "InvalidSignatureException"
    unknown = local.client("kinesis", aws_access_key_id="nobody")
    assert refused(unknown.list_streams) == "UnrecognizedClientException"
    token = local.client("kinesis", aws_session_token="made-up")
    assert refused(token.list_streams) == "UnrecognizedClientException"
    request = urllib.request.Request(local.endpoint + "/", data=b"{}", headers={
        "X-Amz-Target": "Kinesis_20131202.ListStreams", "Content-Type": "application/x-amz-json-1.1"})
    with pytest.raises(urllib.error.HTTPError) as error:
        urllib.request.urlopen(request)
    assert json.load(error.value)["__type"] == "MissingAuthenticationTokenException"
    assert error.value.headers["x-amzn-RequestId"]


def test_a_skewed_clock_is_refused(local):
    c = local.client("kinesis", retries=ONCE)
    for skew in (400, -400):
        local.skew(skew)
        assert refused(c.list_streams) == "InvalidSignatureException"
    local.skew(200)
    assert c.list_streams()["StreamNames"] == ["one", "two"]


# ---- faults ----

def test_faults_by_operation(local):
    c = local.client("kinesis", retries=ONCE)
    local.faults([{"operation": "ListStreams", "exception": "LimitExceededException", "count": 1},
                  {"operation": "PutRecord", "exception": "InternalFailure", "skip": 1, "every": 2}])
    assert refused(c.list_streams) == "LimitExceededException"
    c.list_streams()
    c.put_record(StreamName="one", Data=b"0", PartitionKey="k")
    assert refused(c.put_record, StreamName="one", Data=b"1", PartitionKey="k") == "InternalFailure"
    c.put_record(StreamName="one", Data=b"2", PartitionKey="k")
    assert [r["Data"] for r in read_shard(c, "one", "shardId-000000000000")[0]] == [b"0", b"2"]
    hits = [r["hits"] for r in local.admin("GET", "faults")["rules"]]
    assert hits == [1, 1]
    local.admin("DELETE", "faults")
    assert c.put_record(StreamName="one", Data=b"3", PartitionKey="k")


def test_stored_but_answered_500(local):
    c = local.client("kinesis", retries=ONCE)
    local.faults([{"operation": "PutRecord", "status": 500, "exception": "InternalFailure", "after": True}])
    assert refused(c.put_record, StreamName="one", Data=b"x", PartitionKey="k") == "InternalFailure"
    assert [r["Data"] for r in read_shard(c, "one", "shardId-000000000000")[0]] == [b"x"]


def test_partial_failure_of_chosen_records(local):
    c = local.client("kinesis")
    local.faults([{"operation": "PutRecords", "records": {"indexes": [1, 3], "exception": "InternalFailure"}}])
    answer = c.put_records(StreamName="one", Records=[{"Data": b"%d" % i, "PartitionKey": "k"} for i in range(5)])
    assert [r.get("ErrorCode") for r in answer["Records"]] == [None, "InternalFailure"] * 2 + [None]
    assert [r["Data"] for r in read_shard(c, "one", "shardId-000000000000")[0]] == [b"0", b"2", b"4"]


def test_latency(local):
    c = local.client("kinesis")
    local.faults([{"operation": "ListStreams", "latency_ms": 300}])
    start = time.monotonic()
    c.list_streams()
    assert time.monotonic() - start >= 0.3


@pytest.mark.parametrize("how", ["close", "reset", "refused"])
def test_a_connection_cut_before_the_answer(local, how):
    local.faults([{"operation": "ListStreams", "cut": {"at": 0, "how": how}, "count": 1}])
    c = local.client("kinesis", retries={"total_max_attempts": 3, "mode": "standard"})
    assert c.list_streams()["StreamNames"] == ["one", "two"]  # boto3 came again
    assert local.admin("GET", "stats")["operations"]["kinesis.ListStreams"]["requests"] == 2


@pytest.mark.parametrize("how,error", [("close", http.client.IncompleteRead), ("reset", OSError)])
@pytest.mark.parametrize("at", [1, 17])
def test_an_answer_cut_at_a_byte(local, how, error, at):
    """By hand, since botocore takes what there is of a cut body for the whole."""
    local.faults([{"operation": "ListStreams", "cut": {"at": at, "how": how}}])
    connection = http.client.HTTPConnection("127.0.0.1", local.port, timeout=10)
    connection.request("POST", "/", b"{}", {"X-Amz-Target": "Kinesis_20131202.ListStreams"})
    with pytest.raises(error) as cut:
        connection.getresponse().read()
    if how == "close":
        assert len(cut.value.partial) == at


def test_faults_that_make_no_sense_are_refused(local):
    for bad in ({"rules": [{"opperation": "x"}]}, {"rules": [{"status": 99}]}, {"rules": 3}, {},
                {"rules": [{"cut": {"how": "loudly"}}]}):
        with pytest.raises(urllib.error.HTTPError) as error:
            local.admin("POST", "faults", bad)
        assert error.value.code == 400 and json.load(error.value)["error"]


# ---- protocol ----

def test_pipelined_requests_are_answered_in_order(local):
    connection = http.client.HTTPConnection("127.0.0.1", local.port)
    connection.connect()
    one = b"GET /_weir/clock HTTP/1.1\r\nHost: x\r\n\r\n"
    two = b"GET /_weir/nothing HTTP/1.1\r\nHost: x\r\n\r\n"
    last = b"POST /_weir/clock HTTP/1.1\r\nHost: x\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n" \
           b"5\r\n{\"adv\r\na;x=y\r\nance_ms\":1\r\n1\r\n}\r\n0\r\nx: y\r\n\r\n"
    connection.sock.sendall(one + two + last)
    text = b""
    deadline = Deadline(10)
    while not deadline.passed():
        piece = connection.sock.recv(65536)
        if not piece:
            break
        text += piece
    heads = [line for line in text.split(b"\r\n") if b"HTTP/1.1 " in line]
    assert [h[h.index(b"HTTP/1.1"):][9:12] for h in heads] == [b"200", b"404", b"200"]


def test_ready_line_port_file_and_end(tmp_path):
    with LocalAws(tmp_path) as endpoint:
        assert int((tmp_path / "port").read_text()) == endpoint.port
        assert endpoint.ready["auth"] == "off" and endpoint.ready["account"] == "000000000000"
    assert endpoint.process.returncode == 0


def test_unknown_operation(local):
    c = boto3.client("kinesis", endpoint_url=local.endpoint, region_name="us-east-1",
                     aws_access_key_id="local", aws_secret_access_key="local-secret",
                     config=Config(retries=ONCE))
    assert refused(c.list_queues) == "UnknownOperationException"
    with pytest.raises(ClientError, match="weir-local has no operation 'ListQueues' of kinesis"):
        c.list_queues()


def test_a_service_that_is_not_here_is_named_in_its_own_shape(local):
    for call, code, service in (
            (local.client("dynamodb", retries=ONCE).list_tables, "UnknownOperationException", "DynamoDB_20120810"),
            (local.client("sqs", retries=ONCE).list_queues, "UnknownOperationException", "AmazonSQS"),
            (local.client("ec2", retries=ONCE).describe_instances, "InvalidAction", "ec2"),
            (local.client("sns", retries=ONCE).list_topics, "InvalidAction", "sns")):
        with pytest.raises(ClientError) as error:
            call()
        answer = error.value.response
        assert answer["Error"]["Code"] == code and answer["ResponseMetadata"]["HTTPStatusCode"] == 400
        assert answer["Error"]["Message"].startswith(
            f"weir-local has no service '{service}' (operation '{error.value.operation_name}'); it has kinesis,")
        assert len(answer["ResponseMetadata"]["RequestId"]) == 36
    unsigned = urllib.request.Request(f"{local.endpoint}/?Action=ListUsers&Version=2010-05-08")
    with pytest.raises(urllib.error.HTTPError) as error:
        urllib.request.urlopen(unsigned, timeout=60)
    text = error.value.read().decode()
    assert error.value.code == 400 and "<Code>InvalidAction</Code>" in text and "ListUsers" in text, text
    entries = local.admin("GET", "journal")["requests"]
    assert [e["service"] for e in entries[-5:]] == ["unknown"] * 5


def test_a_scope_of_another_region_is_refused(local):
    c = boto3.client("kinesis", endpoint_url=local.endpoint, region_name="eu-west-1", aws_access_key_id="local",
                     aws_secret_access_key="local-secret", config=Config(retries=ONCE))
    with pytest.raises(ClientError) as error:
        c.list_streams()
    assert error.value.response["Error"]["Code"] == "InvalidSignatureException"
    assert "Credential should be scoped to a valid region, not 'eu-west-1'." in str(error.value)


def test_a_number_of_another_stream_of_the_name(local):
    c = local.client("kinesis")
    number = c.put_record(StreamName="two", Data=b"x", PartitionKey="k", ExplicitHashKey="0")["SequenceNumber"]
    local.admin("POST", "kinesis", {"limits": False})
    c.delete_stream(StreamName="two")
    wait_for(lambda: "two" not in c.list_streams()["StreamNames"], 60, "it is gone", interval=0.05)
    local.advance(10)
    c.create_stream(StreamName="two", ShardCount=2)
    wait_active(c, "two")
    where = {"StreamName": "two", "ShardIteratorType": "AFTER_SEQUENCE_NUMBER", "StartingSequenceNumber": number}
    with pytest.raises(ClientError, match="InvalidArgument.*of another stream of the name two"):
        c.get_shard_iterator(ShardId="shardId-000000000000", **where)
    with pytest.raises(ClientError, match="It encodes shardId-000000000000, while .* shardId-000000000001"):
        c.get_shard_iterator(ShardId="shardId-000000000001", **where)


# ---- CBOR ----

def cbor(value):
    """Enough of RFC 8949 to ask: maps, lists, text, bytes, integers, times as milliseconds."""
    def head(kind, n):
        for size, code in ((24, 0), (2**8, 24), (2**16, 25), (2**32, 26)):
            if n < size:
                return bytes([kind << 5 | (code or n)]) + (n.to_bytes(1 << (code - 24), "big") if code else b"")
        return bytes([kind << 5 | 27]) + n.to_bytes(8, "big")
    if isinstance(value, dict):
        return head(5, len(value)) + b"".join(cbor(k) + cbor(v) for k, v in value.items())
    if isinstance(value, list):
        return head(4, len(value)) + b"".join(map(cbor, value))
    if isinstance(value, str):
        return head(3, len(value.encode())) + value.encode()
    if isinstance(value, bytes):
        return head(2, len(value)) + value
    return head(0, value)


def from_cbor(data):
    def item(at):
        first, at = data[at], at + 1
        kind, n, open_ended = first >> 5, first & 31, False
        if kind == 7:
            return {20: False, 21: True, 22: None}[n], at
        if n == 31:
            open_ended = True
        elif n >= 24:
            size = 1 << (n - 24)
            n, at = int.from_bytes(data[at:at + size], "big"), at + size
        if kind == 0:
            return n, at
        if kind in (2, 3):
            text = data[at:at + n]
            return (text if kind == 2 else text.decode()), at + n
        if kind == 6:
            value, at = item(at)
            return ("tag", n, value), at
        found, count = [], 0
        while (data[at] != 0xff) if open_ended else count < n * (kind - 3):
            value, at = item(at)
            found.append(value)
            count += 1
        at += open_ended
        return (found if kind == 4 else dict(zip(found[::2], found[1::2]))), at
    value, end = item(0)
    assert end == len(data)
    return value


def ask_cbor(local, operation, body):
    request = urllib.request.Request(local.endpoint, data=cbor(body), headers={
        "X-Amz-Target": f"Kinesis_20131202.{operation}", "Content-Type": "application/x-amz-cbor-1.1"})
    with urllib.request.urlopen(request, timeout=10) as answer:
        assert answer.headers["Content-Type"] == "application/x-amz-cbor-1.1"
        text = answer.read()
        return from_cbor(text) if text else None


def test_cbor(tmp_path):
    with LocalAws(tmp_path, "--stream", "one:1") as local:
        data = bytes(range(256)) * 3
        put = ask_cbor(local, "PutRecords", {"StreamName": "one", "Records": [
            {"Data": data, "PartitionKey": "a \"quoted\" \u65e5"}, {"Data": b"", "PartitionKey": "k"}]})
        assert put["FailedRecordCount"] == 0
        at = ask_cbor(local, "GetShardIterator", {"StreamName": "one", "ShardId": "shardId-000000000000",
                                                  "ShardIteratorType": "TRIM_HORIZON"})["ShardIterator"]
        answer = ask_cbor(local, "GetRecords", {"ShardIterator": at, "Limit": 10})
        assert [(r["Data"], r["PartitionKey"]) for r in answer["Records"]] == [
            (data, "a \"quoted\" \u65e5"), (b"", "k")]
        assert [r["SequenceNumber"] for r in answer["Records"]] == [
            r["SequenceNumber"] for r in put["Records"]]
        kind, tag, ms = answer["Records"][0]["ApproximateArrivalTimestamp"]
        assert (kind, tag) == ("tag", 1) and abs(ms / 1000 - time.time()) < 60
        # What came as CBOR is read as JSON, and the other way round.
        records, _ = read_shard(local.client("kinesis"), "one", "shardId-000000000000")
        assert records[0]["Data"] == data
        # A record says whether the stream was encrypted when it came.
        assert "EncryptionType" not in answer["Records"][0]
        local.client("kinesis").start_stream_encryption(StreamName="one", EncryptionType="KMS", KeyId="k")
        wait_active(local.client("kinesis"), "one")
        at = ask_cbor(local, "GetShardIterator", {"StreamName": "one", "ShardId": "shardId-000000000000",
                                                  "ShardIteratorType": "TRIM_HORIZON"})["ShardIterator"]
        again = ask_cbor(local, "GetRecords", {"ShardIterator": at, "Limit": 10})
        assert again["Records"] == answer["Records"]
        with pytest.raises(urllib.error.HTTPError) as error:
            ask_cbor(local, "GetRecords", {"ShardIterator": "none"})
        assert from_cbor(error.value.read())["__type"] == "InvalidArgumentException"
