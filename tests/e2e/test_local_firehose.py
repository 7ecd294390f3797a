"""weir-local's Firehose, as boto3 sees it: operations, limits, errors, and what arrives in S3."""

import gzip
import json
import re
import time
from datetime import datetime, timezone

import pytest
from botocore.exceptions import ClientError

from local import ONCE, LocalAws, code, refused
from processes import wait_for

ROLE = "arn:aws:iam::000000000000:role/firehose"
BUCKET = "arn:aws:s3:::bucket"
UUID = r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}"


class Stand:
    """An endpoint without rates, unless a test turns them on, and its clients."""

    def __init__(self, local, limits=False):
        self.local = local
        self.firehose = local.client("firehose", retries=ONCE)
        self.s3 = local.client("s3", retries=ONCE)
        self.admin(limits=limits)

    def admin(self, **values):
        return self.local.admin("POST", "firehose", values)

    def state(self, stream):
        return self.admin(stream=stream)["streams"][0]

    def create(self, name="stream", wait=True, **more):
        config = {"RoleARN": ROLE, "BucketARN": BUCKET, **more}
        arn = self.firehose.create_delivery_stream(
            DeliveryStreamName=name, ExtendedS3DestinationConfiguration=config)["DeliveryStreamARN"]
        if wait:
            self.local.advance(1)
        return arn

    def describe(self, name="stream"):
        return self.firehose.describe_delivery_stream(DeliveryStreamName=name)["DeliveryStreamDescription"]

    def put(self, *records, name="stream"):
        answer = self.firehose.put_record_batch(DeliveryStreamName=name,
                                                Records=[{"Data": r} for r in records])
        assert answer["FailedPutCount"] == 0
        return answer

    def objects(self, bucket="bucket"):
        """[(name, bytes)] in the order of delivery."""
        keys = [d["key"] for d in self.admin()["delivered"] if d["bucket"] == bucket]
        listed = {o["Key"] for page in self.s3.get_paginator("list_objects_v2").paginate(Bucket=bucket)
                  for o in page.get("Contents", [])}
        assert listed == set(keys) and len(keys) == len(listed)
        return [(key, self.s3.get_object(Bucket=bucket, Key=key)["Body"].read()) for key in keys]

    def delivered(self, count, bucket="bucket"):
        wait_for(lambda: len(self.objects(bucket)) >= count, 60, f"{count} objects are delivered",
                 interval=0.02)
        objects = self.objects(bucket)
        assert len(objects) == count
        return objects


@pytest.fixture
def stand(tmp_path):
    with LocalAws(tmp_path, "--auth", "verify", "--bucket", "bucket") as local:
        yield Stand(local)


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    with LocalAws(tmp_path_factory.mktemp("firehose"), "--auth", "verify", "--bucket", "bucket",
                  "--delivery-stream", "ready=bucket/ready/") as local:
        yield Stand(local)


# ---- delivery ----

def test_records_are_concatenated_as_they_are(stand):
    stand.create(BufferingHints={"SizeInMBs": 1, "IntervalInSeconds": 60})
    records = [bytes([i]) * (i * 37 % 500) for i in range(256)] + [b"", b"\n", "日本".encode()]
    answer = stand.put(*records[:200])
    ids = [r["RecordId"] for r in answer["RequestResponses"]]
    assert len(set(ids)) == 200 and all(re.fullmatch(r"[A-Za-z0-9+/]{224}", i) for i in ids)
    assert answer["Encrypted"] is False
    for record in records[200:]:
        one = stand.firehose.put_record(DeliveryStreamName="stream", Record={"Data": record})
        assert one["RecordId"] not in ids and one["Encrypted"] is False
    state = stand.state("stream")
    assert (state["kept_records"], state["kept_bytes"]) == (len(records), sum(map(len, records)))
    assert stand.objects() == []
    stand.local.advance(60)
    (key, content), = stand.delivered(1)
    assert content == b"".join(records)
    assert re.fullmatch(rf"\d{{4}}/\d\d/\d\d/\d\d/stream-1-(\d{{4}})-(\d\d)-(\d\d)-(\d\d)-(\d\d)-(\d\d)-{UUID}", key)
    # The name tells when the oldest record came, in the services' time.
    stamp = re.search(r"stream-1-([\d-]{19})", key).group(1)
    at = datetime.strptime(stamp, "%Y-%m-%d-%H-%M-%S").replace(tzinfo=timezone.utc)
    assert key.startswith(at.strftime("%Y/%m/%d/%H/stream-1-"))
    assert abs(at.timestamp() + 60 - stand.local.now()) < 60
    entry, = stand.admin()["delivered"]
    assert (entry["stream"], entry["records"], entry["bytes"]) == ("stream", len(records), len(content))
    assert stand.state("stream")["kept_bytes"] == 0 and stand.state("stream")["objects"] == 1


def test_size_delivers_before_time(stand):
    stand.create(BufferingHints={"SizeInMBs": 1, "IntervalInSeconds": 900})
    chunk = bytes(range(256)) * 1024  # 256 KiB
    stand.put(chunk, chunk, chunk)
    assert stand.objects() == []
    # The fourth record fills the buffer, the next ones begin another: within one request, too.
    stand.put(chunk, b"a", chunk, chunk)
    assert [content for _, content in stand.objects()] == [chunk * 4]
    stand.put(chunk, chunk, b"left")
    assert [content for _, content in stand.objects()] == [chunk * 4, b"a" + chunk * 4]
    assert stand.state("stream")["kept_bytes"] == 4
    stand.local.advance(600)
    assert len(stand.objects()) == 2
    stand.local.advance(300)
    assert stand.delivered(3)[2][1] == b"left"


def test_an_interval_of_zero_delivers_at_once(stand):
    stand.create(BufferingHints={"SizeInMBs": 5, "IntervalInSeconds": 0})
    stand.put(b"a", b"b")
    stand.firehose.put_record(DeliveryStreamName="stream", Record={"Data": b"c"})
    assert [content for _, content in stand.objects()] == [b"ab", b"c"]


def test_flush_and_the_stream_of_the_command_line(shared):
    assert shared.describe("ready")["DeliveryStreamStatus"] == "ACTIVE"
    destination = shared.describe("ready")["Destinations"][0]["ExtendedS3DestinationDescription"]
    assert (destination["BucketARN"], destination["Prefix"]) == (BUCKET, "ready/")
    assert destination["BufferingHints"] == {"SizeInMBs": 5, "IntervalInSeconds": 300}
    shared.put(b"one\n", b"two\n", name="ready")
    answer = shared.admin(stream="ready", flush=True)
    assert [d["records"] for d in answer["delivered"]] == [2]
    key = answer["delivered"][0]["key"]
    assert re.fullmatch(rf"ready/\d{{4}}/\d\d/\d\d/\d\d/ready-1-[\d-]{{19}}-{UUID}", key)
    assert shared.s3.get_object(Bucket="bucket", Key=key)["Body"].read() == b"one\ntwo\n"
    assert len(shared.admin(stream="ready", flush=True)["delivered"]) == 1  # nothing is there any more


@pytest.mark.parametrize("text", ["x", "=b/p", "na me=b/p", "n=", "n=/p", "n=b/!{timestamp:yyyy",
                                  "n=b/!{other:x}"])
def test_a_malformed_option_ends_the_program(tmp_path, text):
    with pytest.raises(RuntimeError, match=f"--delivery-stream '{re.escape(text)}': expected"):
        LocalAws(tmp_path, "--delivery-stream", text)


def test_a_bucket_that_is_not_there_yet(stand):
    stand.create(BucketARN="arn:aws:s3:::later", BufferingHints={"SizeInMBs": 1, "IntervalInSeconds": 0})
    stand.put(b"first")
    stand.put(b"second")
    failure = stand.describe()["FailureDescription"]
    assert failure == {"Type": "UNKNOWN_ERROR",
                       "Details": "S3.NoSuchBucket: The specified bucket does not exist: later"}
    state = stand.state("stream")
    assert (state["kept_records"], state["kept_bytes"], state["waiting_objects"]) == (2, 11, 2)
    assert state["failure"] == failure["Details"]
    stand.local.advance(3600)
    assert stand.state("stream")["kept_records"] == 2
    stand.s3.create_bucket(Bucket="later")
    stand.put(b"third")
    stand.local.advance(5)
    objects = stand.delivered(3, "later")
    assert [content for _, content in objects] == [b"first", b"second", b"third"]
    assert "FailureDescription" not in stand.describe() and stand.state("stream")["failure"] is None


def test_data_is_kept_for_a_day(stand):
    stand.create(BucketARN="arn:aws:s3:::later", BufferingHints={"SizeInMBs": 1, "IntervalInSeconds": 0})
    stand.put(b"old", b"older")
    stand.local.advance(86300)
    stand.put(b"young")
    assert stand.state("stream")["lost_records"] == 0
    stand.local.advance(200)
    wait_for(lambda: stand.state("stream")["lost_records"] == 2, 60, "what is a day old is given up", interval=0.02)
    assert stand.state("stream")["kept_bytes"] == 5
    stand.s3.create_bucket(Bucket="later")
    stand.admin(flush=True)
    assert [content for _, content in stand.objects("later")] == [b"young"]


def test_gzip_and_extension(stand):
    stand.create("zipped", CompressionFormat="GZIP", FileExtension="")
    stand.create("named", CompressionFormat="GZIP", FileExtension=".json.gz")
    stand.create("plain", FileExtension=".txt")
    data = [json.dumps({"n": n}).encode() * 100 for n in range(400)]
    for name in ("zipped", "named", "plain"):
        stand.put(*data, name=name)
    stand.put(b"", name="zipped")
    stand.admin(flush=True)
    by_stream = {key.split("/")[-1].split("-")[0]: (key, content) for key, content in stand.objects()}
    assert len(b"".join(data)) > 3 * 65536
    for name, ending in (("zipped", ".gz"), ("named", ".json.gz")):
        key, content = by_stream[name]
        assert re.search(f"{UUID}{re.escape(ending)}$", key)
        assert gzip.decompress(content) == b"".join(data)
    assert by_stream["plain"][0].endswith(".txt") and by_stream["plain"][1] == b"".join(data)
    stand.put(b"", name="zipped")
    stand.admin(flush=True)
    assert gzip.decompress(stand.objects()[-1][1]) == b""


@pytest.mark.parametrize("given, delimiter", [(None, b"\n"), ("\\n", b"\n"), ("|", b"|"), ("\\r\\n", b"\r\n"),
                                              ("\\\\n", b"\\n"), ("--" * 32, b"--" * 32)])
def test_the_delimiter_processor(shared, given, delimiter):
    name = f"delimited-{time.monotonic_ns()}"
    processor = {"Type": "AppendDelimiterToRecord"}
    if given:
        processor["Parameters"] = [{"ParameterName": "Delimiter", "ParameterValue": given}]
    processing = {"Enabled": True, "Processors": [processor]}
    shared.create(name, Prefix=f"{name}/", ProcessingConfiguration=processing)
    shared.put(b"a", b"", b"bc", name=name)
    key, = [d["key"] for d in shared.admin(stream=name, flush=True)["delivered"]]
    content = shared.s3.get_object(Bucket="bucket", Key=key)["Body"].read()
    assert content == b"a" + delimiter + delimiter + b"bc" + delimiter
    shown = shared.describe(name)["Destinations"][0]["ExtendedS3DestinationDescription"]
    assert shown["ProcessingConfiguration"] == {"Enabled": True, "Processors": [
        {"Type": "AppendDelimiterToRecord",
         "Parameters": [{"ParameterName": "Delimiter", "ParameterValue": given or "\\n"}]}]}
    # Switched off it does nothing.
    shared.firehose.update_destination(
        DeliveryStreamName=name, CurrentDeliveryStreamVersionId="1", DestinationId="destinationId-000000000001",
        ExtendedS3DestinationUpdate={"ProcessingConfiguration": {"Enabled": False}})
    shared.put(b"a", b"b", name=name)
    key = shared.admin(stream=name, flush=True)["delivered"][-1]["key"]
    assert shared.s3.get_object(Bucket="bucket", Key=key)["Body"].read() == b"ab"


# ---- prefixes ----

def test_prefixes_are_evaluated(shared):
    error = "errors/!{firehose:error-output-type}/"
    shown, letters = {}, "[0-9A-Za-z]{11}"
    cases = {
        "": r"(?P<y>\d{4})/(?P<M>\d\d)/(?P<d>\d\d)/(?P<H>\d\d)/",
        "plain-": r"plain-(?P<y>\d{4})/(?P<M>\d\d)/(?P<d>\d\d)/(?P<H>\d\d)/",
        "year=!{timestamp:yyyy}/month=!{timestamp:MM}/!{timestamp:dd}/":
            r"year=(?P<y>\d{4})/month=(?P<M>\d\d)/(?P<d>\d\d)/",
        "!{timestamp:yyyy-MM-dd'T'HH.mm.ss}/": r"(?P<y>\d{4})-(?P<M>\d\d)-(?P<d>\d\d)T(?P<H>\d\d)\.(?P<m>\d\d)\.\d\d/",
        "!{timestamp:uu/M/d/H/''/D/EEEE/MMM/a/h/SSS}/":
            r"\d\d/\d{1,2}/\d{1,2}/\d{1,2}/'/(?P<j>\d{1,3})/(?P<A>[A-Z][a-z]+day)/(?P<b>[A-Z][a-z]{2})/(AM|PM)/\d{1,2}/\d{3}/",
        "!{firehose:random-string}/!{timestamp:yyyy}/!{firehose:random-string}/":
            rf"(?P<first>{letters})/(?P<y>\d{{4}})/(?P<second>{letters})/",
        "literal ! { } $/!{timestamp:'Week 'q}/": r"literal ! \{ \} \$/Week [1-4]/",
    }
    for i, prefix in enumerate(cases):
        more = {"ErrorOutputPrefix": error} if "!{" in prefix else {}
        shared.create(f"p{i}", Prefix=prefix, wait=False, **more)
    shared.local.advance(1)
    for i, (prefix, pattern) in enumerate(cases.items()):
        shared.put(b"x", name=f"p{i}")
        entry = shared.admin(stream=f"p{i}", flush=True)["delivered"][0]
        match = re.fullmatch(rf"{pattern}p{i}-1-([\d-]{{19}})-{UUID}", entry["key"])
        assert match, (prefix, entry["key"])
        at = datetime.strptime(match.groups()[-1], "%Y-%m-%d-%H-%M-%S")
        codes = {"y": "%Y", "M": "%m", "d": "%d", "H": "%H", "m": "%M", "A": "%A", "b": "%b"}
        for group, value in match.groupdict().items():
            if group in codes:
                assert value == at.strftime(codes[group]), (prefix, entry["key"])
        shown.update(match.groupdict())
    assert shown["first"] != shown["second"]
    assert int(shown["j"]) == at.timetuple().tm_yday


@pytest.mark.parametrize("config, part", [
    ({"Prefix": "!{timestamp:yyyy}/"}, "ErrorOutputPrefix must be specified"),
    ({"Prefix": "!{timestamp:yyyy}/", "ErrorOutputPrefix": "e/!{timestamp:yyyy}/"}, "error-output-type"),
    ({"Prefix": "!{firehose:error-output-type}/", "ErrorOutputPrefix": "e/"}, "error-output-type"),
    ({"Prefix": "!{timestamp:}/", "ErrorOutputPrefix": "e/"}, "pattern"),
    ({"Prefix": "!{timestamp:yyyy/VV}/", "ErrorOutputPrefix": "e/"}, "'VV'"),
    ({"Prefix": "!{timestamp:yyyy'}/", "ErrorOutputPrefix": "e/"}, "quote"),
    ({"Prefix": "!{timestamp:yyyy", "ErrorOutputPrefix": "e/"}, "!{namespace:value}"),
    ({"Prefix": "!{partitionKeyFromQuery:id}/", "ErrorOutputPrefix": "e/"}, "partitionKeyFromQuery:id"),
    ({"CompressionFormat": "ZIP"}, "ZIP"),
    ({"CompressionFormat": "Snappy"}, "Snappy"),
    ({"BufferingHints": {"SizeInMBs": 5}}, "together"),
    ({"BufferingHints": {"IntervalInSeconds": 60}}, "together"),
    ({"S3BackupMode": "Enabled"}, "S3BackupMode"),
    ({"DynamicPartitioningConfiguration": {"Enabled": True}}, "DynamicPartitioning"),
    ({"DataFormatConversionConfiguration": {"Enabled": True}}, "DataFormatConversion"),
    ({"CustomTimeZone": "Asia/Tokyo"}, "UTC"),
    ({"CloudWatchLoggingOptions": {"Enabled": True}}, "LogGroupName"),
    ({"ProcessingConfiguration": {"Enabled": True, "Processors": [{"Type": "Lambda"}]}}, "Lambda"),
    ({"ProcessingConfiguration": {"Enabled": True, "Processors": [
        {"Type": "AppendDelimiterToRecord",
         "Parameters": [{"ParameterName": "LambdaArn", "ParameterValue": "x"}]}]}}, "Delimiter"),
])
def test_what_a_destination_may_not_be(shared, config, part):
    error, text = refused(shared.create, name="refused", **config)
    assert error == "InvalidArgumentException" and part in text
    assert code(shared.firehose.describe_delivery_stream,
                DeliveryStreamName="refused") == "ResourceNotFoundException"


def test_validation_of_a_destination(shared):
    c = shared.local.client("firehose", ONCE, checked=False)

    def create(name="refused", **config):
        c.create_delivery_stream(DeliveryStreamName=name, ExtendedS3DestinationConfiguration={
            "RoleARN": ROLE, "BucketARN": BUCKET, **config})

    for config in ({"RoleARN": "nobody"}, {"RoleARN": "arn:aws:iam::1:role/"}, {"BucketARN": "bucket"},
                   {"BucketARN": "arn:aws:s3:::a/b"}, {"BucketARN": "arn:aws:s3:::"},
                   {"BufferingHints": {"SizeInMBs": 0, "IntervalInSeconds": 60}},
                   {"BufferingHints": {"SizeInMBs": 129, "IntervalInSeconds": 60}},
                   {"BufferingHints": {"SizeInMBs": 1, "IntervalInSeconds": 901}},
                   {"BufferingHints": {"SizeInMBs": 1, "IntervalInSeconds": -1}},
                   {"CompressionFormat": "LZMA"}, {"Prefix": "p" * 1025}, {"FileExtension": "gz"},
                   {"FileExtension": ".g z"}):
        assert code(create, **config) == "ValidationException", config
    for name in ("", "n" * 65, "sp ace", "sl/ash"):
        error, text = refused(create, name=name)
        assert error == "ValidationException" and "deliveryStreamName" in text
    create(name="n" * 64, Prefix="p" * 1024, BufferingHints={"SizeInMBs": 128, "IntervalInSeconds": 900})
    # What a prefix becomes has a limit of its own, which shows at delivery.
    shared.local.advance(1)
    shared.put(b"x", name="n" * 64)
    answer = shared.admin(stream="n" * 64, flush=True)
    assert answer["streams"][0]["failure"].startswith("S3.KeyTooLong")
    assert answer["streams"][0]["kept_bytes"] == 1
    for member in ("RoleARN", "BucketARN"):
        config = {"RoleARN": ROLE, "BucketARN": BUCKET}
        del config[member]
        error, text = refused(c.create_delivery_stream, DeliveryStreamName="refused",
                              S3DestinationConfiguration=config)
        assert error == "ValidationException" and "must not be null" in text
    for bad in ({"SizeInMBs": "5", "IntervalInSeconds": 60}, "5"):
        assert code(c.create_delivery_stream, DeliveryStreamName="refused", S3DestinationConfiguration={
            "RoleARN": ROLE, "BucketARN": BUCKET, "Prefix": {"a": 1} if bad == "5" else "x",
            "BufferingHints": bad if bad != "5" else {}}) == "SerializationException"


# ---- streams ----

def test_a_stream_is_made_and_described(stand):
    arn = stand.create(wait=False, Prefix="p/", ErrorOutputPrefix="e/", CompressionFormat="GZIP",
                       BufferingHints={"SizeInMBs": 3, "IntervalInSeconds": 70},
                       EncryptionConfiguration={"KMSEncryptionConfig": {
                           "AWSKMSKeyARN": "arn:aws:kms:us-east-1:000000000000:key/1"}},
                       CloudWatchLoggingOptions={"Enabled": True, "LogGroupName": "g", "LogStreamName": "s"},
                       FileExtension=".x", CustomTimeZone="UTC")
    assert arn == "arn:aws:firehose:us-east-1:000000000000:deliverystream/stream"
    assert code(stand.create, name="stream") == "ResourceInUseException"
    wait_for(lambda: stand.describe()["DeliveryStreamStatus"] == "ACTIVE", 60, "the stream is ACTIVE",
             interval=0.02)
    got = stand.describe()
    assert (got["DeliveryStreamName"], got["DeliveryStreamARN"], got["DeliveryStreamType"], got["VersionId"]) == (
        "stream", arn, "DirectPut", "1")
    assert got["DeliveryStreamEncryptionConfiguration"] == {"Status": "DISABLED"}
    assert got["HasMoreDestinations"] is False
    assert abs(got["CreateTimestamp"].timestamp() - stand.local.now()) < 60
    destination, = got["Destinations"]
    assert destination["DestinationId"] == "destinationId-000000000001"
    plain = {"RoleARN": ROLE, "BucketARN": BUCKET, "Prefix": "p/", "ErrorOutputPrefix": "e/",
             "BufferingHints": {"SizeInMBs": 3, "IntervalInSeconds": 70}, "CompressionFormat": "GZIP",
             "EncryptionConfiguration": {"KMSEncryptionConfig": {
                 "AWSKMSKeyARN": "arn:aws:kms:us-east-1:000000000000:key/1"}},
             "CloudWatchLoggingOptions": {"Enabled": True, "LogGroupName": "g", "LogStreamName": "s"}}
    assert destination["S3DestinationDescription"] == plain
    assert destination["ExtendedS3DestinationDescription"] == {
        **plain, "S3BackupMode": "Disabled", "FileExtension": ".x", "CustomTimeZone": "UTC"}

    stand.firehose.create_delivery_stream(DeliveryStreamName="simple", S3DestinationConfiguration={
        "RoleARN": ROLE, "BucketARN": BUCKET})
    destination, = stand.describe("simple")["Destinations"]
    assert destination["S3DestinationDescription"]["BufferingHints"] == {"SizeInMBs": 5, "IntervalInSeconds": 300}
    assert destination["S3DestinationDescription"]["CompressionFormat"] == "UNCOMPRESSED"
    assert destination["S3DestinationDescription"]["EncryptionConfiguration"] == {
        "NoEncryptionConfig": "NoEncryption"}
    assert "ExtendedS3DestinationDescription" not in destination
    after = stand.firehose.describe_delivery_stream(
        DeliveryStreamName="simple", ExclusiveStartDestinationId="destinationId-000000000001")
    assert after["DeliveryStreamDescription"]["Destinations"] == []


def test_states_of_a_stream(stand):
    """The clock does not stand still, but it can be far away from what is waited for."""
    stand.create(wait=False)
    status = stand.describe()["DeliveryStreamStatus"]
    if status == "CREATING":
        error = code(stand.firehose.put_record, DeliveryStreamName="stream", Record={"Data": b"x"})
        assert error == "ResourceNotFoundException" or stand.describe()["DeliveryStreamStatus"] == "ACTIVE"
    stand.local.advance(1)
    assert stand.describe()["DeliveryStreamStatus"] == "ACTIVE"
    stand.put(b"never delivered")
    stand.firehose.delete_delivery_stream(DeliveryStreamName="stream")
    assert code(stand.firehose.put_record, DeliveryStreamName="stream",
                Record={"Data": b"x"}) == "ResourceNotFoundException"
    stand.local.advance(400)
    assert refused(stand.firehose.describe_delivery_stream, DeliveryStreamName="stream") == (
        "ResourceNotFoundException", "Firehose stream under account 000000000000 not found.")
    assert stand.objects() == [] and stand.admin()["kept_bytes"] == 0
    stand.create()
    assert stand.describe()["VersionId"] == "1"
    for call, more in ((stand.firehose.delete_delivery_stream, {}),
                       (stand.firehose.put_record, {"Record": {"Data": b""}}),
                       (stand.firehose.put_record_batch, {"Records": [{"Data": b""}]}),
                       (stand.firehose.tag_delivery_stream, {"Tags": [{"Key": "a"}]}),
                       (stand.firehose.start_delivery_stream_encryption, {})):
        assert code(call, DeliveryStreamName="none", **more) == "ResourceNotFoundException"


def test_other_sources_and_destinations_are_refused(shared):
    def create(**config):
        shared.firehose.create_delivery_stream(DeliveryStreamName="refused", **config)

    s3 = {"RoleARN": ROLE, "BucketARN": BUCKET}
    assert code(create) == "InvalidArgumentException"
    assert code(create, S3DestinationConfiguration=s3,
                ExtendedS3DestinationConfiguration=s3) == "InvalidArgumentException"
    error, text = refused(create, HttpEndpointDestinationConfiguration={
        "EndpointConfiguration": {"Url": "https://example.com"}, "S3Configuration": s3})
    assert error == "InvalidArgumentException" and "HttpEndpointDestinationConfiguration" in text
    error, text = refused(create, DeliveryStreamType="KinesisStreamAsSource", S3DestinationConfiguration=s3)
    assert error == "InvalidArgumentException" and "KinesisStreamAsSource" in text
    assert code(create, DeliveryStreamType="Pigeon", S3DestinationConfiguration=s3) == "ValidationException"


def test_streams_are_listed(stand):
    names = sorted(f"s-{i:02}" for i in range(23))
    for name in reversed(names):
        stand.create(name, wait=False)
    first = stand.firehose.list_delivery_streams()
    assert (first["DeliveryStreamNames"], first["HasMoreDeliveryStreams"]) == (names[:10], True)
    rest = stand.firehose.list_delivery_streams(Limit=100, ExclusiveStartDeliveryStreamName=names[9])
    assert (rest["DeliveryStreamNames"], rest["HasMoreDeliveryStreams"]) == (names[10:], False)
    assert stand.firehose.list_delivery_streams(DeliveryStreamType="MSKAsSource")["DeliveryStreamNames"] == []
    assert len(stand.firehose.list_delivery_streams(DeliveryStreamType="DirectPut")["DeliveryStreamNames"]) == 10
    for limit in (0, 10001):
        assert code(stand.local.client("firehose", ONCE, checked=False).list_delivery_streams, Limit=limit) == "ValidationException"


def test_a_destination_is_changed(stand):
    stand.create(Prefix="old/", BufferingHints={"SizeInMBs": 5, "IntervalInSeconds": 900})
    stand.s3.create_bucket(Bucket="other")
    stand.put(b"before")

    def update(version, destination="destinationId-000000000001", **change):
        stand.firehose.update_destination(DeliveryStreamName="stream", CurrentDeliveryStreamVersionId=version,
                                          DestinationId=destination, **change)

    change = {"ExtendedS3DestinationUpdate": {"BucketARN": "arn:aws:s3:::other", "Prefix": "new/"}}
    assert refused(update, version="2", **change) == (
        "ConcurrentModificationException", "Cannot update firehose: stream since the current version id: 1 and "
                                           "specified version id: 2 do not match")
    assert code(update, version="1", destination="destinationId-2", **change) == "InvalidArgumentException"
    assert code(update, version="1") == "InvalidArgumentException"
    bad = {"ExtendedS3DestinationUpdate": {"Prefix": "x/", "CompressionFormat": "ZIP"}}
    assert code(update, version="1", **bad) == "InvalidArgumentException"
    before = stand.describe()
    assert before["VersionId"] == "1"
    assert before["Destinations"][0]["ExtendedS3DestinationDescription"]["Prefix"] == "old/"
    update("1", **change)
    got = stand.describe()
    assert got["VersionId"] == "2" and got["LastUpdateTimestamp"] >= got["CreateTimestamp"]
    destination = got["Destinations"][0]["ExtendedS3DestinationDescription"]
    assert (destination["BucketARN"], destination["Prefix"], destination["BufferingHints"]) == (
        "arn:aws:s3:::other", "new/", {"SizeInMBs": 5, "IntervalInSeconds": 900})
    # A shorter interval holds for what is there already.
    update("2", S3DestinationUpdate={"BufferingHints": {"SizeInMBs": 5, "IntervalInSeconds": 300}})
    assert stand.objects("other") == []
    stand.local.advance(300)
    (key, content), = stand.delivered(1, "other")
    assert content == b"before" and re.match(r"new/\d{4}/\d\d/\d\d/\d\d/stream-3-", key)
    stand.put(b"x")
    update("3", S3DestinationUpdate={"BufferingHints": {"SizeInMBs": 5, "IntervalInSeconds": 0}})
    assert [c for _, c in stand.objects("other")] == [b"before", b"x"]


def test_encryption_is_a_state(stand):
    stand.create()
    c, name = stand.firehose, {"DeliveryStreamName": "stream"}
    key = "arn:aws:kms:us-east-1:000000000000:key/abc"

    def shown():
        return stand.describe()["DeliveryStreamEncryptionConfiguration"]

    c.start_delivery_stream_encryption(**name)
    assert shown()["Status"] in ("ENABLING", "ENABLED")
    stand.local.advance(1)
    assert shown() == {"Status": "ENABLED", "KeyType": "AWS_OWNED_CMK"}
    assert c.put_record(Record={"Data": b"x"}, **name)["Encrypted"] is True
    assert stand.put(b"y")["Encrypted"] is True
    for config in ({"KeyType": "CUSTOMER_MANAGED_CMK"}, {"KeyType": "AWS_OWNED_CMK", "KeyARN": key}):
        assert code(c.start_delivery_stream_encryption, DeliveryStreamEncryptionConfigurationInput=config,
                    **name) == "InvalidArgumentException"
    c.start_delivery_stream_encryption(
        DeliveryStreamEncryptionConfigurationInput={"KeyType": "CUSTOMER_MANAGED_CMK", "KeyARN": key}, **name)
    stand.local.advance(1)
    assert shown() == {"Status": "ENABLED", "KeyType": "CUSTOMER_MANAGED_CMK", "KeyARN": key}
    c.stop_delivery_stream_encryption(**name)
    stand.local.advance(1)
    assert shown() == {"Status": "DISABLED"} and stand.put(b"z")["Encrypted"] is False
    # 25 calls a day: three are behind us.
    for i in range(22):
        c.start_delivery_stream_encryption(**name)
        stand.local.advance(1)
    assert code(c.stop_delivery_stream_encryption, **name) == "LimitExceededException"
    stand.local.advance(86400)
    c.stop_delivery_stream_encryption(**name)

    stand.firehose.create_delivery_stream(
        DeliveryStreamName="born-so", S3DestinationConfiguration={"RoleARN": ROLE, "BucketARN": BUCKET},
        DeliveryStreamEncryptionConfigurationInput={"KeyType": "AWS_OWNED_CMK"})
    stand.local.advance(1)
    assert stand.describe("born-so")["DeliveryStreamEncryptionConfiguration"]["Status"] == "ENABLED"


def test_tags(stand):
    c, name = stand.firehose, {"DeliveryStreamName": "stream"}
    c.create_delivery_stream(S3DestinationConfiguration={"RoleARN": ROLE, "BucketARN": BUCKET},
                             Tags=[{"Key": "b", "Value": "1"}, {"Key": "a"}], **name)
    assert c.list_tags_for_delivery_stream(**name)["Tags"] == [{"Key": "a", "Value": ""}, {"Key": "b", "Value": "1"}]
    c.tag_delivery_stream(Tags=[{"Key": "b", "Value": "日 _.:/=+-@%"}, {"Key": "c", "Value": "v" * 256}], **name)
    c.untag_delivery_stream(TagKeys=["a", "none"], **name)
    listed = c.list_tags_for_delivery_stream(**name)
    assert listed["Tags"] == [{"Key": "b", "Value": "日 _.:/=+-@%"}, {"Key": "c", "Value": "v" * 256}]
    assert listed["HasMoreTags"] is False
    one = c.list_tags_for_delivery_stream(Limit=1, **name)
    assert ([t["Key"] for t in one["Tags"]], one["HasMoreTags"]) == (["b"], True)
    assert [t["Key"] for t in c.list_tags_for_delivery_stream(ExclusiveStartTagKey="b", **name)["Tags"]] == ["c"]
    for tag in ({"Key": "k" * 129}, {"Key": "aws:x"}, {"Key": "a", "Value": "v" * 257}, {"Key": "a!"},
                {"Key": "a", "Value": "\n"}):
        assert code(c.tag_delivery_stream, Tags=[tag], **name) == "ValidationException", tag
    assert code(stand.local.client("firehose", ONCE, checked=False).tag_delivery_stream, Tags=[], **name) == "ValidationException"
    c.tag_delivery_stream(Tags=[{"Key": f"k{i}"} for i in range(48)], **name)
    assert code(c.tag_delivery_stream, Tags=[{"Key": "one-more"}], **name) == "LimitExceededException"
    c.tag_delivery_stream(Tags=[{"Key": "k1", "Value": "changed"}], **name)


# ---- limits ----

def test_limits_of_a_request(shared):
    c = shared.local.client("firehose", ONCE, checked=False)

    def batch(records):
        return c.put_record_batch(DeliveryStreamName="ready", Records=[{"Data": r} for r in records])

    before = shared.state("ready")["kept_records"]
    largest = bytes(1024000)
    assert "RecordId" in c.put_record(DeliveryStreamName="ready", Record={"Data": largest})
    error, text = refused(c.put_record, DeliveryStreamName="ready", Record={"Data": largest + b"x"})
    assert (error, "less than or equal to 1024000" in text) == ("ValidationException", True)
    error, text = refused(batch, records=[b"a", largest + b"x"])
    assert error == "ValidationException" and "records.2.member.data" in text
    error, text = refused(batch, records=[b"x"] * 501)
    assert error == "ValidationException" and "less than or equal to 500" in text
    assert code(batch, records=[]) == "ValidationException"
    assert batch([b"x"] * 500)["FailedPutCount"] == 0
    rest = 4 * 2**20 - 4 * len(largest)
    assert batch([largest] * 4 + [bytes(rest)])["FailedPutCount"] == 0
    assert refused(batch, records=[largest] * 4 + [bytes(rest), b"x"]) == (
        "InvalidArgumentException", "Records size exceeds 4 MB limit")
    # Of a request that is refused nothing is stored.
    state = shared.admin(stream="ready", flush=True)
    stored = sum(d["records"] for d in state["delivered"])
    assert state["streams"][0]["kept_records"] == 0
    assert stored >= before + 1 + 500 + 5
    assert code(c.put_record, DeliveryStreamName="ready", Record={}) == "ValidationException"
    assert code(c.put_record, DeliveryStreamName="ready") == "ValidationException"


def test_rates_of_a_stream(tmp_path):
    with LocalAws(tmp_path, "--auth", "verify", "--bucket", "bucket", "--delivery-stream", "one=bucket/",
                  "--delivery-stream", "two=bucket/") as local:
        stand = Stand(local, limits=True)
        mebibyte = [bytes(2**19)] * 8
        batch = {"Records": [{"Data": d} for d in mebibyte], "DeliveryStreamName": "one"}
        assert stand.firehose.put_record_batch(**batch)["FailedPutCount"] == 0
        # 5 MiB a second: of the next 4 MiB what does not fit is refused record by record.
        answer = stand.firehose.put_record_batch(**batch)
        failed = [r for r in answer["RequestResponses"] if "ErrorCode" in r]
        assert answer["FailedPutCount"] == len(failed)
        # Six of eight at once; fewer where a busy machine lets time go by, which fills the budget.
        assert len(failed) <= 6
        assert all(r == {"ErrorCode": "ServiceUnavailableException", "ErrorMessage": "Slow down."} for r in failed)
        kept = stand.state("one")["kept_records"] * 2**19
        objects = sum(d["bytes"] for d in stand.admin(stream="one")["delivered"])
        assert kept + objects == (16 - len(failed)) * 2**19
        assert stand.firehose.put_record_batch(**{**batch, "DeliveryStreamName": "two"})["FailedPutCount"] == 0
        local.advance(1)
        assert stand.firehose.put_record_batch(**batch)["FailedPutCount"] == 0
        stand.admin(limits=False)
        assert stand.firehose.put_record_batch(**batch)["FailedPutCount"] == 0


def test_a_single_record_beyond_the_rate_is_a_503(tmp_path):
    with LocalAws(tmp_path, "--delivery-stream", "one=none/") as local:
        stand = Stand(local, limits=True)
        errors = []

        def exceed():
            """A batch empties the budget; whether it is still empty then depends on the machine."""
            stand.firehose.put_record_batch(DeliveryStreamName="one", Records=[{"Data": bytes(2**17)}] * 32)
            try:
                stand.firehose.put_record(DeliveryStreamName="one", Record={"Data": bytes(1024000)})
            except ClientError as error:
                errors.append(error.response)
            return errors

        wait_for(exceed, 60, "a record beyond the rate is refused", interval=0)
        assert errors[0]["Error"] == {"Code": "ServiceUnavailableException", "Message": "Slow down."}
        assert errors[0]["ResponseMetadata"]["HTTPStatusCode"] == 503
        local.advance(1)
        stand.firehose.put_record(DeliveryStreamName="one", Record={"Data": bytes(1024000)})


def test_control_operations_are_throttled(tmp_path):
    with LocalAws(tmp_path, "--auth", "verify") as local:
        stand = Stand(local, limits=True)
        # Five a second: far more in a row than a second could hold.
        errors = []
        for _ in range(200):
            try:
                stand.firehose.list_delivery_streams()
            except ClientError as error:
                errors.append(error.response["Error"])
                break
        assert errors == [{"Code": "ThrottlingException", "Message": "Rate exceeded"}]
        stand.firehose.create_delivery_stream(  # another operation has a rate of its own
            DeliveryStreamName="s", S3DestinationConfiguration={"RoleARN": ROLE, "BucketARN": BUCKET})
        local.advance(1)
        assert stand.firehose.list_delivery_streams()["DeliveryStreamNames"] == ["s"]


# ---- faults, signatures, state ----

def test_chosen_records_fail(stand):
    stand.create()
    stand.local.faults([{"service": "firehose", "operation": "PutRecordBatch", "count": 1,
                         "records": {"indexes": [1, 3], "exception": "ServiceUnavailableException"}},
                        {"operation": "PutRecordBatch", "count": 1,
                         "records": {"every": 2, "exception": "InternalFailure"}}])
    records = [{"Data": bytes([65 + i])} for i in range(5)]
    answer = stand.firehose.put_record_batch(DeliveryStreamName="stream", Records=records)
    assert answer["FailedPutCount"] == 2
    assert [r.get("ErrorCode") for r in answer["RequestResponses"]] == [
        None, "ServiceUnavailableException", None, "ServiceUnavailableException", None]
    assert answer["RequestResponses"][1]["ErrorMessage"] == "Slow down."
    again = stand.firehose.put_record_batch(DeliveryStreamName="stream", Records=[records[1], records[3]])
    assert again["FailedPutCount"] == 1
    failed, = [i for i, r in enumerate(again["RequestResponses"]) if "ErrorCode" in r]
    assert again["RequestResponses"][failed]["ErrorCode"] == "InternalFailure"
    stand.put(records[1 if failed == 0 else 3]["Data"])
    stand.admin(flush=True)
    (_, content), = stand.objects()
    assert sorted(content) == sorted(b"ABCDE") and content.startswith(b"ACE")


def test_faults_of_whole_requests(stand):
    stand.create()
    stand.local.faults([{"service": "firehose", "operation": "PutRecord", "count": 1,
                         "exception": "ServiceUnavailableException", "status": 503, "message": "Slow down."},
                        {"service": "firehose", "operation": "PutRecord", "count": 1, "after": True,
                         "exception": "InternalFailure"}])
    record = {"DeliveryStreamName": "stream", "Record": {"Data": b"x"}}
    assert code(stand.firehose.put_record, **record) == "ServiceUnavailableException"
    assert stand.state("stream")["kept_records"] == 0
    assert code(stand.firehose.put_record, **record) == "InternalFailure"  # stored, but answered so
    assert stand.state("stream")["kept_records"] == 1
    stand.local.client("firehose").put_record(**record)
    assert stand.state("stream")["kept_records"] == 2
    assert stand.local.admin("GET", "stats")["operations"]["firehose.PutRecord"]["requests"] == 3
    stranger = stand.local.client("firehose", retries=ONCE, aws_secret_access_key="wrong")
    assert code(stranger.list_delivery_streams) == "InvalidSignatureException"


def test_admin(stand):
    stand.create()
    for body in ({"stream": "none"},):
        with pytest.raises(Exception, match="400"):
            stand.admin(**body)
    assert stand.admin(limits=True)["limits"] is True
    assert stand.admin()["limits"] is True
    assert stand.admin(limits=False)["limits"] is False


def test_state_outlives_the_process(tmp_path):
    options = ("--auth", "verify", "--dir", tmp_path / "state", "--bucket", "bucket",
               "--delivery-stream", "kept=later/old/", "--delivery-stream", "zero=bucket/zero/")
    with LocalAws(tmp_path, *options) as local:
        stand = Stand(local)
        stand.create("mine", Prefix="m/", CompressionFormat="GZIP", FileExtension=".x",
                     ProcessingConfiguration={"Enabled": True, "Processors": [{"Type": "AppendDelimiterToRecord"}]})
        stand.firehose.tag_delivery_stream(DeliveryStreamName="mine", Tags=[{"Key": "k", "Value": "v"}])
        stand.firehose.start_delivery_stream_encryption(DeliveryStreamName="mine")
        stand.create("leaving")
        stand.put(b"one", b"two", name="mine")
        stand.put(b"first", name="kept")
        stand.admin(flush=True, stream="kept")
        stand.put(b"second", name="kept")
        stand.put(b"z", name="zero")
        first, = stand.admin(flush=True, stream="zero")["delivered"]
        stand.firehose.delete_delivery_stream(DeliveryStreamName="leaving")
        local.advance(1)
        before = stand.describe("mine")
    with LocalAws(tmp_path, *options) as local:
        stand = Stand(local)
        assert stand.describe("mine") == before
        assert before["DeliveryStreamEncryptionConfiguration"]["Status"] == "ENABLED"
        assert stand.firehose.list_delivery_streams()["DeliveryStreamNames"] == ["kept", "mine", "zero"]
        assert stand.firehose.list_tags_for_delivery_stream(DeliveryStreamName="mine")["Tags"] == [
            {"Key": "k", "Value": "v"}]
        assert (stand.state("kept")["kept_records"], stand.state("kept")["waiting_objects"]) == (2, 1)
        stand.s3.create_bucket(Bucket="later")
        stand.admin(flush=True)
        stand.put(b"third", name="kept")
        stand.put(b"z", name="zero")
        delivered = stand.admin(flush=True)["delivered"]
        content = {d["key"]: stand.s3.get_object(Bucket=d["bucket"], Key=d["key"])["Body"].read() for d in delivered}
        assert [content[d["key"]] for d in delivered if d["stream"] == "kept"] == [b"first", b"second", b"third"]
        mine, = [d for d in delivered if d["stream"] == "mine"]
        assert mine["key"].endswith(".x") and gzip.decompress(content[mine["key"]]) == b"one\ntwo\n"
        # The same seed does not give an object's name twice.
        zero, = [d for d in delivered if d["stream"] == "zero"]
        assert zero["key"][-12:] != first["key"][-12:]
        assert stand.s3.get_object(Bucket="bucket", Key=first["key"])["Body"].read() == b"z"
