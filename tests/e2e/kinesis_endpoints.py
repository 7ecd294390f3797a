"""The two Kinesis endpoints that pipelines read from: weir-local, and one that nobody here wrote.

Both answer to the same names here, so a test says what it asks of the service, not of a server. What
kinesis-local cannot do is named in FAULTS, and a test that needs it skips with those words.
"""

import os
import uuid

import boto3
import pytest
from botocore.config import Config

import weir
from local import PROGRAM as LOCAL, LocalAws
from processes import start_server, wait_for

ENV = weir.ROOT / "build" / "env"
KEYS = {"aws_access_key_id": "local", "aws_secret_access_key": "local-secret"}

# Sanitizers look at programs of this tree only, and kinesis-local takes most of the time.
NAMES = ["weir-local"] if weir.SANITIZED else ["weir-local", "kinesis-local"]

# Of kinesis-local 0.6.2, beside the service's documentation.
FAULTS = {
    "throttling": "kinesis-local never throttles: it enforces no rate of the service",
    "retention": "kinesis-local keeps records by the machine's clock, which no test can move",
}


def aws_client(service, endpoint, **more):
    options = {"region_name": "us-east-1", **KEYS, **more}
    return boto3.client(service, endpoint_url=endpoint, verify=False, **options, config=Config(
        retries={"max_attempts": 5}, read_timeout=60, max_pool_connections=16))


class Endpoint:
    """What both have: `name`, `endpoint`, `tls_endpoint`, `plain_port`, `client`, and this."""

    def create_stream(self, shards, name=None):
        name = name or f"s-{uuid.uuid4().hex[:12]}"
        self.client.create_stream(StreamName=name, ShardCount=shards)
        self.wait_active(name)
        return name

    def wait_active(self, name):
        def active():
            answer = self.client.describe_stream_summary(StreamName=name)
            return answer["StreamDescriptionSummary"]["StreamStatus"] == "ACTIVE"

        wait_for(active, 60, f"stream {name} is active", interval=0.1)

    def without_limits(self):
        """For tests that need more than a shard's rates; the others keep them."""

    def needs(self, what):
        """Skips the test where this endpoint lacks it; FAULTS has the reason."""


class KinesisLocal(Endpoint):
    """npm's kinesis-local: polling, splits and merges are right; it never throttles."""

    name = "kinesis-local"

    def __init__(self, folder):
        package = ENV / "node_modules" / "kinesis-local"

        def command(ports):
            env = {**os.environ, "KINESIS_MOCK_TLS_PORT": str(ports[0]),
                   "KINESIS_MOCK_PLAIN_PORT": str(ports[1]), "LOG_LEVEL": "ERROR"}
            certificate = folder / "kinesis-local-certificate.json"
            if certificate.exists():
                env["KINESIS_MOCK_CERT_PATH"] = str(certificate)
            return ["node", "main.js"], {"cwd": package, "env": env}

        self.server = start_server(command, 2, folder / "kinesis-local.log")
        self.tls_port, self.plain_port = self.server.ports
        self.endpoint = f"http://127.0.0.1:{self.plain_port}"
        self.tls_endpoint = f"https://localhost:{self.tls_port}"
        self.client = aws_client("kinesis", self.endpoint)

    def needs(self, what):
        pytest.skip(FAULTS[what])

    def stop(self):
        self.server.stop(seconds=0)  # it may ignore SIGTERM for seconds, and has nothing to lose


class WeirLocal(Endpoint):
    """weir-local with the service's rates, unless a test asks for none."""

    name = "weir-local"

    def __init__(self, folder, *options):
        if not LOCAL.exists():
            raise pytest.UsageError(f"{LOCAL} does not exist; build it: scripts/build")
        self.server = LocalAws(folder, *options)
        self.plain_port = self.server.port
        self.endpoint, self.tls_endpoint = self.server.endpoint, self.server.tls_endpoint
        self.client = aws_client("kinesis", self.endpoint)

    def without_limits(self):
        self.server.admin("POST", "kinesis", {"limits": False})

    def stop(self):
        """A sanitizer's report is a failure of the test during which it came."""
        self.server.__exit__(None, None, None)
