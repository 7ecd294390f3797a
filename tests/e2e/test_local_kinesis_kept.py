"""weir-local's Kinesis over a restart: what is kept, what ends, what is refused."""

import pytest

from kinesis_requests import (MAX_HASH, Subscription, commit, iterator, read_shard, refused, settings, shards,
                              summary, wait_active)
from local import ONCE, LocalAws
from processes import wait_for


def kept(tmp_path, run, *options):
    """weir-local with what the run before left in the folder."""
    folder = tmp_path / f"run-{run}"
    folder.mkdir()
    return LocalAws(folder, "--auth", "verify", "--dir", tmp_path / "kept", *options)


def told(c, stream):
    """All that the service says about a stream."""
    summary = c.describe_stream_summary(StreamName=stream)["StreamDescriptionSummary"]
    consumers = c.list_stream_consumers(StreamARN=summary["StreamARN"])["Consumers"]
    return [summary, shards(c, stream), c.list_tags_for_stream(StreamName=stream)["Tags"], consumers,
            [c.list_tags_for_resource(ResourceARN=x["ConsumerARN"])["Tags"] for x in consumers]]


def everything(local, c, stream):
    """Every record of every shard, as GetRecords gives it."""
    local.advance(seconds=2)
    return {s["ShardId"]: read_shard(c, stream, s["ShardId"])[0] for s in shards(c, stream)}


def test_a_restart_goes_on_where_it_was(tmp_path):
    with kept(tmp_path, 1, "--stream", "two:2", "--stream", "plain:1") as local:
        c = local.client("kinesis")
        for i in range(30):
            c.put_record(StreamName="two", Data=bytes([i]) * (i * 9), PartitionKey=f"key \"{i}\" \u65e5\n")
        c.start_stream_encryption(StreamName="two", EncryptionType="KMS", KeyId="alias/some")
        wait_active(c, "two")
        c.put_record(StreamName="two", Data=b"encrypted", PartitionKey="k", ExplicitHashKey="0")
        c.split_shard(StreamName="two", ShardToSplit="shardId-000000000000", NewStartingHashKey="77")
        wait_active(c, "two")
        c.put_record(StreamName="two", Data=b"child", PartitionKey="k", ExplicitHashKey="0")
        c.merge_shards(StreamName="two", ShardToMerge="shardId-000000000003",
                       AdjacentShardToMerge="shardId-000000000001")
        wait_active(c, "two")
        c.put_record(StreamName="two", Data=b"merged", PartitionKey="k", ExplicitHashKey=str(MAX_HASH))
        c.increase_stream_retention_period(StreamName="two", RetentionPeriodHours=48)
        wait_active(c, "two")
        c.add_tags_to_stream(StreamName="two", Tags={"a": "1", "b": "\u65e5"})
        arn = c.describe_stream_summary(StreamName="two")["StreamDescriptionSummary"]["StreamARN"]
        app = c.register_stream_consumer(StreamARN=arn, ConsumerName="app", Tags={"t": "v"})["Consumer"]
        c.update_max_record_size(StreamARN=arn, MaxRecordSizeInKiB=2048)
        wait_active(c, "two")
        local.advance(seconds=1)
        before, records = told(c, "two"), everything(local, c, "two")
        assert sum(map(len, records.values())) == 33
        at = iterator(c, "two", "shardId-000000000004")
        last = records["shardId-000000000002"][-1]["SequenceNumber"]

    # The stream of the command line is there already, and keeps its shards.
    with kept(tmp_path, 2, "--stream", "two:7", "--stream", "new:1") as local:
        c = local.client("kinesis")
        assert c.list_streams()["StreamNames"] == ["new", "plain", "two"]
        assert told(c, "two") == before
        assert everything(local, c, "two") == records
        # An iterator and numbers from before are good; new numbers are greater.
        assert c.get_records(ShardIterator=at)["Records"] == records["shardId-000000000004"]
        made = c.put_record(StreamName="two", Data=b"later", PartitionKey="k", ExplicitHashKey="0")
        assert made["ShardId"] == "shardId-000000000002" and int(made["SequenceNumber"]) > int(last)
        rest, _ = read_shard(c, "two", "shardId-000000000002", "AFTER_SEQUENCE_NUMBER",
                             StartingSequenceNumber=last)
        assert [(r["Data"], r["SequenceNumber"]) for r in rest] == [(b"later", made["SequenceNumber"])]
        s = Subscription(c, app["ConsumerARN"], "shardId-000000000002", Type="AFTER_SEQUENCE_NUMBER",
                         SequenceNumber=last)
        wait_for(lambda: s.records() == [b"later"], 30, "the record behind the number")
        local.advance(seconds=2)
        _, answer = read_shard(c, "two", "shardId-000000000003")
        assert [x["ShardId"] for x in answer["ChildShards"]] == ["shardId-000000000004"]
        c.split_shard(StreamName="two", ShardToSplit="shardId-000000000004",
                      NewStartingHashKey=str(MAX_HASH))
        wait_active(c, "two")
        assert shards(c, "two")[-1]["ShardId"] == "shardId-000000000006"


def test_a_restart_in_the_middle_of_a_change_ends_it(tmp_path):
    with kept(tmp_path, 1, "--stream", "one:1", "--stream", "gone:1") as local:
        c = local.client("kinesis")
        c.split_shard(StreamName="one", ShardToSplit="shardId-000000000000", NewStartingHashKey="5")
        c.delete_stream(StreamName="gone")
        c.create_stream(StreamName="made", ShardCount=2)
    with kept(tmp_path, 2) as local:
        c = local.client("kinesis")
        wait_active(c, "one")
        wait_active(c, "made")
        assert len(shards(c, "one")) == 3 and len(shards(c, "made")) == 2
        wait_for(lambda: "gone" not in c.list_streams()["StreamNames"], 30, "the deletion", interval=0.3)


def test_a_restart_keeps_the_account_policies_and_warm_throughput(tmp_path):
    policy = "{\"Statement\": [{\"Effect\": \"Allow\"}]}"
    with kept(tmp_path, 1, "--stream", "given:3") as local:
        c = local.client("kinesis")
        commit(c)
        c.create_stream(StreamName="od", StreamModeDetails={"StreamMode": "ON_DEMAND"}, WarmThroughputMiBps=9)
        c.create_stream(StreamName="made", ShardCount=2)
        wait_active(c, "od")
        wait_active(c, "made")
        c.put_records(StreamName="od", Records=[{"Data": bytes(700_000), "PartitionKey": "k"}] * 2)
        wait_active(c, "od")
        arn = summary(c, "od")["StreamARN"]
        app = c.register_stream_consumer(StreamARN=arn, ConsumerName="app")["Consumer"]["ConsumerARN"]
        for a in (arn, app):
            c.put_resource_policy(ResourceARN=a, Policy=policy)
        before = settings(c), summary(c, "od")
        assert before[1]["OpenShardCount"] == 18
    with kept(tmp_path, 2) as local:
        c, once = local.client("kinesis"), local.client("kinesis", retries=ONCE)
        assert (settings(c), summary(c, "od")) == before
        assert before[1]["WarmThroughput"] == {"TargetMiBps": 9, "CurrentMiBps": 18}
        for a in (arn, app):
            assert c.get_resource_policy(ResourceARN=a)["Policy"] == policy
        # It grew a moment ago, and only what CreateStream made counts.
        local.advance(seconds=2)
        c.put_records(StreamName="od", Records=[{"Data": bytes(700_000), "PartitionKey": "k"}] * 2)
        assert summary(c, "od")["StreamStatus"] == "ACTIVE"
        local.admin("POST", "kinesis", {"account_shards": 3})
        assert refused(once.create_stream, StreamName="new", ShardCount=2) == "LimitExceededException"
        c.create_stream(StreamName="new", ShardCount=1)


def test_the_clock_does_not_go_back_behind_what_is_kept(tmp_path):
    with kept(tmp_path, 1, "--stream", "one:1") as local:
        c = local.client("kinesis")
        local.advance(seconds=7200)
        arn = c.describe_stream_summary(StreamName="one")["StreamDescriptionSummary"]["StreamARN"]
        c.register_stream_consumer(StreamARN=arn, ConsumerName="app")
        local.advance(seconds=1)
        then = local.now()
    with kept(tmp_path, 2) as local:
        assert local.now() >= then
        c = local.client("kinesis")
        assert c.describe_stream_consumer(StreamARN=arn, ConsumerName="app")["ConsumerDescription"][
            "ConsumerStatus"] == "ACTIVE"


def test_a_damaged_state_is_refused(tmp_path):
    with kept(tmp_path, 1, "--stream", "one:2") as local:
        c = local.client("kinesis")
        c.put_records(StreamName="one", Records=[{"Data": b"data", "PartitionKey": "k"}] * 3)
        c.add_tags_to_stream(StreamName="one", Tags={"a": "1"})
    path = tmp_path / "kept" / "kinesis.state"
    whole = path.read_bytes()

    def said(number, text):
        path.write_bytes(text)
        with pytest.raises(RuntimeError) as error:
            kept(tmp_path, number)
        return str(error.value)

    flips = [whole[:at] + bytes([whole[at] ^ 1 << at % 8]) + whole[at + 1:] for at in range(0, len(whole), 29)]
    flips.append(whole[:-1] + bytes([whole[-1] ^ 128]))
    for number, text in enumerate([whole[:-1], whole[1:], whole + b"x", b"", b"another file\n", *flips], start=2):
        words = said(number, text)
        assert "kinesis.state" in words and "it is damaged; move the file away" in words, (number, words)
    path.write_bytes(whole)  # and nothing but the damage was the reason
    with kept(tmp_path, 1000) as local:
        assert local.client("kinesis").list_streams()["StreamNames"] == ["one"]
