"""References of manifests that a plugin resolves: ${secretsmanager:...} and ${s3file:...}."""

import json
import os
import signal
import stat

import pytest

from conftest import aws_client
from local import LocalAws
from processes import wait_for
from weir import CONFIG, FAILED, OK, lines_of, pipeline

PASSWORD = "HUNTER2-correct-horse"


def region(endpoint, key="local", secret="local-secret", **more):
    return {"AWS_ACCESS_KEY_ID": key, "AWS_SECRET_ACCESS_KEY": secret, "AWS_REGION": "us-east-1",
            "AWS_ENDPOINT_URL": endpoint, **more}


class Cloud:
    """Secrets Manager and S3 with signatures checked; the environment that reaches them."""

    def __init__(self, client, env):
        self.secrets, self.s3, self.env = client("secretsmanager"), client("s3"), env
        self.s3.create_bucket(Bucket="lake")

    def secret(self, name, text):
        return self.secrets.create_secret(Name=name, SecretString=text)["ARN"]

    def put(self, key, body):
        self.s3.put_object(Bucket="lake", Key=key, Body=body)


@pytest.fixture(params=["weir-local", "moto"])
def cloud(request, tmp_path):
    if request.param == "weir-local":
        folder = tmp_path / "weir-local"
        folder.mkdir()
        with LocalAws(folder, "--auth", "verify") as local:
            cloud = Cloud(local.client, region(local.endpoint))
            cloud.local = local
            yield cloud
        return
    moto = request.getfixturevalue("moto")
    keys = {"aws_access_key_id": moto.access_key_id, "aws_secret_access_key": moto.secret}
    cloud = Cloud(lambda service: aws_client(service, moto.endpoint, **keys),
                  region(moto.endpoint, moto.access_key_id, moto.secret))
    yield cloud
    for secret in cloud.secrets.list_secrets()["SecretList"]:
        cloud.secrets.delete_secret(SecretId=secret["ARN"], ForceDeleteWithoutRecovery=True)
    for found in cloud.s3.list_objects_v2(Bucket="lake").get("Contents", []):
        cloud.s3.delete_object(Bucket="lake", Key=found["Key"])
    cloud.s3.delete_bucket(Bucket="lake")


@pytest.fixture
def local(tmp_path):
    folder = tmp_path / "weir-local"
    folder.mkdir()
    with LocalAws(folder, "--auth", "verify") as local:
        cloud = Cloud(local.client, region(local.endpoint))
        cloud.local = local
        yield cloud


def files_from(path, **sink):
    """Three records into files whose folder is an option that may hold references."""
    return pipeline({"in": {"type": "generator", "count": 3, "format": "json"}},
                    {"out": {"type": "file", "input": "in", "path": path, "format": "json", **sink}})


def test_values_take_their_place(weir, cloud):
    cloud.secret("prod/db", json.dumps({"user": "alice", "port": 5432, "on": True, "odd name": "o"}))
    arn = cloud.secret("plain", "whole text")
    path = ("out/${secretsmanager:prod/db:user}/${secretsmanager:prod/db:port}/"
            "${secretsmanager:prod/db:on}/${secretsmanager:prod/db:odd name}/"
            "${secretsmanager:%s}/" % arn)
    result = weir.run_pipeline(files_from(path), "--once", env=cloud.env)
    assert result.status == OK, result
    assert len(lines_of(weir.folder / "out/alice/5432/true/o/whole text")) == 3


def test_what_is_wrong_is_told_with_its_place(weir, cloud):
    cloud.secret("db", json.dumps({"user": "alice", "list": [1], "no": None}))
    cloud.secret("text", PASSWORD)
    cloud.secrets.create_secret(Name="binary", SecretBinary=b"\x00\x01")
    manifest = weir.manifest("""\
weir: 1
name: test
properties:
  db: {missing: "${secretsmanager:nothing:here}"}
sources:
  in: {type: generator, count: 3}
sinks:
  out:
    type: file
    input: in
    path: "a/${secretsmanager:db:password}/${secretsmanager:db:list}/${secretsmanager:db:no}/${db.missing}/x"
    roll: {size: "${secretsmanager:text:member}", age: "${secretsmanager:binary}"}
""")
    expected = [
        (4, "ResourceNotFoundException"), (11, "no such member"), (11, "holds others"),
        (11, "is null"), (12, "not a JSON object"), (12, "is binary"),
    ]
    for command in (["run", "--once"], ["check", "--connect"]):
        result = weir.run(*command, manifest, env=cloud.env)
        assert result.status == CONFIG, result
        told = [line for line in result.err.splitlines() if "[reference-failed]" in line]
        assert len(told) == len(expected), result
        for line, (number, text) in zip(told, expected):
            assert f"pipeline.yaml:{number}:" in line and text in line, result
        assert PASSWORD not in result.text and "alice" not in result.text
    assert not (weir.folder / "a").exists()


def test_wrong_types_are_found_with_the_values(weir, local):
    local.secret("count", "not-a-number")
    manifest = weir.manifest(pipeline(
        {"in": {"type": "generator", "count": "${secretsmanager:count}"}},
        {"out": {"type": "blackhole", "input": "in"}}))
    unknown = weir.run("check", manifest)
    assert unknown.status == OK and "${secretsmanager:count}" in unknown.err, unknown
    result = weir.run("run", "--once", manifest, env=local.env)
    assert result.status == CONFIG and "[wrong-type]" in result.err, result
    assert "not-a-number" not in result.text
    assert "found the value of '${secretsmanager:count}'" in result.err
    local.secrets.put_secret_value(SecretId="count", SecretString="7")
    result = weir.run("run", "--once", "--json", manifest, env=local.env)
    assert result.status == OK, result


def test_check_and_plan_ask_nobody(weir):
    """Without a network, without keys: how references are written is checked all the same."""
    env = {"AWS_ENDPOINT_URL": "http://127.0.0.1:1"}
    manifest = weir.manifest(files_from("out/${secretsmanager:db:user}/"))
    result = weir.run("check", manifest, "--json", env=env)
    assert result.status == OK, result
    [checked] = result.json()
    assert checked["ok"] and [u["reference"] for u in checked["unknown"]] == ["secretsmanager:db:user"]
    assert checked["unknown"][0]["line"] > 1
    result = weir.run("plan", manifest, env=env)
    assert result.status == OK and "known only when it runs" in result.err, result
    for path, code in [("a/${secretsmanager:}", "bad-reference"),
                       ("a/${secretsmanager:a b}", "bad-reference"),
                       ("a/${s3file:only-a-bucket}", "bad-reference"),
                       ("a/${secretmanager:db}", "unknown-reference"),
                       ("a/${vault:db}", "unknown-reference")]:
        result = weir.run("check", weir.manifest(files_from(path)), env=env)
        assert result.status == CONFIG and f"[{code}]" in result.err, result
    assert "searched:" in result.err
    result = weir.run("check", weir.manifest(files_from("a/${secretmanager:db}")), env=env)
    assert "did you mean '${secretsmanager:...}'?" in result.err, result
    misplaced = files_from("a/")
    misplaced["name"] = "${secretsmanager:db}"
    result = weir.run("check", weir.manifest(misplaced), env=env)
    assert result.status == CONFIG and "[reference-misplaced]" in result.err, result


def test_credentials_that_are_refused_end_with_78(weir, cloud):
    cloud.secret("db", "x")
    manifest = weir.manifest(files_from("a/${secretsmanager:db}/"))
    for command in (["run", "--once"], ["check", "--connect"]):
        result = weir.run(*command, manifest, env={**cloud.env, "AWS_SECRET_ACCESS_KEY": "wrong"})
        assert result.status == CONFIG and "signature" in result.err.lower(), result
        assert "hint:" in result.err, result
        result = weir.run(*command, manifest, env={"AWS_ENDPOINT_URL": cloud.env["AWS_ENDPOINT_URL"]})
        assert result.status == CONFIG and "region" in result.err, result


def test_a_service_in_trouble_may_be_asked_again(weir, local):
    """Another status than 78, so that whoever supervises weir tries again; weir's own does, too."""
    local.secret("db", "x")
    dead = {**local.env, "AWS_ENDPOINT_URL": "http://127.0.0.1:1"}
    manifest = files_from("a/${secretsmanager:db}/")
    for command in (["run", "--once"], ["check", "--connect"]):
        result = weir.run(*command, weir.manifest(manifest), env=dead)
        assert result.status == FAILED and "[reference-failed]" in result.err, result
    manifest["settings"] = {"restart": {"strategy": "fixed_delay", "delay": "10ms", "attempts": 2}}
    result = weir.run("run", "--once", weir.manifest(manifest), env=dead, seconds=120)
    assert result.status == FAILED and result.err.count("[reference-failed]") == 3, result


def test_values_are_nowhere_to_be_seen(weir, local):
    local.secret("db", json.dumps({"password": PASSWORD}))
    # The generator of a value that no node shows: a secret option.
    document = pipeline(
        {"in": {"type": "kinesis", "stream": "s", "region": "us-east-1", "endpoint": "http://127.0.0.1:1",
                "credentials": {"access_key_id": "k", "secret_access_key":
                                "${secretsmanager:db:password}"}}},
        {"out": {"type": "blackhole", "input": "in"}})
    document["settings"] = {"start_timeout": "60s"}
    manifest = weir.manifest(document)
    env = {**local.env, "WEIR_LOG": "trace"}
    running = weir.start("run", manifest, env=env)
    worker = running.worker()
    wait_for(lambda: "cannot list the shards" in running.errors() or not running.alive(), 60,
             "the source has begun")
    for pid in (running.pid, worker):
        for name in ("cmdline", "environ"):
            try:
                with open(f"/proc/{pid}/{name}", "rb") as file:
                    assert PASSWORD.encode() not in file.read()
            except (FileNotFoundError, ProcessLookupError):
                pass  # the worker was restarted
    result = running.stop()
    assert PASSWORD not in result.text
    for path in weir.state.rglob("*"):
        assert not path.is_file() or PASSWORD.encode() not in path.read_bytes()
    for command in (["plan", "--defaults"], ["plan", "--json", "--defaults"], ["check", "--json"],
                    ["check", "--connect"], ["check", "--connect", "--json"]):
        result = weir.run(*command, manifest, env=env)
        assert PASSWORD not in result.text, result


def test_what_plugins_say_shows_the_reference(weir, local):
    """A value in an option that is no secret to its component: a stream's name, in its errors."""
    local.secret("stream", "hidden-stream-name")
    manifest = weir.manifest(pipeline(
        {"in": {"type": "kinesis", "stream": "${secretsmanager:stream}", "region": "us-east-1",
                "endpoint": local.env["AWS_ENDPOINT_URL"]}},
        {"out": {"type": "blackhole", "input": "in"}}))
    for command in (["run", "--once", "--json"], ["check", "--connect"], ["check", "--connect", "--json"]):
        result = weir.run(*command, manifest, env={**local.env, "WEIR_LOG": "trace"})
        assert result.status in (CONFIG, FAILED) and "ResourceNotFoundException" in result.text, result
        assert "hidden-stream-name" not in result.text, result
        assert "stream ${secretsmanager:stream}" in result.text


def test_a_restart_fetches_anew(weir, local):
    """A secret that is rotated while the pipeline runs counts from the next restart on."""
    local.secret("place", "first")
    document = pipeline(
        {"in": {"type": "generator", "rate": 50, "format": "json"}},
        {"out": {"type": "file", "input": "in", "format": "json", "roll": {"age": "100ms"},
                 "path": "out/${secretsmanager:place}/"}})
    document["settings"] = {"restart": {"strategy": "fixed_delay", "delay": "10ms"},
                            "checkpoint": {"interval": "100ms", "min_pause": "0"}}
    running = weir.start("run", weir.manifest(document), env=local.env)
    wait_for(lambda: lines_of(weir.folder / "out/first"), 60, "records in the first place")
    worker = running.worker()
    local.secrets.put_secret_value(SecretId="place", SecretString="second")
    os.kill(worker, 9)
    wait_for(lambda: lines_of(weir.folder / "out/second"), 60, "records in the second place")
    result = running.stop()
    assert result.status == OK, result


def test_a_stop_does_not_wait_for_a_silent_service(weir, local):
    import socket
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        env = {**local.env, "AWS_ENDPOINT_URL": f"http://127.0.0.1:{silent.getsockname()[1]}"}
        running = weir.start("run", weir.manifest(files_from("a/${secretsmanager:db}/")), env=env)
        silent.settimeout(60)
        connection, _ = silent.accept()
        result = running.stop()  # while the service still holds the connection and says nothing
        assert result.status == FAILED, result
        connection.close()


# ---- files ----

def fetched(weir):
    return sorted(weir.state.glob("test/fetched-*"))


def test_an_object_becomes_a_private_file(weir, cloud):
    lines = [b'{"n": %d}' % n for n in range(100)]
    cloud.put("in/odd name+\u00e9%.jsonl", b"\n".join(lines) + b"\n")
    document = pipeline(
        {"in": {"type": "file", "path": "${s3file:lake/in/odd name+\u00e9%.jsonl}", "format": "json",
                "follow": True}},
        {"out": {"type": "file", "input": "in", "path": "out/", "format": "json",
                 "roll": {"age": "100ms"}}})
    document["settings"] = {"checkpoint": {"interval": "100ms", "min_pause": "0"}}
    running = weir.start("run", weir.manifest(document), env=cloud.env)
    wait_for(lambda: sorted(lines_of(weir.folder / "out")) == sorted(lines), 60, "all lines are there")
    [folder] = fetched(weir)
    [file] = folder.iterdir()
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert file.suffix == ".jsonl" and file.read_bytes() == b"\n".join(lines) + b"\n"
    result = running.stop()
    assert result.status == OK, result
    assert not fetched(weir)


def test_objects_that_cannot_be_had(weir, cloud):
    cloud.put("there", b"x")
    manifest = weir.manifest("""\
weir: 1
name: test
sources:
  in: {type: file, path: ["${s3file:lake/not/there}", "${s3file:no-such-bucket-here/k}", "${s3file:lake/there}"]}
sinks:
  out: {type: blackhole, input: in}
""")
    for command in (["run", "--once"], ["check", "--connect"]):
        result = weir.run(*command, manifest, env=cloud.env)
        assert result.status == CONFIG, result
        told = [line for line in result.err.splitlines() if "[reference-failed]" in line]
        assert len(told) == 2 and "NoSuchKey" in told[0] and "NoSuchBucket" in told[1], result
        assert all("pipeline.yaml:4:" in line for line in told)
    assert not fetched(weir)
    assert not list(weir.folder.glob("weir-check-*"))


def test_files_go_whatever_happens(weir, local, tmp_path):
    """Restarted workers use the folder of their run; what a killed run leaves, the next removes."""
    local.put("records", b"1\n2\n")
    document = pipeline({"in": {"type": "file", "path": "${s3file:lake/records}", "follow": True}},
                        {"out": {"type": "blackhole", "input": "in"}})
    document["settings"] = {"restart": {"strategy": "fixed_delay", "delay": "10ms"}}
    manifest = weir.manifest(document)
    running = weir.start("run", manifest, env=local.env)
    worker = running.worker()
    running.wait_status(lambda s: s["state"] == "running", "it runs")
    [folder] = fetched(weir)
    os.kill(worker, signal.SIGKILL)
    wait_for(lambda: running.workers() not in ([], [worker]), 60, "another worker")
    running.wait_status(lambda s: s["state"] == "running", "it runs again")
    assert fetched(weir) == [folder] and len(list(folder.iterdir())) == 1
    running.process.kill()
    running.process.wait()
    assert fetched(weir) == [folder]
    result = weir.run("run", "--for", "100ms", manifest, "--from", "none", env=local.env)
    assert result.status == OK, result
    assert not fetched(weir)
    # While one runs, another of its name can do nothing to it.
    running = weir.start("run", manifest, "--from", "none", env=local.env)
    running.wait_status(lambda s: s["state"] == "running", "it runs")
    [folder] = fetched(weir)
    assert weir.run("run", manifest, env=local.env).status == FAILED
    assert len(list(folder.iterdir())) == 1
    # A check has a folder of its own, and leaves none.
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    result = weir.run("check", "--connect", manifest, env={**local.env, "TMPDIR": str(temporary)})
    assert result.status == OK and "reference s3file:lake/records: fetched" in result.out, result
    assert not list(temporary.iterdir())
    result = weir.run("check", "--connect", "--json", manifest, env=local.env)
    assert result.json()[0]["fetched"] == ["s3file:lake/records"], result
    assert running.stop().status == OK


# ---- as the service has bad minutes ----

def test_a_client_retries_and_a_reference_is_asked_for_once(weir, local):
    local.secret("db", json.dumps({"a": "x", "b": "y"}))
    local.local.faults([{"operation": "GetSecretValue", "status": 500, "exception": "InternalServiceError",
                         "count": 2}])
    document = files_from("out/${secretsmanager:db:a}/${secretsmanager:db:b}/${secretsmanager:db:a}/")
    local.local.admin("DELETE", "stats")
    result = weir.run_pipeline(document, "--once", env=local.env)
    assert result.status == OK, result
    assert len(lines_of(weir.folder / "out/x/y/x")) == 3
    operations = local.local.admin("GET", "stats")["operations"]
    assert operations["secretsmanager.GetSecretValue"]["requests"] == 4  # two references, two refusals


def test_throttled_for_good_and_denied(weir, local):
    local.secret("db", "x")
    manifest = weir.manifest(files_from("out/${secretsmanager:db}/"))
    for exception, status, expected in [("ThrottlingException", 400, FAILED),
                                        ("InternalServiceError", 500, FAILED),
                                        ("AccessDeniedException", 400, CONFIG),
                                        ("ExpiredTokenException", 400, CONFIG)]:
        local.local.faults([{"operation": "GetSecretValue", "status": status, "exception": exception}])
        for command in (["run", "--once"], ["check", "--connect"]):
            result = weir.run(*command, manifest, env={**local.env, "AWS_MAX_ATTEMPTS": "2"})
            assert result.status == expected and exception in result.err, result
    local.local.faults([{"service": "secretsmanager", "status": 200, "body": "<html>proxy</html>"}])
    result = weir.run("run", "--once", manifest, env=local.env)
    assert result.status == FAILED and "not one of GetSecretValue" in result.err, result
