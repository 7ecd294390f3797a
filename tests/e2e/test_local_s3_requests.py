"""What weir-local's S3 makes of requests it has no operation for, and of those nobody should send:
every operation of botocore's model, parameters of no year, other signatures, ACLs, broken paths."""

import datetime
import urllib.parse
import xml.etree.ElementTree as ET

import pytest
from botocore.auth import S3SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from botocore.exceptions import ClientError

from local import LocalAws
from s3_requests import (
    body, bucket, code_of, connect, crc32, endpoint, local, raw, refused, s3, send)

# What there is an operation for; all else is refused.
KNOWN = {
    "AbortMultipartUpload", "CompleteMultipartUpload", "CopyObject", "CreateBucket",
    "CreateMultipartUpload", "DeleteBucket", "DeleteObject", "DeleteObjectTagging", "DeleteObjects",
    "GetBucketLocation", "GetBucketVersioning", "GetObject", "GetObjectAttributes", "GetObjectTagging",
    "HeadBucket", "HeadObject", "ListBuckets", "ListMultipartUploads", "ListObjects", "ListObjectsV2",
    "ListParts", "PutObject", "PutObjectTagging", "UploadPart", "UploadPartCopy"}
# Of other services: the first is ListBuckets but for its host, the second is signed for Lambda.
ELSEWHERE = {"ListDirectoryBuckets", "WriteGetObjectResponse"}


# ---- every operation ----

def example(shape, known, path=()):
    """The least that the shape takes; of the input's own members those of the query too."""
    if shape.type_name == "structure":
        wanted = {n for n, m in shape.members.items()
                  if n in shape.required_members
                  or not path and m.serialization.get("location") == "querystring"}
        if getattr(shape, "is_tagged_union", False):
            wanted = {next(iter(shape.members))}
        return {n: known[n] if n in known else example(shape.members[n], known, (*path, n))
                for n in wanted}
    if shape.type_name == "list":
        return [example(shape.member, known, (*path, "[]"))]
    if shape.type_name == "map":
        return {}
    text = "x" * shape.metadata.get("min", 1)
    return {"string": getattr(shape, "enum", None) or [text], "blob": [b"x"], "boolean": [True],
            "integer": [1], "long": [1], "float": [1.0], "double": [1.0],
            "timestamp": [datetime.datetime(2030, 1, 1)]}[shape.type_name][0]


def ask(client, name, **known):
    """The status and code of an operation of the model with an input made up from it."""
    model = client.meta.service_model.operation_model(name)
    given = example(model.input_shape, known) if model.input_shape else {}
    method = {v: k for k, v in client.meta.method_to_api_mapping.items()}[name]
    try:
        answer = getattr(client, method)(**given)
    except ClientError as e:
        return e.response["ResponseMetadata"]["HTTPStatusCode"], e.response["Error"]["Code"]
    return answer["ResponseMetadata"]["HTTPStatusCode"], None


def state(s3, full):
    names = [b["Name"] for b in s3.list_buckets()["Buckets"]]
    there = [(o["Key"], o["ETag"]) for o in s3.list_objects_v2(Bucket=full).get("Contents", [])]
    uploads = s3.list_multipart_uploads(Bucket=full).get("Uploads", [])
    tags = s3.get_object_tagging(Bucket=full, Key="k")["TagSet"]
    return names, there, len(uploads), tags, body(s3.get_object(Bucket=full, Key="k"))


def test_operations_that_are_not_there_change_nothing(local, bucket, s3):
    s3.put_object(Bucket=bucket, Key="k", Body=b"what was there", Tagging="a=b")
    s3.create_bucket(Bucket="nothing-in-it")
    before = state(s3, bucket)
    names = set(s3.meta.service_model.operation_names) - KNOWN - ELSEWHERE
    assert len(names) > 70
    wrong = {}
    for name in sorted(names):
        for target in (bucket, "nothing-in-it", "not-there-at-all"):
            more = {"UploadId": "x", "CopySource": f"{bucket}/k", "RenameSource": f"{bucket}/k"}
            answer = ask(s3, name, Bucket=target, Key="k", VersionId="null", **more)
            if answer[0] != 501 and (name, answer[0]) != ("WriteGetObjectResponse", 405):
                wrong[name, target] = answer
        if state(s3, bucket) != before:
            pytest.fail(f"{name} changed what is kept")
    assert not wrong
    s3.delete_bucket(Bucket="nothing-in-it")


def test_operations_that_are_there_know_their_parameters(local, bucket, s3):
    for name in sorted(KNOWN - {"CreateBucket", "DeleteBucket"}):
        s3.put_object(Bucket=bucket, Key="k", Body=b"x")
        answer = ask(s3, name, Bucket=bucket, Key="k", VersionId="null", CopySource=f"{bucket}/k",
                     ContinuationToken="", MetadataDirective="REPLACE")
        assert 200 <= answer[0] < 500, (name, answer)
    assert ask(s3, "DeleteBucket", Bucket="not-there-at-all") == (404, "NoSuchBucket")
    # Every parameter of a read is the row's own, and is heeded.
    got = s3.get_object(
        Bucket=bucket, Key="k", VersionId="null", PartNumber=1, ResponseContentType="a/b",
        ResponseCacheControl="no-store", ResponseContentDisposition="inline",
        ResponseContentEncoding="zip", ResponseContentLanguage="de",
        ResponseExpires=datetime.datetime(2030, 1, 1))
    assert body(got) == b"x" and got["ContentType"] == "a/b" and got["ContentEncoding"] == "zip"


@pytest.mark.parametrize("method", ["GET", "PUT", "POST", "DELETE", "HEAD"])
def test_parameters_of_no_year(local, bucket, s3, method):
    s3.create_bucket(Bucket="empty-one")
    s3.put_object(Bucket=bucket, Key="k", Body=b"kept")
    for path in ("/", "/empty-one", "/not-there-at-all", f"/{bucket}/k", f"/{bucket}/new"):
        for query in ("somethingNew", "somethingNew=1", "x-id=Some&somethingNew", "METADATATABLE",
                      "partNumber2=1&versionId=null", "="):
            status, headers, text = answer = send(local, method, f"{path}?{query}")
            if method == "HEAD":
                assert status in (400, 501) and text == b"", (path, query)
                continue
            code = code_of(answer)
            if query.endswith("versionId=null") or code != ("NotImplemented", 501):
                assert code in {("InvalidArgument", 400), ("NotImplemented", 501)}, (path, query)
            elif query != "=":
                name = [p for p in query.split("&") if not p.startswith("x-")][0].split("=")[0]
                root = ET.fromstring(text)
                assert root.find("Parameter").text == name and name in root.find("Message").text
    names = [b["Name"] for b in s3.list_buckets()["Buckets"]]
    assert "empty-one" in names and "not-there-at-all" not in names
    assert [o["Key"] for o in s3.list_objects_v2(Bucket=bucket)["Contents"]] == ["k"]
    assert body(s3.get_object(Bucket=bucket, Key="k")) == b"kept"
    # What a client says for itself is nobody's sub-resource.
    assert send(local, "GET", f"/{bucket}/k?x-id=GetObject&x-of-mine=1")[2] == b"kept"
    assert code_of(send(local, "PUT", f"/{bucket}/k?versionId=null")) == ("InvalidArgument", 400)
    assert code_of(send(local, "POST", f"/{bucket}?x-id=Some")) == ("MethodNotAllowed", 405)
    s3.delete_bucket(Bucket="empty-one")


# ---- who asks, otherwise ----

def fetch(local, url, method="GET", data=b""):
    parts = urllib.parse.urlsplit(url)
    return raw(local, method, f"{parts.path}?{parts.query}", data)


def test_signatures_of_version_two(local, bucket, s3, tmp_path):
    s3.put_object(Bucket=bucket, Key="k", Body=b"x")
    sentence = ("The authorization mechanism you have provided is not supported. Please use "
                "AWS4-HMAC-SHA256.")
    url = s3.generate_presigned_url("get_object", Params={"Bucket": bucket, "Key": "k"})
    assert "AWSAccessKeyId=" in url  # boto3's default
    for answer in (fetch(local, url),
                   raw(local, "GET", f"/{bucket}/k", headers={"Authorization": "AWS local:c2ln"}),
                   raw(local, "GET", f"/{bucket}/k", headers={
                       "Authorization": "AWS4-ECDSA-P256-SHA256 Credential=local/x/s3/aws4_request"})):
        assert code_of(answer) == ("InvalidRequest", 400)
        assert ET.fromstring(answer[2]).find("Message").text == sentence
    old = connect(local, signature_version="s3")
    assert refused(old.get_object, Bucket=bucket, Key="k") == ("InvalidRequest", 400)
    assert refused(old.put_object, Bucket=bucket, Key="k", Body=b"y") == ("InvalidRequest", 400)
    assert body(s3.get_object(Bucket=bucket, Key="k")) == b"x"
    assert code_of(raw(local, "GET", f"/{bucket}/k", headers={"Authorization": "Basic eDp5"})) == (
        "InvalidArgument", 400)
    with LocalAws(tmp_path, "--bucket", bucket) as unchecked:
        there = connect(unchecked)
        there.put_object(Bucket=bucket, Key="k", Body=b"x")
        url = there.generate_presigned_url("get_object", Params={"Bucket": bucket, "Key": "k"})
        assert fetch(unchecked, url)[2] == b"x"


def test_headers_in_a_presigned_url(local, bucket, s3):
    """Signers of other languages put x-amz-* into the query."""
    def put(query, path=f"/{bucket}/k", data=b"by url"):
        request = AWSRequest(method="PUT", url=f"{local.endpoint}{path}?{query}")
        S3SigV4QueryAuth(Credentials("local", "local-secret"), "s3", "us-east-1", 60).add_auth(request)
        return fetch(local, request.url, "PUT", data)
    summed = urllib.parse.quote(crc32(b"by url"), safe="")
    assert put("x-id=PutObject&X-Amz-Meta-One=1&x-amz-storage-class=STANDARD_IA"
               f"&x-amz-checksum-crc32={summed}&x-amz-tagging=a%3Db")[0] == 200
    head = s3.head_object(Bucket=bucket, Key="k")
    assert head["Metadata"] == {"one": "1"} and head["StorageClass"] == "STANDARD_IA"
    assert s3.get_object_tagging(Bucket=bucket, Key="k")["TagSet"] == [{"Key": "a", "Value": "b"}]
    assert code_of(put("x-amz-checksum-crc32=AAAAAA%3D%3D")) == ("BadDigest", 400)
    assert code_of(put("X-Amz-Acl=public-read")) == ("AccessControlListNotSupported", 400)
    assert put(f"x-amz-copy-source={bucket}%2Fk", f"/{bucket}/copy", b"")[0] == 200
    assert body(s3.get_object(Bucket=bucket, Key="copy")) == b"by url"


def test_acls(local, bucket, s3):
    calls = [(s3.put_object, {"Bucket": bucket, "Key": "k", "Body": b"x"}),
             (s3.copy_object, {"Bucket": bucket, "Key": "c", "CopySource": f"{bucket}/k"}),
             (s3.create_multipart_upload, {"Bucket": bucket, "Key": "m"})]
    for call, arguments in calls:
        for acl in ("private", "bucket-owner-full-control"):
            call(ACL=acl, **arguments)
        for more in ({"ACL": "public-read"}, {"ACL": "authenticated-read"}, {"GrantRead": "id=1"}):
            assert refused(call, **arguments, **more) == ("AccessControlListNotSupported", 400)
    assert refused(s3.put_object, Bucket=bucket, Key="none", Body=b"x", ACL="public-read") == (
        "AccessControlListNotSupported", 400)
    assert refused(s3.head_object, Bucket=bucket, Key="none") == ("404", 404)
    assert refused(s3.create_bucket, Bucket="for-everyone", ACL="public-read") == (
        "InvalidBucketAclWithObjectOwnership", 400)
    assert refused(s3.head_bucket, Bucket="for-everyone") == ("404", 404)
    s3.create_bucket(Bucket="for-me-alone", ACL="private")
    s3.delete_bucket(Bucket="for-me-alone")


# ---- what cannot be read ----

def test_paths_that_are_broken(local, bucket, s3):
    for path in (f"/{bucket}/%zz", f"/{bucket}/a%2", f"/{bucket}/%", f"/{bucket}/%g0", "/b%q/k",
                 f"/{bucket}/%ff"):
        assert code_of(raw(local, "GET", path)) == ("InvalidURI", 400), path
        assert code_of(raw(local, "PUT", path, b"x")) == ("InvalidURI", 400), path
    assert "Contents" not in s3.list_objects_v2(Bucket=bucket)
    s3.put_object(Bucket=bucket, Key="50%", Body=b"half")
    assert body(s3.get_object(Bucket=bucket, Key="50%")) == b"half"


def test_ranges_beyond_all_numbers(local, bucket, s3):
    s3.put_object(Bucket=bucket, Key="k", Body=b"0123456789")
    many = "9" * 24
    for spec, piece in [(f"0-{many}", b"0123456789"), (f"7-{many}", b"789"), (f"-{many}", b"0123456789"),
                        (f"9-{2**63 - 1}", b"9"), (f"8-{2**63}", b"89"), (f"8-{2**64}", b"89")]:
        got = s3.get_object(Bucket=bucket, Key="k", Range=f"bytes={spec}")
        assert got["ResponseMetadata"]["HTTPStatusCode"] == 206 and body(got) == piece, spec
    assert refused(s3.get_object, Bucket=bucket, Key="k", Range=f"bytes={many}-") == ("InvalidRange", 416)
