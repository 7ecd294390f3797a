"""Fixtures of the end-to-end tests: the program, and the servers it talks to.

Every server runs on ports of the system's choice and is checked to be the process that listens on
them, so that two runs on one machine never meet. WEIR_BUILD names the build to test.
"""

import json
import sys
import urllib.request
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

import weir as weir_module  # noqa: E402
from kinesis_endpoints import ENV, NAMES, KinesisLocal, WeirLocal, aws_client  # noqa: E402
from processes import start_server  # noqa: E402
from stub import KinesisStub  # noqa: E402

# Files whose tests run boto3 and the like against weir-local, and not weir.
ENDPOINT_ALONE = ("test_local_kinesis", "test_local_s3", "test_local_firehose", "test_local_glue",
                  "test_local_identity", "test_local_secrets", "test_local_unknown", "test_local_http2",
                  "test_same_results", "test_judges")


@pytest.hookimpl(tryfirst=True)  # before -m chooses
def pytest_collection_modifyitems(items):
    if not weir_module.PROGRAM.exists():
        raise pytest.UsageError(f"{weir_module.PROGRAM} does not exist; build it: scripts/build")
    for item in items:
        if Path(item.fspath).name.startswith(ENDPOINT_ALONE):
            item.add_marker(pytest.mark.endpoint)
    for item in items:  # sanitizers are slower than the limits of pytest.ini allow for
        if weir_module.SANITIZED and not item.get_closest_marker("timeout"):
            item.add_marker(pytest.mark.timeout(900))


@pytest.fixture
def weir(tmp_path):
    driver = weir_module.Weir(tmp_path)
    yield driver
    driver.cleanup()


@pytest.fixture(scope="session")
def certificate(tmp_path_factory):
    """A self-signed certificate for localhost and 127.0.0.1: (folder, certificate, key)."""
    import subprocess
    folder = tmp_path_factory.mktemp("certificate")
    cert, key = folder / "cert.pem", folder / "key.pem"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "30",
                    "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1",
                    "-keyout", key, "-out", cert], check=True, capture_output=True)
    return folder, cert, key


@pytest.fixture(scope="session")
def kinesis_local(tmp_path_factory, certificate):
    """One for all tests: it takes a second to start."""
    folder = tmp_path_factory.mktemp("kinesis-local")
    _, cert, key = certificate
    (folder / "kinesis-local-certificate.json").write_text(
        json.dumps({"server": {"key": key.read_text(), "cert": cert.read_text()}}))
    endpoint = KinesisLocal(folder)
    yield endpoint
    endpoint.stop()


@pytest.fixture(params=NAMES)
def kinesis(request):
    """The test runs on each: weir-local, which is made for it and enforces the service's rates, and
    kinesis-local, of which there is one for all. A stream is the test's own on both."""
    if request.param == "kinesis-local":
        yield request.getfixturevalue("kinesis_local")
        return
    folder = request.getfixturevalue("tmp_path") / "weir-local"
    folder.mkdir()
    _, cert, key = request.getfixturevalue("certificate")
    endpoint = WeirLocal(folder, "--tls", cert, key)
    yield endpoint
    endpoint.stop()


class Moto:
    """moto with authentication on: it answers 403 to a wrong key or signature."""

    def __init__(self, folder):
        self.server = start_server(
            lambda ports: ([ENV / "venv" / "bin" / "moto_server", "-H", "127.0.0.1", "-p", ports[0]], {}),
            1, folder / "moto.log")
        self.endpoint = f"http://127.0.0.1:{self.server.ports[0]}"
        iam = aws_client("iam", self.endpoint)
        iam.create_user(UserName="weir")
        policy = ('{"Version": "2012-10-17", "Statement": '
                  '[{"Effect": "Allow", "Action": "*", "Resource": "*"}]}')
        iam.put_user_policy(UserName="weir", PolicyName="all", PolicyDocument=policy)
        key = iam.create_access_key(UserName="weir")["AccessKey"]
        self.access_key_id, self.secret = key["AccessKeyId"], key["SecretAccessKey"]
        self.client = aws_client("kinesis", self.endpoint, aws_access_key_id=self.access_key_id,
                                 aws_secret_access_key=self.secret)
        self.set_authentication("0")

    def set_authentication(self, after_requests):
        request = urllib.request.Request(f"{self.endpoint}/moto-api/reset-auth", data=after_requests.encode(),
                                         headers={"Content-Type": "text/plain"})
        urllib.request.urlopen(request).read()


@pytest.fixture(scope="session")
def moto(tmp_path_factory):
    server = Moto(tmp_path_factory.mktemp("moto"))
    yield server
    server.server.stop()


@pytest.fixture
def stub():
    with KinesisStub() as server:
        yield server
