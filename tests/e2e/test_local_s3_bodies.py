"""The bodies of weir-local's S3: checksums, and aws-chunked with its signatures."""

import hashlib
import io
import xml.etree.ElementTree as ET

import pytest

from s3_requests import (
    b64, body, bucket, code_of, connect, crc32, digest, endpoint, flip, local, refused, s3, send,
    send_chunks)


# ---- checksums ----


@pytest.mark.parametrize("tls", [False, True])
def test_checksums_of_objects(local, bucket, tls):
    s3 = connect(local, tls=tls)
    data = bytes(range(256)) * 700
    by_digits = {"CRC32": "y/Q5Jg==", "CRC32C": "4waSgw==", "CRC64NVME": "rosUhgp5mIg="}
    for algorithm in ["CRC32", "SHA1", "SHA256"]:
        name = f"Checksum{algorithm}"
        put = s3.put_object(Bucket=bucket, Key="k", Body=data, ChecksumAlgorithm=algorithm)
        assert put[name] == digest(algorithm, data) and put["ChecksumType"] == "FULL_OBJECT"
        got = s3.get_object(Bucket=bucket, Key="k", ChecksumMode="ENABLED")
        assert got[name] == put[name] and body(got) == data and "ContentEncoding" not in got
        assert s3.head_object(Bucket=bucket, Key="k", ChecksumMode="ENABLED")[name] == put[name]
        assert name not in s3.head_object(Bucket=bucket, Key="k")
        assert name not in s3.get_object(Bucket=bucket, Key="k", Range="bytes=0-9", ChecksumMode="ENABLED")
    for algorithm, value in by_digits.items():
        put = s3.put_object(Bucket=bucket, Key="k", Body=b"123456789", **{f"Checksum{algorithm}": value})
        assert put[f"Checksum{algorithm}"] == value
        assert refused(s3.put_object, Bucket=bucket, Key="bad", Body=b"123456780",
                       **{f"Checksum{algorithm}": value}) == ("BadDigest", 400)
    # A file, which over TLS goes in chunks with a trailer.
    s3.put_object(Bucket=bucket, Key="file", Body=io.BytesIO(data * 3), ChecksumAlgorithm="SHA256")
    got = s3.get_object(Bucket=bucket, Key="file", ChecksumMode="ENABLED")
    assert body(got) == data * 3 and got["ChecksumSHA256"] == digest("SHA256", data * 3)
    assert refused(s3.head_object, Bucket=bucket, Key="bad") == ("404", 404)


def test_a_checksum_is_kept_of_every_object(local, bucket, s3):
    assert send(local, "PUT", f"/{bucket}/k", b"123456789")[0] == 200
    got = s3.head_object(Bucket=bucket, Key="k", ChecksumMode="ENABLED")
    assert got["ChecksumCRC64NVME"] == "rosUhgp5mIg=" and got["ChecksumType"] == "FULL_OBJECT"
    answer = s3.get_object_attributes(Bucket=bucket, Key="k", ObjectAttributes=[
        "ETag", "Checksum", "ObjectSize", "StorageClass", "ObjectParts"])
    assert answer["Checksum"] == {"ChecksumCRC64NVME": "rosUhgp5mIg=", "ChecksumType": "FULL_OBJECT"}
    assert answer["ETag"] == hashlib.md5(b"123456789").hexdigest() and answer["ObjectSize"] == 9
    assert answer["StorageClass"] == "STANDARD" and "ObjectParts" not in answer
    assert code_of(send(local, "GET", f"/{bucket}/k?attributes")) == ("InvalidArgument", 400)


def test_digests_that_do_not_fit(local, bucket):
    data = b"123456789"
    good = {"Content-MD5": b64(hashlib.md5(data).digest()), "x-amz-checksum-crc32": "y/Q5Jg=="}
    assert send(local, "PUT", f"/{bucket}/k", data, good)[0] == 200
    for headers, code in [
            ({"Content-MD5": b64(hashlib.md5(b"x").digest())}, "BadDigest"),
            ({"Content-MD5": "short"}, "InvalidDigest"),
            ({"Content-MD5": ""}, "InvalidDigest"),
            ({"x-amz-checksum-crc32": "AAAAAA=="}, "BadDigest"),
            ({"x-amz-checksum-crc32": "AAAA"}, "InvalidRequest"),
            ({"x-amz-checksum-crc32": "y/Q5Jg==-1"}, "BadDigest"),
            ({"x-amz-checksum-crc32": "y/Q5Jg==", "x-amz-checksum-crc32c": "4waSgw=="}, "InvalidRequest"),
            ({"x-amz-checksum-xxhash64": "AAAAAAAAAAA="}, "NotImplemented"),
            ({"x-amz-sdk-checksum-algorithm": "CRC32"}, "InvalidRequest"),
            ({"x-amz-sdk-checksum-algorithm": "SHA1", "x-amz-checksum-crc32": "y/Q5Jg=="}, "InvalidRequest")]:
        assert code_of(send(local, "PUT", f"/{bucket}/bad", data, headers))[0] == code, headers
    other = hashlib.sha256(b"other").hexdigest()
    status, headers, text = answer = send(local, "PUT", f"/{bucket}/bad", data, stated=other)
    assert code_of(answer) == ("XAmzContentSHA256Mismatch", 400)
    assert ET.fromstring(text).find("ClientComputedContentSHA256").text == other
    assert ET.fromstring(text).find("S3ComputedContentSHA256").text == hashlib.sha256(data).hexdigest()
    assert code_of(send(local, "PUT", f"/{bucket}/bad", data, stated="nonsense")) == ("InvalidArgument", 400)
    assert code_of(send(local, "PUT", f"/{bucket}/bad", data, stated="STREAMING-OTHER")) == (
        "InvalidArgument", 400)
    assert send(local, "PUT", f"/{bucket}/k", data, stated="UNSIGNED-PAYLOAD")[0] == 200
    assert send(local, "HEAD", f"/{bucket}/bad")[0] == 404


# ---- aws-chunked ----


def test_signed_chunks(local, s3, bucket):
    data = bytes(range(256)) * 600
    for trailer in (None, {"x-amz-checksum-crc32": crc32(data)}):
        status, headers, _ = send_chunks(local, f"/{bucket}/k", data, trailer)
        assert status == 200 and headers["etag"] == f'"{hashlib.md5(data).hexdigest()}"'
        assert ("x-amz-checksum-crc32" in headers) == bool(trailer)
        got = s3.get_object(Bucket=bucket, Key="k")
        assert body(got) == data and "ContentEncoding" not in got
    assert send_chunks(local, f"/{bucket}/empty", b"")[0] == 200
    assert s3.head_object(Bucket=bucket, Key="empty")["ContentLength"] == 0


def test_chunks_that_are_refused(local, s3, bucket):
    data = bytes(range(256)) * 600  # three chunks and the empty one
    trailer = {"x-amz-checksum-crc32": crc32(data)}
    path = f"/{bucket}/bad"
    signature = ("SignatureDoesNotMatch", 403)
    for kind in ("signature 0", "signature 1", "signature 2", "signature 3", "data 0", "data 1", "data 2"):
        assert code_of(send_chunks(local, path, data, alter=flip(kind))) == signature, kind
    assert code_of(send_chunks(local, path, data, trailer, alter=flip("trailer"))) == signature
    assert code_of(send_chunks(local, path, data, trailer, alter=flip("trailer signature"))) == signature
    assert code_of(send_chunks(local, path, data, secret="other")) == signature
    assert code_of(send_chunks(local, path, data, {"x-amz-checksum-crc32": "AAAAAA=="})) == ("BadDigest", 400)
    assert code_of(send_chunks(local, path, data, end=False)) == ("IncompleteBody", 400)
    assert code_of(send_chunks(local, path, data, length=len(data) - 1)) == ("IncompleteBody", 400)
    assert code_of(send_chunks(local, path, data, length="x")) == ("MissingContentLength", 411)
    assert code_of(send_chunks(local, path, data, size=4096)) == ("InvalidChunkSizeError", 403)
    assert code_of(send_chunks(local, path, data, trailer, declared="x-amz-checksum-sha1")) == (
        "MalformedTrailerError", 400)
    assert refused(s3.head_object, Bucket=bucket, Key="bad") == ("404", 404)


def test_unsigned_chunks(local, s3, bucket):
    def put(text, length, declared="x-amz-checksum-crc32", mode="STREAMING-UNSIGNED-PAYLOAD-TRAILER"):
        return send(local, "PUT", f"/{bucket}/k", text, {
            "Content-Encoding": "gzip,aws-chunked", "x-amz-decoded-content-length": str(length),
            "x-amz-trailer": declared}, stated=mode)
    tail = f"0\r\nx-amz-checksum-crc32:{crc32(b'hello')}\r\n\r\n".encode()
    assert put(b"5\r\nhello\r\n" + tail, 5)[0] == 200
    got = s3.get_object(Bucket=bucket, Key="k", ChecksumMode="ENABLED")
    assert body(got) == b"hello" and got["ContentEncoding"] == "gzip" and got["ChecksumCRC32"] == crc32(b"hello")
    assert put(b"2\r\nhe\r\n3\r\nllo\r\n" + tail, 5)[0] == 200
    assert code_of(put(b"5\r\nhelloX\r\n" + tail, 5)) == ("IncompleteBody", 400)
    assert code_of(put(b"5\r\nhello\r\n" + tail[:-2], 5)) == ("IncompleteBody", 400)
    assert code_of(put(b"5\r\nhellp\r\n" + tail, 5)) == ("BadDigest", 400)
    assert code_of(put(b"5\r\nhello\r\n0\r\nno colon\r\n\r\n", 5)) == ("MalformedTrailerError", 400)
    assert code_of(put(b"5\r\nhello\r\n0\r\n\r\n", 5)) == ("MalformedTrailerError", 400)
    assert body(s3.get_object(Bucket=bucket, Key="k")) == b"hello"
    status, _, text = answer = send(local, "PUT", f"/{bucket}/k", b"5\r\nhello\r\n0\r\n\r\n",
                                    {"Transfer-Encoding": "chunked"}, stated="UNSIGNED-PAYLOAD")
    assert code_of(answer) == ("MissingContentLength", 411)
