"""weir-local's Kinesis as an account: its limits, its settings, policies, what it offers."""

import json
import pathlib
import re
import urllib.request

import pytest

from kinesis_requests import commit, consumer, local, refused, settings, shards, summary, wait_active
from local import ONCE, LocalAws


# ---- what there is ----

def test_every_operation_but_those_named_as_not_offered(tmp_path):
    """botocore's model is the list of operations; the README names those that are not offered."""
    text = (pathlib.Path(__file__).parents[2] / "tools/local-aws/kinesis/README.md").read_text()
    paragraph = text[text.index("**Not offered**"):].split("\n\n")[0]
    named = set(re.findall(r"`([A-Z][A-Za-z]+)`", paragraph))

    def is_known(local, operation):
        request = urllib.request.Request(local.endpoint, data=b"{}", headers={
            "X-Amz-Target": f"Kinesis_20131202.{operation}", "Content-Type": "application/x-amz-json-1.1"})
        try:
            urllib.request.urlopen(request, timeout=30).read()
            return True
        except urllib.error.HTTPError as error:
            return json.load(error)["__type"] != "UnknownOperationException"

    with LocalAws(tmp_path) as local:
        every = set(local.client("kinesis").meta.service_model.operation_names)
        assert len(named) > 10 and named < every
        assert {o for o in every if not is_known(local, o)} == named
        assert not is_known(local, "MadeUp")


# ---- limits ----

def test_shards_of_the_account(local):
    once = local.client("kinesis", retries=ONCE)
    limits = once.describe_limits()
    assert (limits["ShardLimit"], limits["OpenShardCount"], limits["OnDemandStreamCountLimit"]) == (500, 3, 50)
    # What the command line made (three shards) does not count.
    assert refused(once.create_stream, StreamName="many", ShardCount=501) == "LimitExceededException"
    once.create_stream(StreamName="many", ShardCount=500)
    assert refused(once.create_stream, StreamName="more", ShardCount=1) == "LimitExceededException"
    wait_active(once, "many")
    local.advance(seconds=2)
    for call, arguments in [(once.split_shard, {"ShardToSplit": "shardId-000000000000", "NewStartingHashKey": "7"}),
                            (once.update_shard_count, {"TargetShardCount": 501, "ScalingType": "UNIFORM_SCALING"})]:
        assert refused(call, StreamName="many", **arguments) == "LimitExceededException"
        assert summary(once, "many")["StreamStatus"] == "ACTIVE"
    # Streams of the command line are not held to the limit.
    once.split_shard(StreamName="one", ShardToSplit="shardId-000000000000", NewStartingHashKey="7")
    once.update_shard_count(StreamName="two", TargetShardCount=4, ScalingType="UNIFORM_SCALING")

    assert local.admin("POST", "kinesis", {"account_shards": 501})["account_shards"] == 501
    local.advance(seconds=2)
    assert once.describe_limits()["ShardLimit"] == 501
    once.split_shard(StreamName="many", ShardToSplit="shardId-000000000000", NewStartingHashKey="7")
    # A split that goes on is counted already.
    assert refused(once.create_stream, StreamName="more", ShardCount=1) == "LimitExceededException"
    with pytest.raises(urllib.error.HTTPError) as error:
        local.admin("POST", "kinesis", {"account_shards": 0})
    assert "account_shards" in json.load(error.value)["error"]
    # Fewer shards are never refused, and give way to others.
    wait_active(once, "many")
    once.update_shard_count(StreamName="many", TargetShardCount=400, ScalingType="UNIFORM_SCALING")
    wait_active(once, "many")
    local.advance(seconds=2)
    once.create_stream(StreamName="more", ShardCount=101)


def test_a_stream_of_the_command_line_beyond_the_limit(tmp_path):
    with LocalAws(tmp_path, "--stream", "large:1000") as local:
        c = local.client("kinesis", retries=ONCE)
        limits = c.describe_limits()
        assert (limits["ShardLimit"], limits["OpenShardCount"]) == (500, 1000)
        c.create_stream(StreamName="s", ShardCount=500)
        c.update_shard_count(StreamName="large", TargetShardCount=1001, ScalingType="UNIFORM_SCALING")


def test_fifty_streams_on_demand(local):
    once, on_demand = local.client("kinesis", retries=ONCE), {"StreamMode": "ON_DEMAND"}
    local.admin("POST", "kinesis", {"limits": False})
    for i in range(50):
        once.create_stream(StreamName=f"od-{i}", StreamModeDetails=on_demand)
    wait_active(once, "od-49")
    local.admin("POST", "kinesis", {"limits": True})
    assert refused(once.create_stream, StreamName="another", StreamModeDetails=on_demand) == "LimitExceededException"
    assert refused(once.update_stream_mode, StreamARN=summary(once, "one")["StreamARN"],
                   StreamModeDetails=on_demand) == "LimitExceededException"
    assert once.describe_limits()["OnDemandStreamCount"] == 50
    # Their shards count as soon as they are provisioned.
    local.admin("POST", "kinesis", {"account_shards": 7})
    provisioned = {"StreamModeDetails": {"StreamMode": "PROVISIONED"}}
    arn = summary(once, "od-0")["StreamARN"]
    once.create_stream(StreamName="four", ShardCount=4)
    assert refused(once.update_stream_mode, StreamARN=arn, **provisioned) == "LimitExceededException"
    local.admin("POST", "kinesis", {"account_shards": 8})
    once.update_stream_mode(StreamARN=arn, **provisioned)


def test_a_stream_on_demand_grows_to_its_ceiling(local):
    c = local.client("kinesis", retries=ONCE)
    commit(c)
    c.create_stream(StreamName="od", StreamModeDetails={"StreamMode": "ON_DEMAND"}, WarmThroughputMiBps=10_000)
    wait_active(c, "od")
    for _ in range(2):
        local.advance(seconds=900)
        assert c.put_records(StreamName="od", Records=[{"Data": bytes(700_000), "PartitionKey": "k"}] * 2)[
            "FailedRecordCount"] == 1
        wait_active(c, "od")
        assert summary(c, "od")["OpenShardCount"] == 10_240


# ---- settings ----

def test_the_billing_commitment(local):
    c = local.client("kinesis")
    assert settings(c) == {"Status": "DISABLED"}
    on = commit(c)
    assert on["Status"] == "ENABLED" and "EndedAt" not in on
    assert (on["EarliestAllowedEndAt"] - on["StartedAt"]).total_seconds() == 24 * 3600
    local.advance(seconds=3600)
    assert commit(c, "DISABLED") == {**on, "Status": "ENABLED_UNTIL_EARLIEST_ALLOWED_END"}
    assert commit(c) == on  # called off
    commit(c, "DISABLED")
    local.advance(seconds=24 * 3600)
    off = settings(c)
    assert off == {"Status": "DISABLED", "StartedAt": on["StartedAt"], "EndedAt": on["EarliestAllowedEndAt"]}
    assert commit(c, "DISABLED") == off
    assert commit(c)["StartedAt"] > off["EndedAt"]
    local.advance(seconds=24 * 3600)
    assert commit(c, "DISABLED")["Status"] == "DISABLED"  # at once, the day is over
    assert refused(c.update_account_settings, MinimumThroughputBillingCommitment={
        "Status": "MAYBE"}) == "ValidationException"


def test_warm_throughput(local):
    c, on_demand = local.client("kinesis"), {"StreamMode": "ON_DEMAND"}
    once = local.client("kinesis", retries=ONCE)
    warm = {"StreamName": "od", "StreamModeDetails": on_demand, "WarmThroughputMiBps": 10}
    assert refused(c.create_stream, **warm) == "ValidationException"  # no commitment
    commit(c)
    assert refused(c.create_stream, StreamName="p", ShardCount=1, WarmThroughputMiBps=10) == "ValidationException"
    c.create_stream(**warm)
    wait_active(c, "od")
    assert summary(c, "od")["WarmThroughput"] == {"TargetMiBps": 10, "CurrentMiBps": 10}
    assert len(shards(c, "od")) == 10
    assert "WarmThroughput" not in summary(c, "one")

    answer = c.update_stream_warm_throughput(StreamName="od", WarmThroughputMiBps=25)
    assert answer["StreamARN"] == summary(c, "od")["StreamARN"] and answer["StreamName"] == "od"
    assert answer["WarmThroughput"] == {"TargetMiBps": 25, "CurrentMiBps": 10}
    wait_active(c, "od")
    assert summary(c, "od")["WarmThroughput"] == {"TargetMiBps": 25, "CurrentMiBps": 25}
    c.update_stream_warm_throughput(StreamARN=answer["StreamARN"], WarmThroughputMiBps=0)
    wait_active(c, "od")
    assert summary(c, "od")["WarmThroughput"] == {"TargetMiBps": 0, "CurrentMiBps": 4}
    local.advance(seconds=2)
    assert refused(once.update_stream_warm_throughput, StreamName="od",
                   WarmThroughputMiBps=10_241) == "LimitExceededException"
    assert refused(c.update_stream_warm_throughput, StreamName="one", WarmThroughputMiBps=1) == "ValidationException"
    c.update_stream_mode(StreamARN=summary(c, "two")["StreamARN"], StreamModeDetails=on_demand, WarmThroughputMiBps=6)
    wait_active(c, "two")
    assert summary(c, "two")["WarmThroughput"] == {"TargetMiBps": 6, "CurrentMiBps": 6}
    # What 10 GiB/s are made of: thousands of shards in few generations.
    c.update_stream_warm_throughput(StreamName="od", WarmThroughputMiBps=10_240)
    wait_active(c, "od")
    assert summary(c, "od")["OpenShardCount"] == 10_240
    page = c.list_shards(StreamName="od", ShardFilter={"Type": "AT_LATEST"})
    assert "NextToken" in page and len(page["Shards"]) == 1000
    # Told only as long as the account is committed.
    local.advance(seconds=24 * 3600)
    commit(c, "DISABLED")
    assert "WarmThroughput" not in summary(c, "od")
    assert refused(c.create_stream, StreamName="od2", ShardCount=1,
                   RecordDistributionStrategy="AUTO") == "ValidationException"


def test_resource_policies(local):
    c, arn, consumer_arn = consumer(local)
    policies = {a: json.dumps({"Version": "2012-10-17", "Statement": [
        {"Effect": "Allow", "Principal": {"AWS": "111122223333"}, "Action": "kinesis:*", "Resource": a,
         "Sid": "\u65e5 \"quoted\""}]}) for a in (arn, consumer_arn)}
    for a in policies:
        assert refused(c.get_resource_policy, ResourceARN=a) == "ResourceNotFoundException"
        assert refused(c.delete_resource_policy, ResourceARN=a) == "ResourceNotFoundException"
    for a, text in policies.items():
        c.put_resource_policy(ResourceARN=a, Policy="{\"Statement\": {\"Effect\": \"Deny\"}}")
        c.put_resource_policy(ResourceARN=a, Policy=text)
    for a, text in policies.items():
        assert c.get_resource_policy(ResourceARN=a)["Policy"] == text
    for bad in ("", "not JSON", "[]", "{}", "{\"Statement\": 3}"):
        assert refused(c.put_resource_policy, ResourceARN=arn, Policy=bad) == "InvalidArgumentException"
    c.delete_resource_policy(ResourceARN=arn)
    assert refused(c.get_resource_policy, ResourceARN=arn) == "ResourceNotFoundException"
    assert c.get_resource_policy(ResourceARN=consumer_arn)["Policy"] == policies[consumer_arn]
    for unknown in (arn + "x", arn.replace(":stream/", ":queue/"), consumer_arn[:-1]):
        assert refused(c.put_resource_policy, ResourceARN=unknown,
                       Policy=policies[arn]) == "ResourceNotFoundException"
    for bad in ("one", arn.replace(":stream/", ":table/"), arn.replace(":kinesis:", ":s3:"), arn + " x"):
        assert refused(c.get_resource_policy, ResourceARN=bad) == "ValidationException"
