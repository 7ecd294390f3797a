"""One boto3 script against every server that speaks a service: the same visible results.

A step is what a caller sees: values that do not depend on the server, or a refusal's status and
code. weir-local is the measure. Where another server answers otherwise the difference stands in
same_results.DIFFERENCES with who is right by the service's documentation, and tools/local-aws/README.md
shows that list. A difference that is not listed fails, and so does one that is listed and gone.
"""

import boto3
import pytest
from botocore.config import Config

import same_results
from conftest import ENV, KinesisLocal
from local import LocalAws
from processes import start_server
from test_s3_calls import versitygw
from weir import ROOT


def clients(endpoint, key="local", secret="local-secret"):
    """Nothing is refused before it is sent, nothing is asked twice."""
    config = Config(retries={"max_attempts": 1}, parameter_validation=False, s3={"addressing_style": "path"},
                    read_timeout=60)
    return lambda service: boto3.client(service, endpoint_url=endpoint, region_name="us-east-1",
                                        aws_access_key_id=key, aws_secret_access_key=secret, config=config)


@pytest.fixture(scope="module")
def endpoint(request, tmp_path_factory):
    """The named server; clients of it."""
    folder = tmp_path_factory.mktemp(request.param)
    if request.param == "moto":
        server = start_server(
            lambda ports: ([ENV / "venv" / "bin" / "moto_server", "-H", "127.0.0.1", "-p", ports[0]], {}),
            1, folder / "moto.log")
        yield request.param, clients(f"http://127.0.0.1:{server.ports[0]}")
    elif request.param == "kinesis-local":
        local = KinesisLocal(folder)
        server = local.server
        yield request.param, clients(local.endpoint)
    else:
        server = versitygw(folder)
        yield request.param, clients(server.endpoint, server.key, server.secret)
    server.stop()


@pytest.fixture(scope="module")
def measure(tmp_path_factory):
    """What weir-local answers; a script is run once."""
    with LocalAws(tmp_path_factory.mktemp("weir-local")) as server:
        done = {}

        def results(service):
            if service not in done:
                done[service] = same_results.run(service, clients(server.endpoint))
            return done[service]
        yield results


@pytest.mark.parametrize("endpoint, service", same_results.DIFFERENCES, indirect=["endpoint"])
def test_the_same_script(endpoint, service, measure):
    name, client = endpoint
    ours, theirs = measure(service), same_results.run(service, client)
    assert ours.keys() == theirs.keys() and len(ours) >= 4
    different = {step: (theirs[step], ours[step]) for step in ours if theirs[step] != ours[step]}
    listed = same_results.DIFFERENCES[(name, service)]
    new = {step: pair for step, pair in different.items() if step not in listed}
    assert not new, "not listed: (theirs, ours) " + "\n".join(f"{s}: {p}" for s, p in new.items())
    assert different.keys() == listed.keys(), "listed, and no longer different"


def test_the_list_is_shown():
    assert same_results.table() in (ROOT / "tools" / "local-aws" / "README.md").read_text()
