"""weir-local's S3, as boto3 sees it: buckets, objects, listings, who may ask, errors and faults."""

import hashlib
import random
import re
import time
import urllib.error
import urllib.parse
import xml.etree.ElementTree as ET

import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from botocore.exceptions import ClientError, FlexibleChecksumError

from local import LocalAws
from s3_requests import (
    b64, begin, body, bucket, code_of, complete, connect, endpoint, flip, local, part, plain, raw,
    refused, s3, send, send_chunks, settings)


# ---- buckets ----

def test_buckets(s3):
    assert "ready" in [b["Name"] for b in s3.list_buckets()["Buckets"]]
    names = [f"many-{i:02}" for i in range(7)]
    for name in reversed(names):
        assert s3.create_bucket(Bucket=name)["Location"] == f"/{name}"
    s3.create_bucket(Bucket=names[0])  # us-east-1 says yes again
    answer = s3.list_buckets(Prefix="many-")
    assert [b["Name"] for b in answer["Buckets"]] == names
    assert abs(answer["Buckets"][0]["CreationDate"].timestamp() - time.time()) < 3600
    assert answer["Owner"]["ID"] == "000000000000"
    seen, token = [], {}
    while True:
        page = s3.list_buckets(Prefix="many-", MaxBuckets=3, **token)
        assert len(page["Buckets"]) <= 3
        seen += [b["Name"] for b in page["Buckets"]]
        if "ContinuationToken" not in page:
            break
        token = {"ContinuationToken": page["ContinuationToken"]}
    assert seen == names
    head = s3.head_bucket(Bucket=names[0])
    assert head["BucketRegion"] == "us-east-1"
    assert s3.get_bucket_location(Bucket=names[0])["LocationConstraint"] is None
    assert "Status" not in s3.get_bucket_versioning(Bucket=names[0])
    for name in names:
        s3.delete_bucket(Bucket=name)
    assert s3.list_buckets(Prefix="many-")["Buckets"] == []
    assert refused(s3.head_bucket, Bucket=names[0]) == ("404", 404)
    assert refused(s3.delete_bucket, Bucket=names[0]) == ("NoSuchBucket", 404)
    assert refused(s3.list_buckets, ContinuationToken="bm8gdG9rZW4_") == ("InvalidArgument", 400)


def test_buckets_that_cannot_be(local, s3, bucket):
    for name in ("Upper", "192.168.5.4", "a..b", "under_score", "xn--abc", "x" * 64):
        assert code_of(send(local, "PUT", f"/{name}")) == ("InvalidBucketName", 400)
    s3.put_object(Bucket=bucket, Key="k", Body=b"x")
    assert refused(s3.delete_bucket, Bucket=bucket) == ("BucketNotEmpty", 409)
    assert code_of(send(local, "PUT", "/fine-name", b"<Create")) == ("MalformedXML", 400)
    assert code_of(send(local, "PUT", f"/{bucket}?acl")) == ("NotImplemented", 501)
    assert code_of(send(local, "POST", f"/{bucket}")) == ("MethodNotAllowed", 405)
    assert code_of(send(local, "GET", f"/{bucket}/k?versionId=abc")) == ("InvalidArgument", 400)
    assert send(local, "GET", f"/{bucket}/k?versionId=null")[0] == 200
    for call, more in [(s3.get_object, {"Key": "k"}), (s3.list_objects_v2, {}),
                       (s3.put_object, {"Key": "k"}), (s3.list_multipart_uploads, {})]:
        assert refused(call, Bucket="nobody-has-it", **more) == ("NoSuchBucket", 404)


def test_regions(local, s3):
    s3.create_bucket(Bucket="in-ireland", CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
    assert s3.get_bucket_location(Bucket="in-ireland")["LocationConstraint"] == "eu-west-1"
    ireland = connect(local, region="eu-west-1")
    ireland.put_object(Bucket="in-ireland", Key="k", Body=b"x")
    assert refused(ireland.create_bucket, Bucket="in-ireland", CreateBucketConfiguration={
        "LocationConstraint": "eu-west-1"}) == ("BucketAlreadyOwnedByYou", 409)
    assert refused(ireland.create_bucket, Bucket="elsewhere") == (
        "IllegalLocationConstraintException", 400)
    assert refused(ireland.create_bucket, Bucket="elsewhere", CreateBucketConfiguration={
        "LocationConstraint": "eu-west-2"}) == ("IllegalLocationConstraintException", 400)
    # Signed for the wrong region: refused with the right one, and boto3 asks again there.
    status, headers, text = answer = send(local, "GET", "/in-ireland/k")
    assert code_of(answer) == ("AuthorizationHeaderMalformed", 400)
    assert headers["x-amz-bucket-region"] == "eu-west-1"
    assert ET.fromstring(text).find("Region").text == "eu-west-1"
    assert body(s3.get_object(Bucket="in-ireland", Key="k")) == b"x"
    settings(local, redirects=True)
    status, headers, text = answer = send(local, "GET", "/in-ireland/k")
    assert code_of(answer) == ("PermanentRedirect", 301)
    assert headers["x-amz-bucket-region"] == "eu-west-1"
    assert ET.fromstring(text).find("Endpoint").text == "in-ireland.s3.eu-west-1.amazonaws.com"
    assert body(connect(local).get_object(Bucket="in-ireland", Key="k")) == b"x"
    status, headers, text = send(local, "HEAD", "/in-ireland/k")
    assert status == 301 and text == b"" and headers["x-amz-bucket-region"] == "eu-west-1"


def test_hosts(local, s3, bucket):
    s3.put_object(Bucket=bucket, Key="dir/k", Body=b"by host")
    for host in (f"{bucket}.localhost:{local.port}", f"{bucket}.s3.localhost",
                 f"{bucket}.s3.us-east-1.amazonaws.com", f"{bucket}.s3-eu-west-1.amazonaws.com"):
        assert send(local, "GET", "/dir/k", host=host)[2] == b"by host", host
        assert b"<Key>dir/k</Key>" in send(local, "GET", "/?list-type=2", host=host)[2]
    for host in ("s3.localhost", "s3.us-east-1.amazonaws.com", f"localhost:{local.port}", "weir-local"):
        assert send(local, "GET", f"/{bucket}/dir/k", host=host)[2] == b"by host", host


# ---- objects ----

def test_objects_come_back_as_they_went(s3, bucket):
    keys = ["plain", "a b/c+d=&?%41", "\u65e5\u672c/\u00e9", "//two", "dot/../dot", "x" * 1024, "dir/"]
    for i, key in enumerate(keys):
        data = bytes(range(256)) * i
        put = s3.put_object(
            Bucket=bucket, Key=key, Body=data, ContentType="text/x; charset=y", CacheControl="no-store",
            ContentDisposition="attachment", ContentEncoding="gzip", ContentLanguage="de",
            Expires="Thu, 01 Jan 2032 00:00:00 GMT", Metadata={"one": "1", "two": "zwei"},
            WebsiteRedirectLocation="/there")
        assert put["ETag"] == f'"{hashlib.md5(data).hexdigest()}"'
        assert put["ServerSideEncryption"] == "AES256"
        for call in (s3.get_object, s3.head_object):
            got = call(Bucket=bucket, Key=key)
            assert got["ContentLength"] == len(data) and got["ETag"] == put["ETag"]
            assert got["ContentType"] == "text/x; charset=y" and got["CacheControl"] == "no-store"
            assert got["ContentDisposition"] == "attachment" and got["ContentEncoding"] == "gzip"
            assert got["ContentLanguage"] == "de" and got["WebsiteRedirectLocation"] == "/there"
            assert got["ExpiresString"] == "Thu, 01 Jan 2032 00:00:00 GMT"
            assert got["Metadata"] == {"one": "1", "two": "zwei"}
            assert abs(got["LastModified"].timestamp() - time.time()) < 3600
            assert "StorageClass" not in got
        assert body(s3.get_object(Bucket=bucket, Key=key)) == data
    assert s3.head_object(Bucket=bucket, Key="plain")["ContentLength"] == 0
    s3.put_object(Bucket=bucket, Key="plain", Body=b"again")
    got = s3.get_object(Bucket=bucket, Key="plain")
    assert body(got) == b"again" and got["ContentType"] == "binary/octet-stream"
    assert got["Metadata"] == {} and "ContentEncoding" not in got
    assert refused(s3.get_object, Bucket=bucket, Key="none") == ("NoSuchKey", 404)
    assert refused(s3.head_object, Bucket=bucket, Key="none") == ("404", 404)
    s3.delete_object(Bucket=bucket, Key="plain")
    s3.delete_object(Bucket=bucket, Key="plain")
    assert refused(s3.get_object, Bucket=bucket, Key="plain") == ("NoSuchKey", 404)


def test_ranges(local, s3, bucket):
    data = bytes(range(256)) * 4000
    s3.put_object(Bucket=bucket, Key="k", Body=data)
    for spec, low, high in [("0-0", 0, 1), ("5-", 5, None), ("-7", -7, None), ("1000-99999999", 1000, None),
                            ("100-199", 100, 200)]:
        got = s3.get_object(Bucket=bucket, Key="k", Range=f"bytes={spec}")
        piece = data[low:high]
        assert got["ResponseMetadata"]["HTTPStatusCode"] == 206
        at = len(data) + low if low < 0 else low
        assert got["ContentRange"] == f"bytes {at}-{at + len(piece) - 1}/{len(data)}"
        assert body(got) == piece
        assert s3.head_object(Bucket=bucket, Key="k", Range=f"bytes={spec}")["ContentLength"] == len(piece)
    for spec in ("1024000-", "1024000-1024001", "-0"):
        assert refused(s3.get_object, Bucket=bucket, Key="k", Range=f"bytes={spec}") == (
            "InvalidRange", 416)
    for spec in ("bytes=1-2,4-5", "bytes=9-1", "lines=1-2"):  # not of this form: the whole
        got = s3.get_object(Bucket=bucket, Key="k", Range=spec)
        assert got["ResponseMetadata"]["HTTPStatusCode"] == 200 and body(got) == data
    got = s3.get_object(Bucket=bucket, Key="k", PartNumber=1)
    assert got["ResponseMetadata"]["HTTPStatusCode"] == 206 and body(got) == data
    assert refused(s3.get_object, Bucket=bucket, Key="k", PartNumber=2) == ("InvalidPartNumber", 416)
    assert refused(s3.get_object, Bucket=bucket, Key="k", PartNumber=1, Range="bytes=0-1") == (
        "InvalidRequest", 400)
    assert code_of(send(local, "GET", f"/{bucket}/k?partNumber=x")) == ("InvalidArgument", 400)


def test_conditions_of_reads(s3, bucket):
    etag = s3.put_object(Bucket=bucket, Key="k", Body=b"x")["ETag"]
    at = s3.head_object(Bucket=bucket, Key="k")["LastModified"]
    before, after = at.timestamp() - 100, at.timestamp() + 100
    for call in (s3.get_object, s3.head_object):
        def outcome(**conditions):
            try:
                return call(Bucket=bucket, Key="k", **conditions)["ResponseMetadata"]["HTTPStatusCode"]
            except ClientError as e:
                return e.response["ResponseMetadata"]["HTTPStatusCode"]
        assert outcome(IfMatch=etag) == 200 and outcome(IfMatch='"a", ' + etag) == 200
        assert outcome(IfMatch="*") == 200 and outcome(IfMatch='"other"') == 412
        assert outcome(IfNoneMatch=etag) == 304 and outcome(IfNoneMatch='"other"') == 200
        assert outcome(IfModifiedSince=before) == 200 and outcome(IfModifiedSince=at) == 304
        assert outcome(IfUnmodifiedSince=before) == 412 and outcome(IfUnmodifiedSince=at) == 200
        assert outcome(IfMatch=etag, IfUnmodifiedSince=before) == 200
        assert outcome(IfNoneMatch='"other"', IfModifiedSince=after) == 200
    with pytest.raises(ClientError) as error:
        s3.get_object(Bucket=bucket, Key="k", IfMatch='"other"')
    assert error.value.response["Error"]["Code"] == "PreconditionFailed"
    assert error.value.response["Error"]["Condition"] == "If-Match"


def test_answers_in_other_words(s3, bucket):
    s3.put_object(Bucket=bucket, Key="k", Body=b"x", ContentType="text/plain", CacheControl="no-store")
    got = s3.get_object(Bucket=bucket, Key="k", ResponseContentType="a/b", ResponseCacheControl="public",
                        ResponseContentDisposition="inline; filename=\"x y\"", ResponseContentLanguage="fr",
                        ResponseContentEncoding="identity", ResponseExpires="Thu, 01 Jan 2032 00:00:00 GMT")
    assert (got["ContentType"], got["CacheControl"], got["ContentLanguage"]) == ("a/b", "public", "fr")
    assert got["ContentDisposition"] == "inline; filename=\"x y\"" and got["ContentEncoding"] == "identity"
    assert s3.get_object(Bucket=bucket, Key="k")["ContentType"] == "text/plain"


def test_conditions_of_writes(s3, bucket):
    etag = s3.put_object(Bucket=bucket, Key="k", Body=b"1", IfNoneMatch="*")["ETag"]
    assert refused(s3.put_object, Bucket=bucket, Key="k", Body=b"2", IfNoneMatch="*") == (
        "PreconditionFailed", 412)
    assert refused(s3.put_object, Bucket=bucket, Key="k", Body=b"2", IfMatch='"0"') == (
        "PreconditionFailed", 412)
    assert refused(s3.put_object, Bucket=bucket, Key="none", Body=b"2", IfMatch=etag) == ("NoSuchKey", 404)
    assert refused(s3.put_object, Bucket=bucket, Key="k", Body=b"2", IfNoneMatch=etag) == (
        "NotImplemented", 501)
    assert body(s3.get_object(Bucket=bucket, Key="k")) == b"1"
    etag = s3.put_object(Bucket=bucket, Key="k", Body=b"3", IfMatch=etag)["ETag"]
    assert body(s3.get_object(Bucket=bucket, Key="k")) == b"3"
    assert refused(s3.copy_object, Bucket=bucket, Key="k", CopySource=f"{bucket}/k", IfNoneMatch="*",
                   MetadataDirective="REPLACE") == ("PreconditionFailed", 412)
    assert refused(s3.delete_object, Bucket=bucket, Key="k", IfMatch='"0"') == ("PreconditionFailed", 412)
    assert refused(s3.delete_object, Bucket=bucket, Key="none", IfMatch="*") == ("NoSuchKey", 404)
    s3.delete_object(Bucket=bucket, Key="k", IfMatch=etag)
    assert refused(s3.head_object, Bucket=bucket, Key="k") == ("404", 404)


def test_delete_objects(local, s3, bucket):
    keys = [f"k{i}<&>" for i in range(20)]
    for key in keys:
        s3.put_object(Bucket=bucket, Key=key, Body=key.encode())
    answer = s3.delete_objects(Bucket=bucket, Delete={"Objects": [{"Key": k} for k in keys[:5]] + [
        {"Key": "never there"}, {"Key": keys[5], "ETag": '"other"'}, {"Key": keys[6], "VersionId": "v"}]})
    assert [d["Key"] for d in answer["Deleted"]] == keys[:5] + ["never there"]
    assert [(e["Key"], e["Code"]) for e in answer["Errors"]] == [
        (keys[5], "PreconditionFailed"), (keys[6], "NoSuchVersion")]
    answer = s3.delete_objects(Bucket=bucket, Delete={"Quiet": True, "Objects": [{"Key": keys[5]}]})
    assert "Deleted" not in answer and "Errors" not in answer
    left = [o["Key"] for o in s3.list_objects_v2(Bucket=bucket)["Contents"]]
    assert sorted(left) == sorted(keys[6:])
    assert refused(s3.delete_objects, Bucket=bucket, Delete={
        "Objects": [{"Key": str(i)} for i in range(1001)]}) == ("MalformedXML", 400)
    s3.delete_objects(Bucket=bucket, Delete={"Objects": [{"Key": str(i)} for i in range(994)] + [
        {"Key": k} for k in keys[6:12]]})
    document = b"<Delete><Object><Key>k</Key></Object></Delete>"
    assert code_of(send(local, "POST", f"/{bucket}?delete", document)) == ("InvalidRequest", 400)
    md5 = {"Content-MD5": b64(hashlib.md5(document).digest())}
    assert send(local, "POST", f"/{bucket}?delete", document, md5)[0] == 200
    for bad in (b"<Delete></Delete>", b"<Delete><Object><Key>k</Key></Object>", b"", b"<Delete><Other/></Delete>",
                b"<Delete><Object></Object></Delete>", b"<Remove/>"):
        md5 = {"Content-MD5": b64(hashlib.md5(bad).digest())}
        assert code_of(send(local, "POST", f"/{bucket}?delete", bad, md5)) == ("MalformedXML", 400)


def test_copies(s3, bucket):
    s3.put_object(Bucket=bucket, Key="a b/\u00e9+", Body=b"text", ContentType="a/b", Metadata={"x": "1"},
                  Tagging="t=1", ChecksumAlgorithm="SHA256")
    source = {"Bucket": bucket, "Key": "a b/\u00e9+"}
    etag = s3.head_object(**source)["ETag"]
    answer = s3.copy_object(Bucket="ready", Key="copy", CopySource=source)["CopyObjectResult"]
    assert answer["ETag"] == etag
    assert answer["ChecksumSHA256"] == b64(hashlib.sha256(b"text").digest())
    got = s3.get_object(Bucket="ready", Key="copy")
    assert body(got) == b"text" and got["ContentType"] == "a/b" and got["Metadata"] == {"x": "1"}
    assert s3.get_object_tagging(Bucket="ready", Key="copy")["TagSet"] == [{"Key": "t", "Value": "1"}]
    s3.copy_object(Bucket=bucket, Key="new", CopySource=source, MetadataDirective="REPLACE",
                   ContentType="c/d", Metadata={"y": "2"}, TaggingDirective="REPLACE", Tagging="u=2",
                   StorageClass="STANDARD_IA", ChecksumAlgorithm="CRC32C")
    got = s3.head_object(Bucket=bucket, Key="new", ChecksumMode="ENABLED")
    assert (got["ContentType"], got["Metadata"], got["StorageClass"]) == ("c/d", {"y": "2"}, "STANDARD_IA")
    assert got["ChecksumType"] == "FULL_OBJECT" and "ChecksumCRC32C" in got
    assert s3.get_object_tagging(Bucket=bucket, Key="new")["TagSet"] == [{"Key": "u", "Value": "2"}]
    # The source goes, the copy stays.
    s3.delete_object(Bucket=bucket, Key="new")
    assert body(s3.get_object(Bucket="ready", Key="copy")) == b"text"
    assert refused(s3.copy_object, Bucket=bucket, Key=source["Key"], CopySource=source) == (
        "InvalidRequest", 400)
    s3.copy_object(Bucket=bucket, Key=source["Key"], CopySource=source, MetadataDirective="REPLACE",
                   Metadata={"z": "3"})
    assert s3.head_object(**source)["Metadata"] == {"z": "3"}
    assert body(s3.get_object(**source)) == b"text"
    s3.copy_object(Bucket=bucket, Key="c", CopySource=source, CopySourceIfMatch=etag,
                   CopySourceIfNoneMatch='"0"', CopySourceIfModifiedSince=0)
    for condition in ({"CopySourceIfMatch": '"0"'}, {"CopySourceIfNoneMatch": etag},
                      {"CopySourceIfUnmodifiedSince": 0}):
        assert refused(s3.copy_object, Bucket=bucket, Key="c", CopySource=source, **condition) == (
            "PreconditionFailed", 412)
    assert refused(s3.copy_object, Bucket=bucket, Key="c", CopySource=f"{bucket}/none") == (
        "NoSuchKey", 404)
    assert refused(s3.copy_object, Bucket=bucket, Key="c", CopySource="not-there/none") == (
        "NoSuchBucket", 404)
    assert refused(s3.copy_object, Bucket=bucket, Key="c", CopySource="nokey") == ("InvalidArgument", 400)
    assert refused(s3.copy_object, Bucket=bucket, Key="c", CopySource=source,
                   MetadataDirective="KEEP") == ("InvalidArgument", 400)


def test_tags(local, s3, bucket):
    s3.put_object(Bucket=bucket, Key="k", Body=b"x", Tagging="a=1&b%20c=%C3%A9+d&e=")
    assert s3.head_object(Bucket=bucket, Key="k")["TagCount"] == 3
    tags = [{"Key": "a", "Value": "1"}, {"Key": "b c", "Value": "\u00e9 d"}, {"Key": "e", "Value": ""}]
    assert s3.get_object_tagging(Bucket=bucket, Key="k")["TagSet"] == tags

    def put(pairs):
        return s3.put_object_tagging(Bucket=bucket, Key="k", Tagging={
            "TagSet": [{"Key": k, "Value": v} for k, v in pairs]})
    ten = [(f"k{i}", "v" * 256) for i in range(9)] + [("\u65e5" * 128, "")]
    put(ten)
    assert len(s3.get_object_tagging(Bucket=bucket, Key="k")["TagSet"]) == 10
    for pairs, code in [(ten + [("eleven", "")], "BadRequest"), ([("a", "1"), ("a", "2")], "InvalidTag"),
                        ([("a" * 129, "")], "InvalidTag"), ([("a", "v" * 257)], "InvalidTag"),
                        ([("aws:a", "")], "InvalidTag"), ([("a{", "")], "InvalidTag")]:
        with pytest.raises(ClientError) as error:
            put(pairs)
        assert error.value.response["Error"]["Code"] == code
    assert len(s3.get_object_tagging(Bucket=bucket, Key="k")["TagSet"]) == 10
    put([])
    assert s3.get_object_tagging(Bucket=bucket, Key="k")["TagSet"] == []
    put([("x", "y")])
    s3.delete_object_tagging(Bucket=bucket, Key="k")
    assert s3.get_object_tagging(Bucket=bucket, Key="k")["TagSet"] == []
    assert refused(s3.get_object_tagging, Bucket=bucket, Key="none") == ("NoSuchKey", 404)
    assert refused(s3.put_object, Bucket=bucket, Key="k2", Tagging="a=1&a=2") == ("InvalidTag", 400)
    assert refused(s3.put_object, Bucket=bucket, Key="k2", Tagging="=1") == ("InvalidArgument", 400)
    assert refused(s3.head_object, Bucket=bucket, Key="k2") == ("404", 404)
    document = b"<Tagging><TagSet/></Tagging>"
    assert code_of(send(local, "PUT", f"/{bucket}/k?tagging", document)) == ("InvalidRequest", 400)
    bad = b"<Tagging><Tag><Key>a</Key></Tag></Tagging>"
    md5 = {"Content-MD5": b64(hashlib.md5(bad).digest())}
    assert code_of(send(local, "PUT", f"/{bucket}/k?tagging", bad, md5)) == ("MalformedXML", 400)


# ---- listings ----

def listed(keys, prefix, delimiter, after=""):
    """What a listing of these keys is to be: keys and rolled-up prefixes, in order."""
    found = []
    for key in sorted(keys, key=str.encode):
        if not key.startswith(prefix) or key.encode() <= after.encode():
            continue
        at = key.find(delimiter, len(prefix)) if delimiter else -1
        item = key if at < 0 else key[:at + len(delimiter)]
        if item not in found:
            found.append(item)
    return found


def pages(call, bucket, size, prefix, delimiter, token, next_token):
    """All pages put together, each in order and none too long."""
    found, more = [], {}
    while True:
        page = call(Bucket=bucket, Prefix=prefix, MaxKeys=size,
                    **({"Delimiter": delimiter} if delimiter else {}), **more)
        items = [o["Key"] for o in page.get("Contents", [])] + [
            p["Prefix"] for p in page.get("CommonPrefixes", [])]
        assert len(items) <= size
        found += sorted(items, key=str.encode)
        if not page["IsTruncated"]:
            return found
        assert len(items) == size
        more = {token: page.get(next_token) or page["Contents"][-1]["Key"]}


def test_listings(s3, bucket):
    choose = random.Random(7)
    keys = {"".join(choose.choice(["a", "b", "/", "-", "\u00e9", "\u65e5", "\U0001f600", "\uffee"])
                    for _ in range(choose.randint(1, 7))) for _ in range(120)}
    keys |= {"a/", "a/b", "a//b", "a0", "a+b c%", "line\nfeed", "\x01control", "<&>\"'"}
    for key in keys:
        s3.put_object(Bucket=bucket, Key=key, Body=key.encode())
    for prefix, delimiter in [("", ""), ("", "/"), ("a", "/"), ("a/", "/"), ("", "-\u00e9"), ("\u65e5", ""),
                              ("zzz", "/"), ("a", "b"), ("", "a")]:
        expected = listed(keys, prefix, delimiter)
        for size in (1, 3, 7, 1000):
            assert pages(s3.list_objects_v2, bucket, size, prefix, delimiter, "ContinuationToken",
                         "NextContinuationToken") == expected
            if size != 1 or len(expected) < 40:
                assert pages(s3.list_objects, bucket, size, prefix, delimiter, "Marker",
                             "NextMarker") == expected
    answer = s3.list_objects_v2(Bucket=bucket, StartAfter="a/b", MaxKeys=5, FetchOwner=True)
    assert [o["Key"] for o in answer["Contents"]] == listed(keys, "", "", "a/b")[:5]
    assert answer["StartAfter"] == "a/b" and answer["KeyCount"] == 5 and answer["MaxKeys"] == 5
    first = answer["Contents"][0]
    assert first["Owner"]["ID"] == "000000000000" and first["StorageClass"] == "STANDARD"
    assert first["Size"] == len(first["Key"].encode()) and first["ChecksumAlgorithm"] == ["CRC32"]
    assert first["ETag"] == f'"{hashlib.md5(first["Key"].encode()).hexdigest()}"'
    assert "Owner" not in s3.list_objects_v2(Bucket=bucket)["Contents"][0]
    assert "Owner" in s3.list_objects(Bucket=bucket)["Contents"][0]
    empty = s3.list_objects_v2(Bucket=bucket, MaxKeys=0)
    assert empty["KeyCount"] == 0 and not empty["IsTruncated"]
    assert s3.list_objects_v2(Bucket=bucket, MaxKeys=5000)["MaxKeys"] == 1000


def test_listings_in_the_wire_s_words(local, s3, bucket):
    s3.put_object(Bucket=bucket, Key="a b/\u00e9+\n", Body=b"")
    text = send(local, "GET", f"/{bucket}?list-type=2&encoding-type=url&delimiter=%2B&prefix=a%20b")[2].decode()
    assert "<Prefix>a+b/%C3%A9%2B</Prefix>" in text and "<EncodingType>url</EncodingType>" in text
    assert "<Prefix>a+b</Prefix>" in text and "<Delimiter>%2B</Delimiter>" in text
    text = send(local, "GET", f"/{bucket}?list-type=2&encoding-type=url")[2].decode()
    assert "<Key>a+b/%C3%A9%2B%0A</Key>" in text
    for query in ("list-type=3", "list-type=2&encoding-type=base64", "max-keys=x", "max-keys=-1",
                  "list-type=2&continuation-token=abc", "list-type=2&continuation-token="):
        assert code_of(send(local, "GET", f"/{bucket}?{query}")) == ("InvalidArgument", 400), query


def test_a_long_listing(s3, bucket):
    for i in range(1003):
        s3.put_object(Bucket=bucket, Key=f"{i:05}", Body=b"")
    first = s3.list_objects_v2(Bucket=bucket)
    assert first["IsTruncated"] and first["KeyCount"] == 1000
    rest = s3.list_objects_v2(Bucket=bucket, ContinuationToken=first["NextContinuationToken"])
    assert [o["Key"] for o in rest["Contents"]] == ["01000", "01001", "01002"] and not rest["IsTruncated"]


# ---- encryption, class, limits ----

def test_encryption_that_is_echoed(s3, bucket):
    key = "arn:aws:kms:us-east-1:000000000000:key/1234"
    put = s3.put_object(Bucket=bucket, Key="k", Body=b"x", ServerSideEncryption="aws:kms", SSEKMSKeyId=key,
                        SSEKMSEncryptionContext=b64(b'{"a":"b"}'), BucketKeyEnabled=True)
    assert put["ServerSideEncryption"] == "aws:kms" and put["SSEKMSKeyId"] == key and put["BucketKeyEnabled"]
    assert put["ETag"] != f'"{hashlib.md5(b"x").hexdigest()}"'
    got = s3.get_object(Bucket=bucket, Key="k")
    assert got["ServerSideEncryption"] == "aws:kms" and got["SSEKMSKeyId"] == key and body(got) == b"x"
    assert s3.put_object(Bucket=bucket, Key="k", ServerSideEncryption="aws:kms:dsse")[
        "ServerSideEncryption"] == "aws:kms:dsse"
    assert s3.put_object(Bucket=bucket, Key="k", ServerSideEncryption="AES256")[
        "ServerSideEncryption"] == "AES256"
    assert refused(s3.put_object, Bucket=bucket, Key="k", ServerSideEncryption="rot13") == (
        "InvalidArgument", 400)
    assert refused(s3.put_object, Bucket=bucket, Key="k", SSEKMSKeyId=key) == ("InvalidArgument", 400)
    long = s3.put_object(Bucket=bucket, Key="k", ServerSideEncryption="aws:kms", SSEKMSKeyId="arn:" + "k" * 5000)
    assert len(long["SSEKMSKeyId"]) == 5004


def test_keys_of_customers(local, bucket):
    s3 = connect(local, tls=True)
    key, other = bytes(range(32)), bytes(32)
    mine = {"SSECustomerAlgorithm": "AES256", "SSECustomerKey": key}
    put = s3.put_object(Bucket=bucket, Key="k", Body=b"secret", **mine)
    assert put["SSECustomerAlgorithm"] == "AES256"
    assert put["SSECustomerKeyMD5"] == b64(hashlib.md5(key).digest()) and "ServerSideEncryption" not in put
    assert body(s3.get_object(Bucket=bucket, Key="k", **mine)) == b"secret"
    assert refused(s3.get_object, Bucket=bucket, Key="k") == ("InvalidRequest", 400)
    assert refused(s3.head_object, Bucket=bucket, Key="k") == ("400", 400)
    assert refused(s3.get_object, Bucket=bucket, Key="k", SSECustomerAlgorithm="AES256",
                   SSECustomerKey=other) == ("AccessDenied", 403)
    s3.put_object(Bucket=bucket, Key="open", Body=b"x")
    assert refused(s3.get_object, Bucket=bucket, Key="open", **mine) == ("InvalidRequest", 400)
    assert refused(s3.put_object, Bucket=bucket, Key="x", SSECustomerAlgorithm="AES128",
                   SSECustomerKey=key) == ("InvalidEncryptionAlgorithmError", 400)
    assert refused(s3.put_object, Bucket=bucket, Key="x", SSECustomerAlgorithm="AES256",
                   SSECustomerKey=key[:16]) == ("InvalidArgument", 400)
    headers = {"x-amz-server-side-encryption-customer-algorithm": "AES256",
               "x-amz-server-side-encryption-customer-key": b64(key),
               "x-amz-server-side-encryption-customer-key-MD5": b64(bytes(16))}
    assert code_of(send(local, "PUT", f"/{bucket}/x", headers=headers)) == ("InvalidArgument", 400)
    upload = begin(s3, bucket, **mine)
    assert refused(part, s3=s3, bucket=bucket, upload=upload, number=1, data=b"x") == ("InvalidRequest", 400)
    complete(s3, bucket, upload, [plain(part(s3, bucket, upload, 1, b"in parts", **mine))])
    assert body(s3.get_object(Bucket=bucket, Key="m", **mine)) == b"in parts"
    s3.copy_object(Bucket=bucket, Key="opened", CopySource=f"{bucket}/k",
                   CopySourceSSECustomerAlgorithm="AES256", CopySourceSSECustomerKey=key)
    assert body(s3.get_object(Bucket=bucket, Key="opened")) == b"secret"
    assert refused(s3.copy_object, Bucket=bucket, Key="opened", CopySource=f"{bucket}/k") == (
        "InvalidRequest", 400)


def test_limits_and_classes(local, s3, bucket):
    s3.put_object(Bucket=bucket, Key="k", Body=b"x", Metadata={"a": "v" * 2047})
    assert refused(s3.put_object, Bucket=bucket, Key="k", Metadata={"a": "v" * 2048}) == (
        "MetadataTooLarge", 400)
    assert refused(s3.put_object, Bucket=bucket, Key="x" * 1025) == ("KeyTooLongError", 400)
    assert refused(s3.put_object, Bucket=bucket, Key="k", StorageClass="WARM") == ("InvalidStorageClass", 400)
    assert refused(s3.put_object, Bucket=bucket, Key="k", ObjectLockMode="GOVERNANCE",
                   ObjectLockRetainUntilDate=time.time() + 9) == ("InvalidRequest", 400)
    s3.put_object(Bucket=bucket, Key="cold", Body=b"x", StorageClass="GLACIER")
    assert s3.head_object(Bucket=bucket, Key="cold")["StorageClass"] == "GLACIER"
    assert refused(s3.get_object, Bucket=bucket, Key="cold") == ("InvalidObjectState", 403)
    for call, more in [(s3.get_object, {"Key": "k"}), (s3.put_object, {"Key": "k"}), (s3.list_objects_v2, {})]:
        call(Bucket=bucket, ExpectedBucketOwner="000000000000", **more)
        assert refused(call, Bucket=bucket, ExpectedBucketOwner="111122223333", **more) == (
            "AccessDenied", 403)
    assert code_of(send(local, "GET", f"/{bucket}/%FF")) == ("InvalidURI", 400)


# ---- who asks ----

def test_signatures(local, s3, bucket):
    s3.put_object(Bucket=bucket, Key="k", Body=b"x")
    get = {"Bucket": bucket, "Key": "k"}
    assert refused(connect(local, key="nobody").get_object, **get) == ("InvalidAccessKeyId", 403)
    assert refused(connect(local, secret="wrong").get_object, **get) == ("SignatureDoesNotMatch", 403)
    assert refused(connect(local, token="token").get_object, **get) == ("InvalidToken", 400)
    assert code_of(raw(local, "GET", f"/{bucket}/k")) == ("AccessDenied", 403)
    path = f"/{bucket}/k"

    def changed(name, value):
        def change(headers):
            for one in [k for k in headers if k.lower() == name.lower()]:
                del headers[one]
            if value is not None:
                headers[name] = value
        return change
    assert code_of(send(local, "GET", path, change=changed("Authorization", "AWS4-HMAC-SHA256 x"))) == (
        "AuthorizationHeaderMalformed", 400)
    assert code_of(send(local, "GET", path, headers={"x-amz-checksum-mode": "ENABLED"},
                        change=changed("x-amz-checksum-mode", "OTHER"))) == ("SignatureDoesNotMatch", 403)
    assert code_of(send(local, "GET", path, change=changed("x-amz-meta-more", "1"))) == ("AccessDenied", 403)
    assert code_of(send(local, "GET", path, change=changed("x-amz-content-sha256", None))) == (
        "SignatureDoesNotMatch", 403)
    request = AWSRequest(method="GET", url=f"http://127.0.0.1:{local.port}{path}")
    SigV4Auth(Credentials("local", "local-secret"), "s3", "us-east-1").add_auth(request)
    assert code_of(raw(local, "GET", path, headers=dict(request.headers))) == ("InvalidRequest", 400)
    request = AWSRequest(method="GET", url=f"http://127.0.0.1:{local.port}{path}")
    SigV4Auth(Credentials("local", "local-secret"), "sqs", "us-east-1").add_auth(request)
    assert raw(local, "GET", path, headers=dict(request.headers))[0] == 404  # nobody's
    local.faults([{"service": "s3", "operation": "GetObject", "expire_keys": True, "count": 1}])
    assert refused(s3.get_object, **get) == ("ExpiredToken", 400)
    local.admin("DELETE", "faults")
    local.skew(16 * 60)
    assert refused(s3.put_object, Body=b"", **get) == ("RequestTimeTooSkewed", 403)
    local.skew(0)
    assert body(s3.get_object(**get)) == b"x"

def test_presigned_urls(local, s3, bucket):
    def fetch(url, method="GET", data=None):
        parts = urllib.parse.urlsplit(url)
        return raw(local, method, f"{parts.path}?{parts.query}", data or b"")
    signer = connect(local, signature_version="s3v4")
    put = signer.generate_presigned_url("put_object", Params={"Bucket": bucket, "Key": "a b"}, ExpiresIn=60)
    assert fetch(put, "PUT", b"by url")[0] == 200
    get = signer.generate_presigned_url("get_object", Params={
        "Bucket": bucket, "Key": "a b", "ResponseContentType": "x/y"}, ExpiresIn=60)
    status, headers, text = fetch(get)
    assert (status, text, headers["content-type"]) == (200, b"by url", "x/y")
    assert code_of(fetch(get.replace("x%2Fy", "x%2Fz"))) == ("SignatureDoesNotMatch", 403)
    assert code_of(fetch(re.sub("X-Amz-Signature=.", "X-Amz-Signature=", get))) == (
        "SignatureDoesNotMatch", 403)
    assert code_of(fetch(get, "DELETE")) == ("SignatureDoesNotMatch", 403)
    assert code_of(fetch(re.sub("&X-Amz-Expires=60", "", get))) == ("AuthorizationQueryParametersError", 400)
    local.skew(61)
    code, status = code_of(fetch(get))
    assert (code, status) == ("AccessDenied", 403) and b"Request has expired" in fetch(get)[2]


def test_without_verification(tmp_path):
    with LocalAws(tmp_path, "--bucket", "box") as local:
        assert raw(local, "PUT", "/box/k", b"x")[0] == 200
        assert raw(local, "GET", "/box/k")[2] == b"x"
        anywhere = connect(local, region="ap-south-1", key="who", secret="ever")
        assert body(anywhere.get_object(Bucket="box", Key="k")) == b"x"
        anywhere.create_bucket(Bucket="mine", CreateBucketConfiguration={"LocationConstraint": "ap-south-1"})
        assert send_chunks(local, "/box/k", b"y" * 9000, alter=flip("signature 0"))[0] == 200
        assert anywhere.head_object(Bucket="box", Key="k")["ContentLength"] == 9000
        wrong = {"x-amz-content-sha256": hashlib.sha256(b"other").hexdigest()}
        assert code_of(raw(local, "PUT", "/box/k", b"x", wrong)) == ("XAmzContentSHA256Mismatch", 400)


# ---- errors and faults ----

def test_the_shape_of_errors(local, bucket):
    status, headers, text = send(local, "GET", f"/{bucket}/none%3C")
    assert headers["content-type"] == "application/xml"
    error = ET.fromstring(text)
    assert [e.tag for e in error] == ["Code", "Message", "Key", "RequestId", "HostId"]
    assert error.find("Key").text == "none<" and len(headers["x-amz-request-id"]) == 16
    status, headers, text = send(local, "HEAD", f"/{bucket}/none")
    assert status == 404 and text == b"" and headers["x-amz-request-id"] and headers["x-amz-id-2"]
    first, second = (send(local, "GET", f"/{bucket}")[1]["x-amz-request-id"] for _ in range(2))
    assert first != second


@pytest.mark.parametrize("code,status", [
    ("SlowDown", 503), ("ServiceUnavailable", 503), ("InternalError", 500), ("RequestTimeout", 400),
    ("BadDigest", 400), ("XAmzContentChecksumMismatch", 400), ("XAmzContentSHA256Mismatch", 400),
    ("OperationAborted", 409), ("ConditionalRequestConflict", 409), ("PreconditionFailed", 412),
    ("NoSuchUpload", 404), ("EntityTooSmall", 400), ("InvalidPart", 400), ("InvalidPartOrder", 400),
    ("EntityTooLarge", 400), ("MalformedXML", 400), ("RequestTimeTooSkewed", 403),
    ("SignatureDoesNotMatch", 403), ("InvalidAccessKeyId", 403), ("AccessDenied", 403),
    ("ExpiredToken", 400), ("NoSuchBucket", 404), ("NoSuchKey", 404)])
def test_errors_on_request(local, s3, code, status):
    local.faults([{"service": "s3", "operation": "PutObject", "exception": code, "count": 1}])
    assert refused(s3.put_object, Bucket="ready", Key="k", Body=b"x") == (code, status)
    s3.put_object(Bucket="ready", Key="k", Body=b"x")


def test_redirects_on_request(local):
    for code, status in [("PermanentRedirect", 301), ("TemporaryRedirect", 307)]:
        local.faults([{"service": "s3", "operation": "GetObject", "exception": code}])
        answer = send(local, "GET", "/ready/k")
        assert code_of(answer) == (code, status)
        assert answer[1]["x-amz-bucket-region"] == "us-east-1"


def test_an_error_in_a_success(local, s3, bucket):
    settings(local, part_min_bytes=1)
    upload = begin(s3, bucket)
    parts = [plain(part(s3, bucket, upload, n, b"xy")) for n in (1, 2)]
    rule = {"service": "s3", "operation": "CompleteMultipartUpload", "status": 200, "exception": "InternalError"}
    local.faults([rule])
    path, text = f"/{bucket}/m?uploadId={upload}", (
        "<CompleteMultipartUpload>" + "".join(
            f"<Part><PartNumber>{p['PartNumber']}</PartNumber><ETag>{p['ETag']}</ETag></Part>" for p in parts) +
        "</CompleteMultipartUpload>").encode()
    assert code_of(send(local, "POST", path, text)) == ("InternalError", 200)
    assert refused(s3.head_object, Bucket=bucket, Key="m") == ("404", 404)
    # It was carried out, and the answer says otherwise: boto3 tries again and hears of its success.
    local.faults([{**rule, "after": True, "count": 1}])
    assert refused(complete, s3=s3, bucket=bucket, upload=upload, parts=parts)[0] == "InternalError"
    assert s3.head_object(Bucket=bucket, Key="m")["ContentLength"] == 4
    assert complete(s3, bucket, upload, parts)["ETag"].endswith('-2"')
    body_of = "<?xml version=\"1.0\"?>\n<Error><Code>SlowDown</Code><Message>m</Message></Error>"
    local.faults([{"service": "s3", "operation": "CopyObject", "after": True, "body": body_of,
                   "content_type": "application/xml"}])
    assert refused(s3.copy_object, Bucket=bucket, Key="c", CopySource=f"{bucket}/m")[0] == "SlowDown"
    assert s3.head_object(Bucket=bucket, Key="c")["ContentLength"] == 4


def test_white_space_before_an_answer(local, s3, bucket):
    settings(local, part_min_bytes=1)
    s3.put_object(Bucket=bucket, Key="k", Body=b"x")
    local.faults([{"service": "s3", "operation": "CopyObject", "stream": {"white_space": 50},
                   "pace": {"bytes": 10, "every_ms": 1}}])
    status, _, text = send(local, "PUT", f"/{bucket}/c", headers={"x-amz-copy-source": f"/{bucket}/k"})
    assert status == 200 and text[:50].isspace() and text[50:].startswith(b"<?xml")
    assert ET.fromstring(text.strip()).tag.endswith("CopyObjectResult")
    local.faults([{"service": "s3", "operation": "CopyObject", "stream": {"white_space": 20}, "status": 200,
                   "exception": "SlowDown"}])
    text = send(local, "PUT", f"/{bucket}/c", headers={"x-amz-copy-source": f"/{bucket}/k"})[2]
    assert text[:20].isspace() and b"<Code>SlowDown</Code>" in text


def test_a_wrong_bit_and_parts_that_linger(local, s3, bucket):
    data = bytes(range(256)) * 100
    s3.put_object(Bucket=bucket, Key="k", Body=data)
    local.faults([{"service": "s3", "operation": "GetObject", "stream": {"flip_at": 300}, "count": 3}])
    found = send(local, "GET", f"/{bucket}/k")[2]
    assert [i for i in range(len(data)) if found[i] != data[i]] == [300] and len(found) == len(data)
    with pytest.raises(FlexibleChecksumError):
        body(s3.get_object(Bucket=bucket, Key="k"))
    piece = send(local, "GET", f"/{bucket}/k", headers={"Range": "bytes=100-499"})[2]
    assert [i for i in range(400) if piece[i] != data[100 + i]] == [300]
    assert body(s3.get_object(Bucket=bucket, Key="k")) == data
    upload = begin(s3, bucket)
    part(s3, bucket, upload, 1, b"x")
    local.faults([{"service": "s3", "operation": "AbortMultipartUpload", "stream": {"abort_lingers": 1},
                   "count": 1}])
    s3.abort_multipart_upload(Bucket=bucket, Key="m", UploadId=upload)
    assert len(s3.list_parts(Bucket=bucket, Key="m", UploadId=upload)["Parts"]) == 1
    s3.abort_multipart_upload(Bucket=bucket, Key="m", UploadId=upload)
    assert refused(s3.list_parts, Bucket=bucket, Key="m", UploadId=upload) == ("NoSuchUpload", 404)


def test_faults_that_any_service_has(local, s3, bucket):
    data = bytes(200_000)
    local.faults([{"service": "s3", "operation": "PutObject", "after": True, "exception": "InternalError",
                   "count": 1}])
    assert refused(s3.put_object, Bucket=bucket, Key="k", Body=data) == ("InternalError", 500)
    assert s3.head_object(Bucket=bucket, Key="k")["ContentLength"] == len(data)  # stored, answered 500
    local.faults([{"service": "s3", "operation": "GetObject", "cut": {"at": 100_000, "how": "close"},
                   "count": 1}])
    with pytest.raises(Exception) as error:
        body(s3.get_object(Bucket=bucket, Key="k"))
    assert "IncompleteRead" in repr(error.value) or "broken" in repr(error.value)
    assert body(s3.get_object(Bucket=bucket, Key="k")) == data
    local.faults([{"service": "s3", "operation": "GetObject", "latency_ms": 50, "exception": "SlowDown",
                   "count": 2}])
    patient = connect(local, retries={"total_max_attempts": 5, "mode": "standard"})
    assert body(patient.get_object(Bucket=bucket, Key="k")) == data
    hits = local.admin("GET", "faults")["rules"][0]["hits"]
    assert hits == 2
    counted = local.admin("GET", "stats")
    assert "s3.GetObject" in str(counted)


def test_settings(local):
    assert settings(local, 1, 3, 5, True) == {
        "part_min_bytes": 1, "parts_max": 3, "completed_ms": 5, "redirects": True}
    with pytest.raises(urllib.error.HTTPError) as error:
        local.admin("POST", "s3", {"part_min_bytes": -1})
    assert error.value.code == 400


# ---- over a restart ----

def test_what_outlives_the_process(tmp_path):
    def start():
        return LocalAws(tmp_path, "--dir", tmp_path / "state", "--bucket", "box", "--auth", "verify")
    data = bytes(range(256)) * 500
    with start() as local:
        settings(local, part_min_bytes=1)
        s3 = connect(local)
        s3.create_bucket(Bucket="far", CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
        s3.put_object(Bucket="box", Key="\u65e5", Body=data, Metadata={"x": "1"}, Tagging="a=b",
                      ContentType="a/b", StorageClass="STANDARD_IA", ChecksumAlgorithm="SHA256")
        s3.put_object(Bucket="box", Key="kms", Body=b"", ServerSideEncryption="aws:kms")
        done = begin(s3, "box", "done", ChecksumAlgorithm="SHA256")
        complete(s3, "box", done, [part(s3, "box", done, n, data, key="done", ChecksumAlgorithm="SHA256")
                                   for n in (1, 2)], key="done")
        upload = begin(s3, "box", "open", Metadata={"y": "2"})
        parts = [plain(part(s3, "box", upload, n, bytes([n]) * 9, key="open")) for n in (1, 3)]
        before = {k: s3.head_object(Bucket="box", Key=k, ChecksumMode="ENABLED")
                  for k in ("\u65e5", "kms", "done")}
    with start() as local:
        settings(local, part_min_bytes=1)
        s3 = connect(local)
        assert [b["Name"] for b in s3.list_buckets()["Buckets"]] == ["box", "far"]
        assert s3.get_bucket_location(Bucket="far")["LocationConstraint"] == "eu-west-1"
        for k, head in before.items():
            now = s3.head_object(Bucket="box", Key=k, ChecksumMode="ENABLED")
            assert {n: v for n, v in now.items() if n != "ResponseMetadata"} == {
                n: v for n, v in head.items() if n != "ResponseMetadata"}
        assert body(s3.get_object(Bucket="box", Key="\u65e5")) == data
        assert body(s3.get_object(Bucket="box", Key="done", PartNumber=2)) == data
        assert s3.get_object_tagging(Bucket="box", Key="\u65e5")["TagSet"] == [{"Key": "a", "Value": "b"}]
        assert complete(s3, "box", upload, parts, key="open")["ETag"].endswith('-2"')
        got = s3.get_object(Bucket="box", Key="open")
        assert body(got) == b"\1" * 9 + b"\3" * 9 and got["Metadata"] == {"y": "2"}
        assert begin(s3, "box") > upload
    state = next((tmp_path / "state").glob("s3*"))
    text = state.read_bytes()
    middle = len(text) // 2  # the bytes of an object: nothing but the sum knows them
    for damaged in (text[:middle], text[:middle] + bytes([text[middle] ^ 1]) + text[middle + 1:]):
        state.write_bytes(damaged)
        with pytest.raises(RuntimeError) as error:
            start()
        assert "s3.state" in str(error.value) and "it is damaged" in str(error.value)
