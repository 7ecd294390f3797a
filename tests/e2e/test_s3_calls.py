"""Calls of weir/aws.h to S3, judged by servers nobody here wrote: versitygw, which checks every
signature, chunk, trailer and checksum, and moto; and by weir-local, whose verifier is written apart
from the signer. What arrived is read back with boto3.

call_judge puts our side on a command line. A proxy that changes one thing of a request on its way
shows that each of them counts.
"""

import base64
import hashlib
import json
import os
import random
import re
import socket
import subprocess
import threading
import time
import zlib

import boto3
import pytest
from botocore.config import Config

from processes import start_server
from local import LocalAws
from weir import BUILD, REPORTS, ROOT

ENV = ROOT / "build" / "env"

HASH, UNSIGNED, CHUNKS, UNSIGNED_CHUNKS = range(4)
OK, THROTTLED, TRANSIENT, EXPIRED, DENIED, NOT_FOUND, REFUSED = range(7)
ERROR_IN_200 = 1
ODD_KEY = "a b/ü+%~*'()!=&?#$;:@,ü/ä.txt"
ENCODED = "/a%20b/%C3%BC%2B%25~%2A%27%28%29%21%3D%26%3F%23%24%3B%3A%40%2C%C3%BC/%C3%A4.txt"


class Judge:
    """Our calls, one client a process."""

    def __init__(self, endpoint, key, secret, service="s3", **options):
        options = {"region": "us-east-1", "endpoint": endpoint, "credentials.provider": "basic",
                   "credentials.access_key_id": key, "credentials.secret_access_key": secret,
                   **{name.replace("__", "."): value for name, value in options.items()}}
        self.process = subprocess.Popen(
            [BUILD / "tests" / "call_judge", service, *(f"{k}={v}" for k, v in options.items())],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            env={k: v for k, v in os.environ.items()
                 if not k.startswith("AWS_") and not k.lower().endswith("_proxy")})

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        _, err = self.process.communicate(timeout=60)
        if kind is None:
            assert self.process.returncode == 0 and not REPORTS.search(err), err[-4000:]

    def __call__(self, method, path="", body=b"", **more):
        call = {"method": method, "bucket": "bbb", "path": path, **more}
        call["body"] = base64.b64encode(body).decode()
        self.process.stdin.write(json.dumps(call) + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        assert line, self.process.stderr.read()[-4000:]
        answer = json.loads(line)
        answer["body"] = base64.b64decode(answer["body"])
        return answer


class Server:
    """An S3 server: where it is, whose keys it knows, and boto3 beside our own calls."""

    def __init__(self, name, endpoint, key, secret, stop, **options):
        self.name, self.endpoint, self.key, self.secret = name, endpoint, key, secret
        self.stop, self.options = stop, options
        self.boto = boto3.client("s3", endpoint_url=endpoint, region_name="us-east-1",
                                 aws_access_key_id=key, aws_secret_access_key=secret,
                                 verify=options.get("ca_bundle"),
                                 config=Config(s3={"addressing_style": "path"}))

    def judge(self, endpoint=None, **more):
        return Judge(endpoint or self.endpoint, self.key, self.secret, **self.options, **more)


def versitygw(folder):
    data = folder / "data"
    data.mkdir()
    server = start_server(
        lambda ports: ([ENV / "bin" / "versitygw", "--port", f"127.0.0.1:{ports[0]}", "--region", "us-east-1",
                        "--quiet", "--keep-alive", "posix", data],
                       {"env": {**os.environ, "ROOT_ACCESS_KEY": "gateway", "ROOT_SECRET_KEY": "gateway-secret"}}),
        1, folder / "versitygw.log")
    return Server("versitygw", f"http://127.0.0.1:{server.ports[0]}", "gateway", "gateway-secret", server.stop)


def weir_local(folder):
    server = LocalAws(folder, "--auth", "verify")
    return Server("weir-local", server.endpoint, "local", "local-secret", server.stop)


def weir_local_tls(folder):
    server = LocalAws(folder, "--auth", "verify", "--tls-self-signed", folder)
    return Server("weir-local over TLS", server.tls_endpoint, "local", "local-secret", server.stop,
                  ca_bundle=folder / "cert.pem")


@pytest.fixture(scope="module", params=[versitygw, weir_local, weir_local_tls], ids=lambda f: f.__name__)
def server(request, tmp_path_factory):
    it = request.param(tmp_path_factory.mktemp(request.param.__name__))
    it.boto.create_bucket(Bucket="bbb")
    yield it
    it.stop()


def stored(server, key):
    return server.boto.get_object(Bucket="bbb", Key=key)["Body"].read()


def crc32(data):
    return base64.b64encode(zlib.crc32(data).to_bytes(4, "big")).decode()


@pytest.mark.parametrize("payload", [HASH, UNSIGNED, CHUNKS, UNSIGNED_CHUNKS])
@pytest.mark.parametrize("size", [0, 1, 100_000, (1 << 20) * 2 + 77])
def test_a_body_in_every_way_of_signing(server, payload, size):
    body = random.Random(size).randbytes(size)
    key = f"body-{payload}-{size}"
    more = {"trailer": ["x-amz-checksum-crc32", crc32(body)]} if payload >= CHUNKS else {}
    if payload == CHUNKS and size == 100_000:
        more = {}
    with server.judge() as call:
        answer = call("PUT", f"/{key}", body, payload=payload, segments=1 + min(size, 13), **more)
        assert (answer["kind"], answer["http"]) == (OK, 200), answer
        assert stored(server, key) == body
        if size:
            assert answer["etag"].strip('"') == hashlib.md5(body).hexdigest()
        again = call("GET", f"/{key}")
        assert again["body"] == body and again["kind"] == OK


def test_keys_queries_and_headers_of_every_kind(server):
    with server.judge() as call:
        assert call("PUT", ENCODED, b"odd", headers=["x-amz-meta-Name", "two  words ",
                                                     "Content-Type", "text/odd"])["kind"] == OK
        head = server.boto.head_object(Bucket="bbb", Key=ODD_KEY)
        assert head["ContentType"] == "text/odd" and head["Metadata"]["name"].split() == ["two", "words"]
        assert call("GET", ENCODED)["body"] == b"odd"
        listing = call("GET", "", query="list-type=2&prefix=a%20b%2F%C3%BC&delimiter=&max-keys=7")
        assert listing["kind"] == OK and b"<KeyCount>1</KeyCount>" in listing["body"]
        part = call("GET", ENCODED, headers=["Range", "bytes=1-1"])
        assert (part["kind"], part["http"], part["body"]) == (OK, 206, b"d")
        gone = call("DELETE", ENCODED)
        assert (gone["kind"], gone["http"]) == (OK, 204)


def test_failures_are_told_apart(server):
    with server.judge() as call:
        missing = call("GET", "/not/there")
        assert (missing["kind"], missing["http"], missing["code"]) == (NOT_FOUND, 404, "NoSuchKey")
        assert missing["attempts"] == 1 and missing["operation"] == "S3.Call"
        assert call("HEAD", "/not/there")["kind"] == NOT_FOUND
        bucket = call("GET", "/x", bucket="no-such-bucket")
        assert (bucket["kind"], bucket["code"]) == (NOT_FOUND, "NoSuchBucket")
        call("PUT", "/once", b"1")
        twice = call("PUT", "/once", b"2", headers=["If-None-Match", "*"])
        assert (twice["kind"], twice["code"]) == (REFUSED, "PreconditionFailed")
        assert stored(server, "once") == b"1"
        bad = call("PUT", "/sum", b"1", headers=["x-amz-checksum-crc32", crc32(b"2")], attempts=2)
        assert bad["kind"] in (TRANSIENT, REFUSED) and bad["http"] == 400
    with Judge(server.endpoint, server.key, "wrong-" + server.secret, **server.options) as call:
        wrong = call("PUT", "/x", b"1")
        assert (wrong["kind"], wrong["code"]) == (DENIED, "SignatureDoesNotMatch")
        assert wrong["error"].startswith("the call failed: SignatureDoesNotMatch: ")
        assert server.secret not in str(wrong)
    with Judge(server.endpoint, "NOBODY", server.secret, **server.options) as call:
        nobody = call("PUT", "/x", b"1")
        assert nobody["kind"] in (DENIED, NOT_FOUND)
        assert nobody["code"] == ("XAdminUserNotFound" if server.name == "versitygw" else "InvalidAccessKeyId")


def test_a_multipart_upload(server):
    part = random.Random(5).randbytes(5 << 20)
    with server.judge() as call:
        begun = call("POST", "/large", query="uploads=")
        upload = re.search(rb"<UploadId>(.*)</UploadId>", begun["body"]).group(1).decode()
        etags = [call("PUT", "/large", data, query=f"partNumber={i}&uploadId={upload}", segments=4,
                      payload=CHUNKS if i == 1 else HASH)["etag"]
                 for i, data in ((1, part), (2, b"the end"))]
        xml = "".join(f"<Part><PartNumber>{i + 1}</PartNumber><ETag>{e}</ETag></Part>"
                      for i, e in enumerate(etags))
        xml = f"<CompleteMultipartUpload>{xml}</CompleteMultipartUpload>".encode()
        whole = call("POST", "/large", xml, query=f"uploadId={upload}", flags=ERROR_IN_200)
        assert whole["kind"] == OK, whole
        assert stored(server, "large") == part + b"the end"
        gone = call("POST", "/large2", xml, query=f"uploadId={upload}", flags=ERROR_IN_200)
        assert (gone["kind"], gone["code"]) == (NOT_FOUND, "NoSuchUpload")


# ---- a request changed on its way ----

class Changer:
    """Passes bytes on; `change(request)` gives what of a whole request goes to the server."""

    def __init__(self, endpoint, change):
        host, port = endpoint.split("//")[1].split(":")
        self.to, self.change = (host, int(port)), change
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.endpoint = f"http://127.0.0.1:{self.socket.getsockname()[1]}"
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def run(self):
        while True:
            try:
                client, _ = self.socket.accept()
            except OSError:
                return
            with client:
                client.settimeout(30)
                request = self.read(client)
                if not request:
                    continue
                with socket.create_connection(self.to, timeout=30) as server:
                    server.sendall(self.change(request))
                    server.shutdown(socket.SHUT_WR)
                    while data := server.recv(65536):
                        client.sendall(data)

    @staticmethod
    def read(client):
        data = b""
        while b"\r\n\r\n" not in data:
            more = client.recv(65536)
            if not more:
                return b""
            data += more
        length = re.search(rb"(?i)\r\ncontent-length: *(\d+)", data)
        whole = data.index(b"\r\n\r\n") + 4 + (int(length.group(1)) if length else 0)
        while len(data) < whole:
            data += client.recv(65536)
        return data.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n", 1)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.shutdown(socket.SHUT_RDWR)  # wakes the thread
        self.thread.join(60)
        self.socket.close()


def other(digit):
    return b"1" if digit == b"0" else b"0"


def swapped(text, name):
    """The value of a header with its last letter or digit changed."""
    found = re.search(rb"(?im)^" + name + rb": *(.*?)\r$", text)
    assert found, (name, text[:2000])
    end = found.end(1) - 1
    return text[:end] + other(text[end:end + 1]) + text[end + 1:]


def edit(pattern, replacement):
    def change(text):
        changed = re.sub(pattern, replacement, text, count=1, flags=re.DOTALL)
        assert changed != text, (pattern, text[:2000])
        return changed
    return change


def header(name):
    return lambda text: swapped(text, name.encode())


BODY = b"0123456789" * 1000
COMMON_CHANGES = {
    "signature": edit(rb"Signature=(.)", lambda m: b"Signature=" + other(m.group(1))),
    "access key": edit(rb"Credential=(.)", b"Credential=X"),
    "scope's day": edit(rb"(Credential=[^/]*/)\d", rb"\g<1>1"),
    "signed headers": edit(rb"SignedHeaders=[a-z-]*;", b"SignedHeaders="),
    "date": edit(rb"(?i)(x-amz-date: \d{8}T\d{5})(\d)", lambda m: m.group(1) + other(m.group(2))),
}
CHANGES = {
    **COMMON_CHANGES,
    "method": edit(rb"^PUT", b"POST"),
    "path": edit(rb"^PUT /bbb/k", b"PUT /bbb/j"),
    "query": edit(rb"x-id=PutObject", b"x-id=PutObjecu"),
    "a query added": edit(rb"x-id=PutObject", b"x-id=PutObject&x-more=1"),
    "meta": header("x-amz-meta-name"),
    "a signed header gone": edit(rb"(?i)x-amz-meta-name: [^\r]*\r\n", b""),
    "an x-amz header added": edit(rb"\r\n\r\n", b"\r\nx-amz-acl: public-read\r\n\r\n"),
    "payload hash": header("x-amz-content-sha256"),
    "scope's region": edit(rb"us-east-1/s3", b"us-east-2/s3"),
    "scope's service": edit(rb"us-east-1/s3/", b"us-east-1/sqs/"),
    "body": edit(rb"01234567890123456789$", b"01234567890123456788"),
}
CHUNK_CHANGES = {
    "chunk's data": edit(rb"(\r\n\r\n.*?;chunk-signature=[0-9a-f]{64}\r\n)0", rb"\g<1>1"),
    "chunk's signature": edit(rb"chunk-signature=(.)",
                              lambda m: b"chunk-signature=" + other(m.group(1))),
    "last chunk's signature": edit(rb"(\r\n0;chunk-signature=)(.)",
                                   lambda m: m.group(1) + other(m.group(2))),
    "trailer": edit(rb"x-amz-checksum-crc32:..", b"x-amz-checksum-crc32:zz"),
    "trailer's signature": edit(rb"x-amz-trailer-signature:(.)",
                                lambda m: b"x-amz-trailer-signature:" + other(m.group(1))),
    "decoded length": header("x-amz-decoded-content-length"),
}


def corrupted(server, change, **more):
    with Changer(server.endpoint, change) as way, server.judge(way.endpoint) as call:
        answer = call("PUT", "/k", BODY, query="x-id=PutObject", attempts=1,
                      headers=["x-amz-meta-name", "value0"], **more)
    return answer


@pytest.mark.parametrize("name", ["nothing", *CHANGES])
def test_each_single_change_is_refused(server, name):
    if server.endpoint.startswith("https"):
        pytest.skip("nothing on the way can change what goes through TLS")
    answer = corrupted(server, CHANGES.get(name, lambda text: text))
    if name == "nothing":
        assert answer["kind"] == OK, answer
    else:
        assert answer["kind"] != OK and answer["http"] in (400, 403, 404, 405, 411, 501), (name, answer)


@pytest.mark.parametrize("name", ["nothing", *CHUNK_CHANGES])
def test_each_change_of_a_chunk_is_refused(server, name):
    if server.endpoint.startswith("https"):
        pytest.skip("nothing on the way can change what goes through TLS")
    answer = corrupted(server, CHUNK_CHANGES.get(name, lambda text: text), payload=CHUNKS, segments=3,
                       trailer=["x-amz-checksum-crc32", crc32(BODY)])
    if name == "nothing":
        assert answer["kind"] == OK, answer
        assert stored(server, "k") == BODY
    else:
        assert answer["kind"] != OK and answer["http"] in (400, 403, 500), (name, answer)


# ---- moto, whose check of other services' requests is stricter than that of S3's ----

# It takes the day of the scope from the date, whatever the scope says.
JSON_CHANGES = {
    **{name: change for name, change in COMMON_CHANGES.items() if name != "scope's day"},
    "target": edit(rb"Kinesis_20131202.ListStreams", b"Kinesis_20131202.DescribeLimits"),
    "query": edit(rb"^POST /", b"POST /?x=1"),
    "scope's region": edit(rb"us-east-1/kinesis", b"us-east-2/kinesis"),
    "body": edit(rb"\{\}$", b"{ "),
}


@pytest.mark.parametrize("name", ["nothing", *JSON_CHANGES])
def test_moto_refuses_each_change_of_a_json_call(moto, name):
    with Changer(moto.endpoint, JSON_CHANGES.get(name, lambda text: text)) as way, \
            Judge(way.endpoint, moto.access_key_id, moto.secret, service="kinesis") as call:
        answer = call(None, body=b"{}", target="Kinesis_20131202.ListStreams", attempts=1)
    if name == "nothing":
        assert answer["kind"] == OK and b"StreamNames" in answer["body"], answer
    else:
        assert answer["kind"] == DENIED and answer["http"] == 403, (name, answer)


# ---- weir-local in trouble ----

@pytest.fixture
def troubled(tmp_path):
    with LocalAws(tmp_path, "--auth", "verify", "--bucket", "bbb") as local, \
            Judge(local.endpoint, "local", "local-secret") as call:
        local.call = call
        yield local


def s3_stats(local, operation):
    return local.admin("GET", "stats")["operations"][f"s3.{operation}"]["requests"]


@pytest.mark.parametrize("payload", [HASH, CHUNKS])
def test_a_body_is_sent_again_whole(troubled, payload):
    body = random.Random(1).randbytes(3 << 20)
    troubled.faults([{"operation": "PutObject", "count": 2, "exception": "SlowDown", "status": 503}])
    answer = troubled.call("PUT", "/k", body, payload=payload, segments=9)
    assert (answer["kind"], answer["attempts"]) == (OK, 3), answer
    assert troubled.client("s3").get_object(Bucket="bbb", Key="k")["Body"].read() == body


def test_what_was_stored_and_answered_500_is_stored_again(troubled):
    troubled.faults([{"operation": "PutObject", "count": 1, "after": True, "exception": "InternalError", "status": 500}])
    answer = troubled.call("PUT", "/k", b"x" * 100)
    assert (answer["kind"], answer["attempts"]) == (OK, 2)
    assert s3_stats(troubled, "PutObject") == 2


def test_an_error_inside_of_200_is_one(troubled):
    troubled.call("PUT", "/from", b"x")
    rules = [{"operation": "CopyObject", "count": 1, "status": 200, "content_type": "application/xml",
              "body": " \n<?xml version=\"1.0\"?>\n<Error><Code>InternalError</Code><Message>later</Message></Error>"},
             {"operation": "CopyObject", "count": 1, "status": 200, "body": "  \n  "}]
    copy = {"headers": ["x-amz-copy-source", "bbb/from"], "flags": ERROR_IN_200}
    troubled.faults(rules)
    again = troubled.call("PUT", "/to", **copy)
    assert (again["kind"], again["attempts"]) == (OK, 3), again
    troubled.faults(rules[:1])
    once = troubled.call("PUT", "/to", attempts=1, **copy)
    assert (once["kind"], once["code"], once["message"]) == (TRANSIENT, "InternalError", "later")


def test_a_wrong_clock_is_corrected(troubled):
    troubled.skew(3600)
    answer = troubled.call("PUT", "/k", b"x", payload=CHUNKS)
    assert (answer["kind"], answer["attempts"]) == (OK, 2), answer
    assert troubled.call("PUT", "/k", b"y")["attempts"] == 1


def test_another_region_is_named(troubled):
    with Judge(troubled.endpoint, "local", "local-secret", region="eu-west-1") as call:
        answer = call("GET", "/k")
    assert answer["kind"] != OK and "us-east-1" in answer["hint"] + answer["message"], answer


def test_an_answer_that_breaks_off_is_asked_for_again(troubled):
    troubled.call("PUT", "/k", b"0123456789" * 10000)
    troubled.faults([{"operation": "GetObject", "count": 1, "cut": {"at": 5000, "how": "reset"}}])
    answer = troubled.call("GET", "/k")
    assert (answer["kind"], answer["attempts"], len(answer["body"])) == (OK, 2, 100000)
