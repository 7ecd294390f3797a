"""Uploads in parts to weir-local's S3."""

import base64
import hashlib
import io
import random
import time

import pytest
from boto3.s3.transfer import TransferConfig
from botocore.exceptions import ClientError

from s3_requests import (
    begin, body, bucket, code_of, complete, connect, crc32, digest, endpoint, local, part,
    PART_MIN, plain, refused, s3, send, settings)

FULL = ["CRC32", "CRC32C", "CRC64NVME"]
COMPOSITE = ["CRC32", "CRC32C", "SHA1", "SHA256"]



def test_an_upload_in_parts(s3, bucket):
    upload = begin(s3, bucket, ContentType="a/b", Metadata={"x": "1"}, Tagging="t=1", StorageClass="STANDARD_IA")
    data = [bytes([n]) * (PART_MIN + n) for n in range(3)] + [b"end"]
    parts = [None] * 4
    for n in (3, 0, 2, 1):
        parts[n] = part(s3, bucket, upload, 10 * n + 1, data[n])
    part(s3, bucket, upload, 41, b"left out")
    parts[1] = part(s3, bucket, upload, 11, data[1][::-1])  # the later one counts
    md5s = b"".join(hashlib.md5(d).digest() for d in data)
    answer = complete(s3, bucket, upload, [plain(p) for p in parts])
    assert answer["ETag"] == f'"{hashlib.md5(md5s).hexdigest()}-4"'
    assert answer["Bucket"] == bucket and answer["Key"] == "m" and answer["Location"].endswith(f"/{bucket}/m")
    assert answer["ChecksumType"] == "FULL_OBJECT"
    got = s3.get_object(Bucket=bucket, Key="m", ChecksumMode="ENABLED")
    assert got["ContentType"] == "a/b" and got["Metadata"] == {"x": "1"} and got["TagCount"] == 1
    assert got["StorageClass"] == "STANDARD_IA" and got["ETag"] == answer["ETag"]
    whole = b"".join(data)
    assert body(got) == whole
    for n in range(4):
        got = s3.get_object(Bucket=bucket, Key="m", PartNumber=n + 1)
        assert body(got) == data[n] and got["PartsCount"] == 4
    assert refused(s3.get_object, Bucket=bucket, Key="m", PartNumber=5) == ("InvalidPartNumber", 416)
    at = PART_MIN - 2
    assert body(s3.get_object(Bucket=bucket, Key="m", Range=f"bytes={at}-{at + 3}")) == whole[at:at + 4]
    s3.copy_object(Bucket=bucket, Key="copy", CopySource=f"{bucket}/m")
    head = s3.head_object(Bucket=bucket, Key="copy")
    assert head["ETag"] == f'"{hashlib.md5(whole).hexdigest()}"' and head["ContentLength"] == len(whole)


@pytest.mark.parametrize("algorithm,kind", [(a, "FULL_OBJECT") for a in FULL] + [
    (a, "COMPOSITE") for a in COMPOSITE] + [("CRC32", None), ("CRC64NVME", None)])
def test_checksums_of_uploads(local, s3, bucket, algorithm, kind):
    settings(local, part_min_bytes=1)
    name = f"Checksum{algorithm}"
    created = s3.create_multipart_upload(Bucket=bucket, Key="m", ChecksumAlgorithm=algorithm,
                                         **({"ChecksumType": kind} if kind else {}))
    kind = kind or ("FULL_OBJECT" if algorithm == "CRC64NVME" else "COMPOSITE")
    assert created["ChecksumAlgorithm"] == algorithm and created["ChecksumType"] == kind
    upload = created["UploadId"]
    data = [bytes(range(256)) * n for n in (50, 1, 7)]
    given = {"ChecksumAlgorithm": algorithm} if algorithm in ("CRC32", "SHA1", "SHA256") else {}

    def put(n):
        if given:
            return part(s3, bucket, upload, n + 1, data[n], **given)
        # Without the C library that boto3 wants for these: no checksum of the client's.
        status, headers, _ = send(local, "PUT", f"/{bucket}/m?partNumber={n + 1}&uploadId={upload}", data[n])
        assert status == 200
        return {"PartNumber": n + 1, "ETag": headers["etag"],
                name: headers[f"x-amz-checksum-{algorithm.lower()}"]}
    parts = [put(n) for n in range(3)]
    if kind == "COMPOSITE":
        assert refused(complete, s3=s3, bucket=bucket, upload=upload, parts=[plain(p) for p in parts]) == (
            "InvalidRequest", 400)
    bad = [dict(p) for p in parts]
    bad[1][name] = parts[0][name]
    assert refused(complete, s3=s3, bucket=bucket, upload=upload, parts=bad) == ("InvalidPart", 400)
    answer = complete(s3, bucket, upload, parts)
    assert answer["ChecksumType"] == kind
    if kind == "COMPOSITE":
        digests = b"".join(base64.b64decode(p[name]) for p in parts)
        assert answer[name].endswith("-3")
        if algorithm != "CRC32C":
            assert answer[name] == digest(algorithm, digests) + "-3"
    else:
        whole = b"".join(data)
        if algorithm == "CRC32":
            assert answer[name] == crc32(whole)
        # Of the others: what the whole in one piece has.
        send(local, "PUT", f"/{bucket}/whole", whole)
        one = s3.copy_object(Bucket=bucket, Key="one", CopySource=f"{bucket}/whole",
                             ChecksumAlgorithm=algorithm)["CopyObjectResult"]
        assert answer[name] == one[name]
    got = s3.head_object(Bucket=bucket, Key="m", ChecksumMode="ENABLED")
    assert got[name] == answer[name] and got["ChecksumType"] == kind
    attributes = s3.get_object_attributes(Bucket=bucket, Key="m", ObjectAttributes=["ObjectParts", "Checksum"])
    assert attributes["ObjectParts"]["TotalPartsCount"] == 3
    if kind == "COMPOSITE":
        assert [p[name] for p in attributes["ObjectParts"]["Parts"]] == [p[name] for p in parts]
        one = s3.head_object(Bucket=bucket, Key="m", PartNumber=2, ChecksumMode="ENABLED")
        assert one[name] == parts[1][name]


def test_checksums_that_uploads_cannot_have(s3, bucket):
    for algorithm, kind in [("CRC64NVME", "COMPOSITE"), ("SHA1", "FULL_OBJECT"), ("SHA256", "FULL_OBJECT"),
                            ("XXHASH64", "COMPOSITE")]:
        assert refused(s3.create_multipart_upload, Bucket=bucket, Key="m", ChecksumAlgorithm=algorithm,
                       ChecksumType=kind) == ("InvalidRequest", 400)
    upload = begin(s3, bucket, ChecksumAlgorithm="SHA256")
    assert refused(part, s3=s3, bucket=bucket, upload=upload, number=1, data=b"x",
                   ChecksumAlgorithm="SHA1") == ("InvalidRequest", 400)
    assert s3.list_parts(Bucket=bucket, Key="m", UploadId=upload).get("Parts") is None


def test_lists_of_parts_that_are_refused(local, s3, bucket):
    settings(local, part_min_bytes=100, parts_max=20)
    upload = begin(s3, bucket)
    parts = [part(s3, bucket, upload, n, bytes(100 if n < 4 else 5)) for n in (1, 2, 3, 4, 6)]
    parts = [plain(p) for p in parts]
    nobody = {"PartNumber": 5, "ETag": parts[0]["ETag"]}
    wrong = {"PartNumber": 2, "ETag": '"0"'}

    def fails(list_of_parts, **more):
        return refused(complete, s3=s3, bucket=bucket, upload=upload, parts=list_of_parts, **more)
    assert fails([parts[1], parts[0]]) == ("InvalidPartOrder", 400)
    assert fails([parts[0], parts[0]]) == ("InvalidPartOrder", 400)
    assert fails([parts[0], nobody]) == ("InvalidPart", 400)
    assert fails([parts[0], wrong]) == ("InvalidPart", 400)
    assert fails(parts) == ("EntityTooSmall", 400)
    assert fails([]) == ("MalformedXML", 400)
    assert fails(parts[:4], MpuObjectSize=304) == ("InvalidRequest", 400)
    assert fails(parts[:4], ChecksumType="COMPOSITE") == ("BadDigest", 400)
    assert fails(parts[:4], ChecksumCRC64NVME="AAAAAAAAAAA=") == ("BadDigest", 400)
    assert fails(parts[:4], IfMatch='"0"') == ("NoSuchKey", 404)
    s3.put_object(Bucket=bucket, Key="m", Body=b"first")
    assert fails(parts[:4], IfNoneMatch="*") == ("PreconditionFailed", 412)
    assert fails(parts[:4], IfMatch='"0"') == ("PreconditionFailed", 412)
    path = f"/{bucket}/m?uploadId={upload}"
    for text in (b"", b"<CompleteMultipartUpload/>", b"<Complete", b"<Other><Part/></Other>",
                 b"<CompleteMultipartUpload><Part><PartNumber>x</PartNumber><ETag>a</ETag></Part>"
                 b"</CompleteMultipartUpload>",
                 b"<CompleteMultipartUpload><Part><PartNumber>1</PartNumber></Part></CompleteMultipartUpload>"):
        assert code_of(send(local, "POST", path, text)) == ("MalformedXML", 400), text
    for number in (0, 21, "x"):
        assert code_of(send(local, "PUT", f"{path}&partNumber={number}", b"x")) == ("InvalidArgument", 400)
    with pytest.raises(ClientError) as error:
        complete(s3, bucket, upload, parts)
    detail = error.value.response["Error"]
    assert (detail["ProposedSize"], detail["MinSizeAllowed"], detail["PartNumber"]) == ("5", "100", "4")
    assert body(s3.get_object(Bucket=bucket, Key="m")) == b"first"
    etag = s3.head_object(Bucket=bucket, Key="m")["ETag"]
    complete(s3, bucket, upload, parts[:4], IfMatch=etag, MpuObjectSize=305)
    assert s3.head_object(Bucket=bucket, Key="m")["ContentLength"] == 305


def test_five_mebibytes_are_the_least(s3, bucket):
    upload = begin(s3, bucket)
    parts = [plain(part(s3, bucket, upload, 1, bytes(PART_MIN - 1))), plain(part(s3, bucket, upload, 2, b"x"))]
    assert refused(complete, s3=s3, bucket=bucket, upload=upload, parts=parts) == ("EntityTooSmall", 400)
    assert complete(s3, bucket, upload, parts[:1])["ETag"].endswith('-1"')


def test_numbers_without_gaps_where_parts_have_checksums(local, s3, bucket):
    settings(local, part_min_bytes=1)
    upload = begin(s3, bucket, ChecksumAlgorithm="SHA256")
    parts = [part(s3, bucket, upload, n, b"x", ChecksumAlgorithm="SHA256") for n in (1, 3)]
    assert refused(complete, s3=s3, bucket=bucket, upload=upload, parts=parts) == ("InvalidPartOrder", 400)
    upload = begin(s3, bucket)
    complete(s3, bucket, upload, [plain(part(s3, bucket, upload, n, b"x")) for n in (1, 3)])


def test_complete_again(local, s3, bucket):
    settings(local, part_min_bytes=1, completed_ms=600_000)
    upload = begin(s3, bucket)
    parts = [plain(part(s3, bucket, upload, n, b"xy")) for n in (1, 2)]
    first = complete(s3, bucket, upload, parts, IfNoneMatch="*")
    again = complete(s3, bucket, upload, parts, IfNoneMatch="*")
    assert again["ETag"] == first["ETag"] and again["ChecksumCRC64NVME"] == first["ChecksumCRC64NVME"]
    assert refused(complete, s3=s3, bucket=bucket, upload=upload, parts=parts[:1]) == ("NoSuchUpload", 404)
    assert refused(s3.list_parts, Bucket=bucket, Key="m", UploadId=upload) == ("NoSuchUpload", 404)
    assert refused(s3.abort_multipart_upload, Bucket=bucket, Key="m", UploadId=upload) == ("NoSuchUpload", 404)
    settings(local, part_min_bytes=1, completed_ms=0)
    assert refused(complete, s3=s3, bucket=bucket, upload=upload, parts=parts) == ("NoSuchUpload", 404)
    assert s3.head_object(Bucket=bucket, Key="m")["ETag"] == first["ETag"]
    assert refused(part, s3=s3, bucket=bucket, upload=upload, number=1, data=b"x") == ("NoSuchUpload", 404)


def test_lists_of_uploads_and_parts(s3, bucket):
    keys = ["a/1", "a/1", "a/2", "b", "c/x", "c/y", "c/y"]
    uploads = [(key, begin(s3, bucket, key)) for key in keys]
    assert len({u for _, u in uploads}) == len(uploads)

    def walk(size, **more):
        found, at = [], {}
        while True:
            page = s3.list_multipart_uploads(Bucket=bucket, MaxUploads=size, **more, **at)
            items = [(u["Key"], u["UploadId"]) for u in page.get("Uploads", [])]
            items += [(p["Prefix"], "") for p in page.get("CommonPrefixes", [])]
            assert len(items) <= size
            found += sorted(items)
            if not page["IsTruncated"]:
                return found
            at = {"KeyMarker": page["NextKeyMarker"], "UploadIdMarker": page.get("NextUploadIdMarker", "")}
            at = {k: v for k, v in at.items() if v}
    for size in (1, 2, 3, 1000):
        assert walk(size) == uploads
        assert walk(size, Prefix="c") == uploads[4:]
        assert walk(size, Delimiter="/") == [("a/", ""), uploads[3], ("c/", "")]
    one = s3.list_multipart_uploads(Bucket=bucket)["Uploads"][0]
    assert one["StorageClass"] == "STANDARD" and one["Owner"]["ID"] == one["Initiator"]["ID"]
    assert abs(one["Initiated"].timestamp() - time.time()) < 3600
    upload = uploads[3][1]
    sent = [part(s3, bucket, upload, n, b"x" * n, key="b") for n in (1, 2, 5, 9, 10000)]
    seen, marker = [], 0
    while True:
        page = s3.list_parts(Bucket=bucket, Key="b", UploadId=upload, MaxParts=2, PartNumberMarker=marker)
        seen += [(p["PartNumber"], p["ETag"], p["Size"]) for p in page["Parts"]]
        if not page["IsTruncated"]:
            break
        marker = page["NextPartNumberMarker"]
    assert seen == [(p["PartNumber"], p["ETag"], p["PartNumber"]) for p in sent]
    for key, upload in uploads:
        s3.abort_multipart_upload(Bucket=bucket, Key=key, UploadId=upload)
    assert "Uploads" not in s3.list_multipart_uploads(Bucket=bucket)
    assert refused(s3.abort_multipart_upload, Bucket=bucket, Key="b", UploadId=uploads[3][1]) == (
        "NoSuchUpload", 404)
    upload = begin(s3, bucket, "b")
    assert refused(s3.abort_multipart_upload, Bucket=bucket, Key="b", UploadId=upload,
                   IfMatchInitiatedTime=0) == ("PreconditionFailed", 412)


def test_parts_that_are_copied(local, s3, bucket):
    settings(local, part_min_bytes=1)
    data = bytes(range(256)) * 50
    s3.put_object(Bucket=bucket, Key="source", Body=data)
    upload, source = begin(s3, bucket), f"{bucket}/source"

    def copy(number, **more):
        return s3.upload_part_copy(Bucket=bucket, Key="m", UploadId=upload, PartNumber=number,
                                   CopySource=source, **more)["CopyPartResult"]
    parts = [{"PartNumber": 1, "ETag": copy(1, CopySourceRange="bytes=100-199")["ETag"]},
             {"PartNumber": 2, "ETag": copy(2)["ETag"]}]
    assert parts[0]["ETag"] == f'"{hashlib.md5(data[100:200]).hexdigest()}"'
    for bad in ("bytes=0-12800", "bytes=0-", "bytes=-5", "bytes=5-4", "0-5", "bytes=99999-100000"):
        assert refused(copy, number=3, CopySourceRange=bad) == ("InvalidArgument", 400), bad
    assert refused(copy, number=3, CopySourceIfMatch='"0"') == ("PreconditionFailed", 412)
    complete(s3, bucket, upload, parts)
    s3.delete_object(Bucket=bucket, Key="source")
    assert body(s3.get_object(Bucket=bucket, Key="m")) == data[100:200] + data


def test_transfers(local, bucket, tmp_path):
    s3 = connect(local, tls=True)
    data = random.Random(1).randbytes(PART_MIN * 3 + 12345)
    path = tmp_path / "file"
    path.write_bytes(data)
    config = TransferConfig(multipart_threshold=PART_MIN, multipart_chunksize=PART_MIN, max_concurrency=3)
    s3.upload_file(str(path), bucket, "file", Config=config)
    out = io.BytesIO()
    s3.download_fileobj(bucket, "file", out, Config=config)
    assert out.getvalue() == data
    assert s3.head_object(Bucket=bucket, Key="file")["ETag"].endswith('-4"')
    s3.copy({"Bucket": bucket, "Key": "file"}, bucket, "again", Config=config)
    assert body(s3.get_object(Bucket=bucket, Key="again")) == data
