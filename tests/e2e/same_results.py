"""The script of test_same_results.py, and what other servers do otherwise.

SCRIPTS[service](client, step): `step(name, function)` records what `function` returned, or the code
and status of its refusal. DIFFERENCES[(server, service)][name] says who is right and why.
"""

import base64
import json
import time
import zlib

from botocore.exceptions import ClientError

from processes import wait_for

ROLE = "arn:aws:iam::123456789012:role/reader"
TRUST = json.dumps({"Version": "2012-10-17", "Statement": []})


class Steps:
    def __init__(self):
        self.results = {}

    def __call__(self, name, function):
        assert name not in self.results, name
        try:
            result = function()
        except ClientError as error:
            code = error.response["Error"]["Code"]
            result = (error.response["ResponseMetadata"]["HTTPStatusCode"], code)
        except Exception as error:  # an answer that botocore or the step cannot read
            result = ("broken answer", type(error).__name__)
        if isinstance(result, dict) and "ResponseMetadata" in result:
            result = "accepted"
        self.results[name] = result
        return result


def run(service, client_of):
    step = Steps()
    SCRIPTS[service](client_of, step)
    return step.results


# ---- Kinesis ----

def active(c, name):
    def check():
        return c.describe_stream_summary(StreamName=name)["StreamDescriptionSummary"]["StreamStatus"] == "ACTIVE"
    wait_for(check, 60, f"{name} is active", interval=0.05)


def drain(c, stream, shard, kind="TRIM_HORIZON", **more):
    """Data of a shard to its end or to where it is up to date, and whether the shard ended."""
    it = c.get_shard_iterator(StreamName=stream, ShardId=shard, ShardIteratorType=kind, **more)["ShardIterator"]
    data = []
    for _ in range(50):
        answer = c.get_records(ShardIterator=it, Limit=1000)
        data += [r["Data"] for r in answer["Records"]]
        it = answer.get("NextShardIterator")
        if not it:
            return data, "end", sorted(s["ShardId"] for s in answer.get("ChildShards") or [])
        if not answer["Records"] and answer["MillisBehindLatest"] == 0:
            return data, "open", []
        time.sleep(0.21)  # five calls a second and shard
    raise AssertionError("a shard that does not come to its end")


def kinesis(client_of, step):
    c = client_of("kinesis")
    zero = "shardId-000000000000"
    step("create", lambda: c.create_stream(StreamName="s", ShardCount=1) and None)
    active(c, "s")
    step("create again", lambda: c.create_stream(StreamName="s", ShardCount=1))
    step("a name with a space", lambda: c.create_stream(StreamName="a b", ShardCount=1))
    step("no shards", lambda: c.create_stream(StreamName="t", ShardCount=0))

    def summary():
        d = c.describe_stream_summary(StreamName="s")["StreamDescriptionSummary"]
        return {k: d.get(k) for k in ("StreamName", "StreamStatus", "RetentionPeriodHours",
                                      "OpenShardCount", "EncryptionType", "ConsumerCount")}
    step("summary", summary)
    step("summary of none", lambda: c.describe_stream_summary(StreamName="none"))
    step("shards", lambda: [(s["ShardId"], s["HashKeyRange"]) for s in c.list_shards(StreamName="s")["Shards"]])

    step("put", lambda: c.put_record(StreamName="s", Data=b"1", PartitionKey="k")["ShardId"])
    step("put many", lambda: [
        (r["ShardId"], "SequenceNumber" in r)
        for r in c.put_records(StreamName="s", Records=[{"Data": b"%d" % i, "PartitionKey": f"k{i}"}
                                                       for i in range(2, 5)])["Records"]])
    step("put an empty record", lambda: c.put_record(StreamName="s", Data=b"", PartitionKey="k")["ShardId"])
    step("501 records", lambda: c.put_records(
        StreamName="s", Records=[{"Data": b"x", "PartitionKey": "k"}] * 501)["FailedRecordCount"])
    step("a record over 1 MiB", lambda: c.put_record(StreamName="s", Data=b"x" * 1048577, PartitionKey="k"))
    step("a key of 257 characters", lambda: c.put_record(StreamName="s", Data=b"x", PartitionKey="k" * 257))
    step("a hash key that is none", lambda: c.put_record(
        StreamName="s", Data=b"x", PartitionKey="k", ExplicitHashKey="-1"))
    step("put to none", lambda: c.put_record(StreamName="none", Data=b"x", PartitionKey="k"))
    step("read", lambda: [d for d in drain(c, "s", zero)[0] if len(d) < 2 and d != b"x"])
    step("read a shard that is none", lambda: drain(c, "s", "shardId-000000000009"))
    step("an iterator that is none", lambda: c.get_records(ShardIterator="AAAA")["Records"])
    step("a limit of 10001", lambda: c.get_records(ShardIterator="AAAA", Limit=10001)["Records"])
    step("at a number that is none", lambda: drain(c, "s", zero, "AT_SEQUENCE_NUMBER",
                                                   StartingSequenceNumber="abc"))
    step("latest", lambda: drain(c, "s", zero, "LATEST"))

    step("split", lambda: c.split_shard(StreamName="s", ShardToSplit=zero,
                                        NewStartingHashKey=str(1 << 127)) and None)
    active(c, "s")
    step("shards behind a split", lambda: [
        (s["ShardId"], s["HashKeyRange"], s.get("ParentShardId"),
         "EndingSequenceNumber" in s["SequenceNumberRange"]) for s in c.list_shards(StreamName="s")["Shards"]])
    step("split what is closed", lambda: c.split_shard(StreamName="s", ShardToSplit=zero,
                                                       NewStartingHashKey="5"))
    step("the parent to its end", lambda: drain(c, "s", zero)[1:])
    step("shards at trim horizon", lambda: [
        s["ShardId"] for s in c.list_shards(StreamName="s", ShardFilter={"Type": "AT_TRIM_HORIZON"})["Shards"]])
    step("shards at latest", lambda: [
        s["ShardId"] for s in c.list_shards(StreamName="s", ShardFilter={"Type": "AT_LATEST"})["Shards"]])
    step("shards behind the first", lambda: [
        s["ShardId"] for s in c.list_shards(StreamName="s", ExclusiveStartShardId=zero)["Shards"]])
    step("merge what does not touch", lambda: c.merge_shards(
        StreamName="s", ShardToMerge=zero, AdjacentShardToMerge="shardId-000000000002"))
    step("merge", lambda: c.merge_shards(StreamName="s", ShardToMerge="shardId-000000000001",
                                         AdjacentShardToMerge="shardId-000000000002") and None)
    active(c, "s")
    step("the merged shard", lambda: [
        (s.get("ParentShardId"), s.get("AdjacentParentShardId"), s["HashKeyRange"])
        for s in c.list_shards(StreamName="s")["Shards"] if s["ShardId"] == "shardId-000000000003"])

    arn = c.describe_stream_summary(StreamName="s")["StreamDescriptionSummary"]["StreamARN"]
    step("a consumer", lambda: c.register_stream_consumer(
        StreamARN=arn, ConsumerName="c")["Consumer"]["ConsumerStatus"])
    step("the same consumer", lambda: c.register_stream_consumer(StreamARN=arn, ConsumerName="c"))
    step("consumers", lambda: [k["ConsumerName"] for k in c.list_stream_consumers(StreamARN=arn)["Consumers"]])
    step("a consumer that is none", lambda: c.describe_stream_consumer(StreamARN=arn, ConsumerName="d"))
    step("less retention", lambda: c.decrease_stream_retention_period(StreamName="s", RetentionPeriodHours=23))
    step("more retention", lambda: c.increase_stream_retention_period(
        StreamName="s", RetentionPeriodHours=48) and summary()["RetentionPeriodHours"])
    step("tags", lambda: c.add_tags_to_stream(StreamName="s", Tags={"a": "1", "b": ""}) and sorted(
        (t["Key"], t.get("Value", "")) for t in c.list_tags_for_stream(StreamName="s")["Tags"]))
    active(c, "s")
    step("three times the shards", lambda: c.update_shard_count(
        StreamName="s", TargetShardCount=3, ScalingType="UNIFORM_SCALING"))
    step("streams", lambda: "s" in c.list_streams()["StreamNames"])
    step("delete", lambda: c.delete_stream(StreamName="s", EnforceConsumerDeletion=True) and None)


# ---- S3 ----

def s3(client_of, step):
    c = client_of("s3")

    def crc(data):
        return base64.b64encode(zlib.crc32(data).to_bytes(4, "big")).decode()

    def got(key, **more):
        r = c.get_object(Bucket="bbb", Key=key, **more)
        return r["Body"].read(), r["ContentType"], r["Metadata"], r.get("ContentRange"), r["ETag"]

    def listed(**more):
        r = c.list_objects_v2(Bucket="bbb", **more)
        return ([(o["Key"], o["Size"]) for o in r.get("Contents", [])],
                [p["Prefix"] for p in r.get("CommonPrefixes", [])], r["IsTruncated"], r["KeyCount"])

    step("a bucket", lambda: c.create_bucket(Bucket="bbb") and None)
    step("a bucket's name that is none", lambda: c.create_bucket(Bucket="A_B"))
    step("no such bucket", lambda: c.list_objects_v2(Bucket="no-such-bucket"))
    step("head of no bucket", lambda: c.head_bucket(Bucket="no-such-bucket"))
    step("put", lambda: c.put_object(Bucket="bbb", Key="a/1", Body=b"one", ContentType="text/x",
                                     Metadata={"m": "v"})["ETag"])
    step("get", lambda: got("a/1"))
    step("get none", lambda: got("none"))
    step("head none", lambda: c.head_object(Bucket="bbb", Key="none"))
    step("a range", lambda: got("a/1", Range="bytes=1-1")[::3])
    step("the last byte", lambda: got("a/1", Range="bytes=-1")[::3])
    step("behind the end", lambda: got("a/1", Range="bytes=3-"))
    step("if it is the same", lambda: got("a/1", IfMatch='"0"'))
    step("if it is another", lambda: got("a/1", IfNoneMatch=got("a/1")[4]))
    step("only if new", lambda: c.put_object(Bucket="bbb", Key="a/1", Body=b"two", IfNoneMatch="*"))
    step("only if it is that", lambda: c.put_object(Bucket="bbb", Key="a/1", Body=b"two", IfMatch='"0"'))
    step("only if it is there", lambda: c.put_object(Bucket="bbb", Key="absent", Body=b"two", IfMatch='"0"'))
    step("a wrong checksum", lambda: c.put_object(Bucket="bbb", Key="sum", Body=b"1", ChecksumCRC32=crc(b"2")))
    step("a wrong MD5", lambda: c.put_object(Bucket="bbb", Key="sum", Body=b"1",
                                             ContentMD5=base64.b64encode(bytes(16)).decode()))
    step("a checksum", lambda: c.put_object(Bucket="bbb", Key="sum", Body=b"1",
                                            ChecksumCRC32=crc(b"1"))["ChecksumCRC32"] == crc(b"1"))
    step("the checksum again", lambda: c.head_object(Bucket="bbb", Key="sum",
                                                     ChecksumMode="ENABLED").get("ChecksumCRC32") == crc(b"1"))
    for key in ("a/2", "a/b/3", "b", "ü", "a b+c"):
        c.put_object(Bucket="bbb", Key=key, Body=b"x")
    step("list", listed)
    step("list with a delimiter", lambda: listed(Prefix="a/", Delimiter="/"))
    step("a page", lambda: listed(MaxKeys=2))
    step("start after", lambda: listed(StartAfter="a/b/3"))
    step("the next page", lambda: listed(ContinuationToken=c.list_objects_v2(
        Bucket="bbb", MaxKeys=2)["NextContinuationToken"])[0][:1])
    step("copy", lambda: c.copy_object(Bucket="bbb", Key="copy", CopySource="bbb/a/1") and got("copy")[:3])
    step("copy none", lambda: c.copy_object(Bucket="bbb", Key="copy", CopySource="bbb/none"))
    step("tags", lambda: c.put_object_tagging(Bucket="bbb", Key="b", Tagging={
        "TagSet": [{"Key": "k", "Value": "v"}]}) and c.get_object_tagging(Bucket="bbb", Key="b")["TagSet"])
    step("delete many", lambda: sorted(d["Key"] for d in c.delete_objects(Bucket="bbb", Delete={
        "Objects": [{"Key": "b"}, {"Key": "never"}]})["Deleted"]))
    step("delete none", lambda: c.delete_object(Bucket="bbb", Key="none") and None)

    part = b"p" * (5 << 20)

    def upload(key):
        return c.create_multipart_upload(Bucket="bbb", Key=key)["UploadId"]

    def put_part(key, upload_id, number, body):
        return {"PartNumber": number, "ETag": c.upload_part(Bucket="bbb", Key=key, UploadId=upload_id,
                                                            PartNumber=number, Body=body)["ETag"]}

    def complete(key, upload_id, parts, **more):
        return c.complete_multipart_upload(Bucket="bbb", Key=key, UploadId=upload_id,
                                           MultipartUpload={"Parts": parts}, **more)
    u = upload("large")
    one, two = put_part("large", u, 1, part), put_part("large", u, 2, b"end")
    step("parts", lambda: [(p["PartNumber"], p["Size"]) for p in c.list_parts(
        Bucket="bbb", Key="large", UploadId=u)["Parts"]])
    step("uploads", lambda: [x["Key"] for x in c.list_multipart_uploads(Bucket="bbb")["Uploads"]])
    step("parts in no order", lambda: complete("large", u, [two, one]))
    step("a part that is none", lambda: complete("large", u, [one, {"PartNumber": 3, "ETag": one["ETag"]}]))
    step("complete", lambda: complete("large", u, [one, two])["ETag"])
    step("its size", lambda: c.head_object(Bucket="bbb", Key="large")["ContentLength"])
    step("no such upload", lambda: put_part("large", "none", 1, b"x"))
    s = upload("small")
    small = [put_part("small", s, 1, b"a"), put_part("small", s, 2, b"b")]
    step("a small part in front", lambda: complete("small", s, small))
    step("abort", lambda: c.abort_multipart_upload(Bucket="bbb", Key="small", UploadId=s) and None)
    step("abort again", lambda: c.abort_multipart_upload(Bucket="bbb", Key="small", UploadId=s) and None)
    n = upload("a/1")
    last = [put_part("a/1", n, 1, b"x")]
    step("complete only if new", lambda: complete("a/1", n, last, IfNoneMatch="*"))
    step("delete a bucket that holds something", lambda: c.delete_bucket(Bucket="bbb"))


# ---- the others ----

def sts(client_of, step):
    c = client_of("sts")
    step("identity", lambda: sorted(k for k in c.get_caller_identity() if k != "ResponseMetadata"))

    def role(**more):
        r = c.assume_role(RoleArn=ROLE, RoleSessionName="weir", **more)
        return (sorted(r["Credentials"]), r["AssumedRoleUser"]["Arn"], r["Credentials"]["AccessKeyId"][:4])
    step("a role", role)
    step("15 minutes", lambda: role(DurationSeconds=900))
    step("a session token", lambda: sorted(c.get_session_token()["Credentials"]))


def secretsmanager(client_of, step):
    c = client_of("secretsmanager")
    step("create", lambda: c.create_secret(Name="a/b", SecretString='{"user": "u"}')["Name"])
    step("create again", lambda: c.create_secret(Name="a/b", SecretString="x"))
    step("get", lambda: c.get_secret_value(SecretId="a/b")["SecretString"])
    step("get none", lambda: c.get_secret_value(SecretId="none"))
    step("put", lambda: c.put_secret_value(SecretId="a/b", SecretString="2")["VersionStages"])
    step("current", lambda: c.get_secret_value(SecretId="a/b")["SecretString"])
    step("previous", lambda: c.get_secret_value(SecretId="a/b", VersionStage="AWSPREVIOUS")["SecretString"])
    step("a stage that is none", lambda: c.get_secret_value(SecretId="a/b", VersionStage="NONE"))
    step("bytes", lambda: c.create_secret(Name="bytes", SecretBinary=b"\0\1") and
         c.get_secret_value(SecretId="bytes")["SecretBinary"])
    step("delete", lambda: c.delete_secret(SecretId="a/b", RecoveryWindowInDays=7)["Name"])
    step("get what is deleted", lambda: c.get_secret_value(SecretId="a/b"))


def firehose(client_of, step):
    client_of("s3").create_bucket(Bucket="landing")
    c = client_of("firehose")
    s3_to = {"RoleARN": ROLE, "BucketARN": "arn:aws:s3:::landing", "Prefix": "p/",
             "BufferingHints": {"SizeInMBs": 1, "IntervalInSeconds": 60}}
    step("create", lambda: c.create_delivery_stream(
        DeliveryStreamName="d", ExtendedS3DestinationConfiguration=s3_to)["DeliveryStreamARN"][-16:])
    wait_for(lambda: c.describe_delivery_stream(DeliveryStreamName="d")["DeliveryStreamDescription"]
             ["DeliveryStreamStatus"] == "ACTIVE", 60, "d is active")
    step("create again", lambda: c.create_delivery_stream(
        DeliveryStreamName="d", ExtendedS3DestinationConfiguration=s3_to))
    step("put", lambda: sorted(k for k in c.put_record(DeliveryStreamName="d", Record={"Data": b"1\n"})
                               if k == "RecordId"))
    step("put many", lambda: c.put_record_batch(
        DeliveryStreamName="d", Records=[{"Data": b"2\n"}, {"Data": b"3\n"}])["FailedPutCount"])
    step("501 records", lambda: c.put_record_batch(
        DeliveryStreamName="d", Records=[{"Data": b"x"}] * 501)["FailedPutCount"])
    step("a record over 1000 KiB", lambda: sorted(c.put_record(
        DeliveryStreamName="d", Record={"Data": b"x" * 1024001}))[:0])
    step("put to none", lambda: c.put_record(DeliveryStreamName="none", Record={"Data": b"1"}))
    step("streams", lambda: c.list_delivery_streams()["DeliveryStreamNames"])


def glue(client_of, step):
    c = client_of("glue")
    schema = '{"type":"record","name":"U","fields":[{"name":"a","type":"string"}]}'
    more = schema.replace("]}", ',{"name":"b","type":"int","default":0}]}')
    step("a registry", lambda: c.create_registry(RegistryName="r")["RegistryName"])
    step("the same registry", lambda: c.create_registry(RegistryName="r"))
    step("a schema", lambda: c.create_schema(
        RegistryId={"RegistryName": "r"}, SchemaName="u", DataFormat="AVRO", Compatibility="BACKWARD",
        SchemaDefinition=schema)["SchemaVersionStatus"])
    by = {"RegistryName": "r", "SchemaName": "u"}
    step("the same schema", lambda: c.create_schema(
        RegistryId={"RegistryName": "r"}, SchemaName="u", DataFormat="AVRO", Compatibility="BACKWARD",
        SchemaDefinition=schema))
    step("a version", lambda: c.register_schema_version(SchemaId=by, SchemaDefinition=more)["VersionNumber"])
    step("the same version", lambda: c.register_schema_version(SchemaId=by, SchemaDefinition=more)["VersionNumber"])
    step("by definition", lambda: c.get_schema_by_definition(SchemaId=by, SchemaDefinition=schema)["Status"])
    step("by a definition that is none", lambda: c.get_schema_by_definition(
        SchemaId=by, SchemaDefinition=schema.replace('"a"', '"z"')))
    step("the latest", lambda: c.get_schema_version(
        SchemaId=by, SchemaVersionNumber={"LatestVersion": True})["VersionNumber"])
    step("a version that is none", lambda: c.get_schema_version(
        SchemaId=by, SchemaVersionNumber={"VersionNumber": 9}))
    step("a schema that is none", lambda: c.get_schema(SchemaId={**by, "SchemaName": "none"}))
    step("a definition that is no JSON", lambda: c.register_schema_version(SchemaId=by, SchemaDefinition="{"))
    step("schemas", lambda: [s["SchemaName"] for s in c.list_schemas(
        RegistryId={"RegistryName": "r"})["Schemas"]])
    step("registries", lambda: sorted(r["RegistryName"] for r in c.list_registries()["Registries"])[-1:])


SCRIPTS = {"kinesis": kinesis, "s3": s3, "sts": sts, "secretsmanager": secretsmanager, "firehose": firehose,
           "glue": glue}


# ---- who answers otherwise: (server, service) -> step -> why weir-local is right ----

MODEL = "a limit of the service's model: ValidationException"
DIFFERENCES = {
    ("moto", "kinesis"): {
        "a name with a space": "names are of [a-zA-Z0-9_.-]; " + MODEL,
        "no shards": "the least ShardCount is 1; " + MODEL,
        "summary": "ConsumerCount is there from the beginning",
        "a record over 1 MiB": "a record is at most 1 MiB unless the stream's limit was raised",
        "a key of 257 characters": MODEL,
        "a hash key that is none": "a refused argument, no failure of the service",
        "an iterator that is none": "a refused argument, no failure of the service",
        "a limit of 10001": "a refused argument, no failure of the service",
        "at a number that is none": "a refused argument, no failure of the service",
        "the parent to its end": "a closed shard that is read ends without an iterator and names its children",
        "shards at trim horizon": "only shards that were open at the trim horizon",
        "shards at latest": "only shards that are open",
        "shards behind the first": "ExclusiveStartShardId leaves out that shard and those before it",
        "a consumer": "a consumer is CREATING before it is ACTIVE",
        "the same consumer": "a registered name is in use",
        "consumers": "a registered name is in use",
        "three times the shards": "at most double the open shards",
    },
    ("kinesis-local", "kinesis"): {
        "a name with a space": "names are of [a-zA-Z0-9_.-]; " + MODEL,
        "no shards": "the least ShardCount is 1; " + MODEL,
        "501 records": "a request holds at most 500 records; " + MODEL,
        "a key of 257 characters": MODEL,
        "an iterator that is none": "a refused argument, no failure of the service",
        "a limit of 10001": "a refused argument, no failure of the service",
        "split what is closed": "a shard that was split is no argument; in use is a stream that changes",
        "shards at trim horizon": "only shards that were open at the trim horizon",
        "merge what does not touch": "a shard that was split is no argument; in use is a stream that changes",
        "three times the shards": "more than double the open shards is a limit that is exceeded",
    },
    ("moto", "s3"): {
        "a bucket's name that is none": "names are of lower-case letters, digits, dots and hyphens",
        "a wrong checksum": "a checksum that is sent is verified",
        "a wrong MD5": "a checksum that is sent is verified",
        "a checksum": "a checksum that is sent is in the answer",
        "the checksum again": "a checksum that is sent is kept",
        "parts in no order": "the order is looked at before the sizes",
        "no such upload": "an upload that is none is NoSuchUpload",
    },
    ("versitygw", "s3"): {
        "parts in no order": "the order is looked at before the sizes",
    },
    ("moto", "secretsmanager"): {
        "get none": "the errors of AWS's JSON protocol have status 400",
        "a stage that is none": "the errors of AWS's JSON protocol have status 400",
    },
    ("moto", "glue"): {
        "schemas": "ListSchemas is there",
    },
    ("moto", "sts"): {},
    ("moto", "firehose"): {
        "501 records": "a request holds at most 500 records; " + MODEL,
        "a record over 1000 KiB": MODEL,
    },
}


def table():
    """The differences as README.md shows them."""
    lines = ["| server | service | step | who is right |", "|---|---|---|---|"]
    for (server, service), steps in DIFFERENCES.items():
        lines += [f"| {server} | {service} | {step} | weir-local: {why} |" for step, why in steps.items()]
    return "\n".join(lines) + "\n"
