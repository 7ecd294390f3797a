"""What the tests of weir-local's S3 share: the endpoint, boto3's client, requests signed by hand."""

import base64
import hashlib
import hmac
import http.client
import warnings
import xml.etree.ElementTree as ET
import zlib

import boto3
import pytest
from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.config import Config
from botocore.credentials import Credentials
from botocore.exceptions import ClientError

from local import ONCE, LocalAws

PART_MIN = 5 << 20


@pytest.fixture(scope="module")
def endpoint(tmp_path_factory):
    folder = tmp_path_factory.mktemp("s3")
    with LocalAws(folder, "--auth", "verify", "--bucket", "ready", "--tls-self-signed", folder) as e:
        yield e


@pytest.fixture
def local(endpoint):
    yield endpoint
    endpoint.admin("DELETE", "faults")
    endpoint.skew(0)
    settings(endpoint)


def settings(local, part_min_bytes=PART_MIN, parts_max=10000, completed_ms=600_000, redirects=False):
    return local.admin("POST", "s3", {"part_min_bytes": part_min_bytes, "parts_max": parts_max,
                                      "completed_ms": completed_ms, "redirects": redirects})


def connect(local, region="us-east-1", tls=False, key="local", secret="local-secret", token=None,
            retries=ONCE, **config):
    warnings.filterwarnings("ignore", category=ResourceWarning)
    return boto3.client(
        "s3", endpoint_url=local.tls_endpoint if tls else local.endpoint, region_name=region,
        aws_access_key_id=key, aws_secret_access_key=secret, aws_session_token=token,
        verify=local.ready["certificate"] if tls else None,
        config=Config(retries=retries, read_timeout=60, s3={"addressing_style": "path"}, **config))


@pytest.fixture
def s3(local):
    return connect(local)


@pytest.fixture
def bucket(s3, request):
    name = "b-" + hashlib.sha256(request.node.nodeid.encode()).hexdigest()[:20]
    s3.create_bucket(Bucket=name)
    return name


def refused(call, **arguments):
    with pytest.raises(ClientError) as error:
        call(**arguments)
    r = error.value.response
    return r["Error"]["Code"], r["ResponseMetadata"]["HTTPStatusCode"]


def body(answer):
    return answer["Body"].read()


def b64(data):
    return base64.b64encode(data).decode()


def crc32(data):
    return b64(zlib.crc32(data).to_bytes(4, "big"))


def digest(algorithm, data):
    """The checksums that Python's library knows."""
    if algorithm == "CRC32":
        return crc32(data)
    return b64(hashlib.new(algorithm.lower(), data).digest())


# ---- uploads ----

def begin(s3, bucket, key="m", **more):
    return s3.create_multipart_upload(Bucket=bucket, Key=key, **more)["UploadId"]


def part(s3, bucket, upload, number, data, key="m", **more):
    answer = s3.upload_part(Bucket=bucket, Key=key, UploadId=upload, PartNumber=number, Body=data, **more)
    return {"PartNumber": number, "ETag": answer["ETag"],
            **{k: v for k, v in answer.items() if k.startswith("Checksum")}}


def complete(s3, bucket, upload, parts, key="m", **more):
    return s3.complete_multipart_upload(Bucket=bucket, Key=key, UploadId=upload,
                                        MultipartUpload={"Parts": parts}, **more)


def plain(part):
    return {"PartNumber": part["PartNumber"], "ETag": part["ETag"]}


# ---- requests signed by hand ----

class Auth(S3SigV4Auth):
    """botocore's signer, but what is stated of the body is the test's."""

    def __init__(self, stated, key="local", secret="local-secret", region="us-east-1"):
        super().__init__(Credentials(key, secret), "s3", region)
        self.stated = stated

    def payload(self, request):
        return self.stated


def send(local, method, path, data=b"", headers=None, stated=None, host=None, change=None, **auth):
    """Status, headers, body of a request that is signed and then changed by `change(headers)`."""
    if stated is None:
        stated = hashlib.sha256(data).hexdigest()
    host = host or f"127.0.0.1:{local.port}"
    request = AWSRequest(method=method, url=f"http://{host}{path}", headers=dict(headers or {}))
    Auth(stated, **auth).add_auth(request)
    sent = {k: v for k, v in request.headers.items()}
    sent["Host"] = host
    if callable(data):
        data = data(request, sent)
    if change:
        change(sent)
    return raw(local, method, path, data, sent)


def raw(local, method, path, data=b"", headers=None):
    connection = http.client.HTTPConnection("127.0.0.1", local.port, timeout=60)
    try:
        connection.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
        headers = dict(headers or {})
        headers.setdefault("Host", f"127.0.0.1:{local.port}")
        if "Transfer-Encoding" not in headers:
            headers.setdefault("Content-Length", str(len(data)))
        for name, value in headers.items():
            connection.putheader(name, value)
        connection.endheaders()
        connection.send(data)
        answer = connection.getresponse()
        return answer.status, answer.headers, answer.read()
    finally:
        connection.close()


def code_of(answer):
    status, headers, text = answer
    root = ET.fromstring(text)
    assert root.tag == "Error"
    assert root.find("RequestId").text == headers["x-amz-request-id"]
    assert root.find("HostId").text == headers["x-amz-id-2"]
    assert root.find("Message").text
    return root.find("Code").text, status


# ---- aws-chunked ----

def hmac256(key, text):
    return hmac.new(key, text if isinstance(text, bytes) else text.encode(), hashlib.sha256).digest()


class Chunks:
    """A body in signed chunks; each part of it can be changed on its way."""

    def __init__(self, data, size=65536, trailer=None, secret="local-secret", alter=None, end=True):
        self.data, self.size, self.trailer, self.secret = data, size, trailer, secret
        self.alter, self.end = alter or (lambda kind, value: value), end

    def __call__(self, request, headers):
        date = request.context["timestamp"]
        scope = f"{date[:8]}/us-east-1/s3/aws4_request"
        key = b"AWS4" + self.secret.encode()
        for part in scope.split("/"):
            key = hmac256(key, part)
        previous = headers["Authorization"].rsplit("Signature=", 1)[1]
        empty = hashlib.sha256(b"").hexdigest()
        out = b""
        pieces = [self.data[i:i + self.size] for i in range(0, len(self.data), self.size)]
        for number, piece in enumerate([*pieces, *([b""] if self.end else [])]):
            previous = hmac256(key, "\n".join(["AWS4-HMAC-SHA256-PAYLOAD", date, scope, previous, empty,
                                               hashlib.sha256(piece).hexdigest()])).hex()
            sent = self.alter(f"signature {number}", previous)
            out += f"{len(piece):x};chunk-signature={sent}\r\n".encode()
            if piece:
                out += self.alter(f"data {number}", piece) + b"\r\n"
        if self.trailer and self.end:
            lines = "".join(f"{k}:{v}\n" for k, v in self.trailer.items())
            signature = hmac256(key, "\n".join(["AWS4-HMAC-SHA256-TRAILER", date, scope, previous,
                                                hashlib.sha256(lines.encode()).hexdigest()])).hex()
            for k, v in self.trailer.items():
                out += f"{k}:{self.alter('trailer', v)}\r\n".encode()
            out += f"x-amz-trailer-signature:{self.alter('trailer signature', signature)}\r\n".encode()
        return out + b"\r\n" if self.end else out


def send_chunks(local, path, data, trailer=None, length=None, declared=None, **more):
    mode = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD" + ("-TRAILER" if trailer else "")
    headers = {"Content-Encoding": "aws-chunked",
               "x-amz-decoded-content-length": str(len(data) if length is None else length)}
    if trailer:
        headers["x-amz-trailer"] = declared or ",".join(trailer)
    return send(local, "PUT", path, Chunks(data, trailer=trailer, **more), headers, stated=mode)


def flip(kind):
    """Changes the one thing of that kind."""
    def alter(what, value):
        if what != kind:
            return value
        if isinstance(value, bytes):
            return bytes([value[0] ^ 1]) + value[1:]
        return ("0" if value[0] != "0" else "1") + value[1:]
    return alter
