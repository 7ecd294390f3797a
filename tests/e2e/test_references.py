"""References of manifests that a plugin resolves: ${secretsmanager:...} and ${s3file:...}."""

import json
import os
import stat
import time

import pytest

from conftest import aws_client
from processes import wait_for
from weir import CONFIG, FAILED, OK, lines_of, pipeline

PASSWORD = "HUNTER2-correct-horse"


def region(endpoint, key="local", secret="local-secret", **more):
    return {"AWS_ACCESS_KEY_ID": key, "AWS_SECRET_ACCESS_KEY": secret, "AWS_REGION": "us-east-1",
            "AWS_ENDPOINT_URL": endpoint, **more}


@pytest.fixture
def vault(moto):
    """moto's Secrets Manager with signatures checked; the environment that reaches it."""
    client = aws_client("secretsmanager", moto.endpoint, aws_access_key_id=moto.access_key_id,
                        aws_secret_access_key=moto.secret)
    client.env = region(moto.endpoint, moto.access_key_id, moto.secret)
    yield client
    for secret in client.list_secrets()["SecretList"]:
        client.delete_secret(SecretId=secret["ARN"], ForceDeleteWithoutRecovery=True)


def files_from(path, **sink):
    """Three records into files whose folder is an option that may hold references."""
    return pipeline({"in": {"type": "generator", "count": 3, "format": "json"}},
                    {"out": {"type": "file", "input": "in", "path": path, "format": "json", **sink}})


def test_values_take_their_place(weir, vault):
    vault.create_secret(Name="prod/db", SecretString=json.dumps(
        {"user": "alice", "port": 5432, "exact": 1.50, "on": True, "odd name": "o"}))
    arn = vault.create_secret(Name="plain", SecretString="whole text")["ARN"]
    path = ("out/${secretsmanager:prod/db:user}/${secretsmanager:prod/db:port}/"
            "${secretsmanager:prod/db:on}/${secretsmanager:prod/db:odd name}/"
            "${secretsmanager:%s}/" % arn)
    result = weir.run_pipeline(files_from(path), "--once", env=vault.env)
    assert result.status == OK, result
    assert len(lines_of(weir.folder / "out/alice/5432/true/o/whole text")) == 3


def test_what_is_wrong_is_told_with_its_place(weir, vault):
    vault.create_secret(Name="db", SecretString=json.dumps({"user": "alice", "list": [1], "no": None}))
    vault.create_secret(Name="text", SecretString=PASSWORD)
    vault.create_secret(Name="binary", SecretBinary=b"\x00\x01")
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
        result = weir.run(*command, manifest, env=vault.env)
        assert result.status == CONFIG, result
        told = [line for line in result.err.splitlines() if "[reference-failed]" in line]
        assert len(told) == len(expected), result
        for line, (number, text) in zip(told, expected):
            assert f"pipeline.yaml:{number}:" in line and text in line, result
        assert PASSWORD not in result.text and "alice" not in result.text
    assert not (weir.folder / "a").exists()


def test_wrong_types_are_found_with_the_values(weir, vault):
    vault.create_secret(Name="count", SecretString="not-a-number")
    manifest = weir.manifest(pipeline(
        {"in": {"type": "generator", "count": "${secretsmanager:count}"}},
        {"out": {"type": "blackhole", "input": "in"}}))
    unknown = weir.run("check", manifest)
    assert unknown.status == OK and "${secretsmanager:count}" in unknown.err, unknown
    result = weir.run("run", "--once", manifest, env=vault.env)
    assert result.status == CONFIG and "[wrong-type]" in result.err, result
    assert "not-a-number" not in result.text
    assert "found the value of '${secretsmanager:count}'" in result.err
    vault.put_secret_value(SecretId="count", SecretString="7")
    result = weir.run("run", "--once", "--json", manifest, env=vault.env)
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


def test_credentials_that_are_refused_end_with_78(weir, vault):
    vault.create_secret(Name="db", SecretString="x")
    manifest = weir.manifest(files_from("a/${secretsmanager:db}/"))
    for command in (["run", "--once"], ["check", "--connect"]):
        result = weir.run(*command, manifest, env={**vault.env, "AWS_SECRET_ACCESS_KEY": "wrong"})
        assert result.status == CONFIG and "signature" in result.err.lower(), result
        assert "hint:" in result.err, result
        result = weir.run(*command, manifest, env={"AWS_ENDPOINT_URL": vault.env["AWS_ENDPOINT_URL"]})
        assert result.status == CONFIG and "region" in result.err, result


def test_a_service_in_trouble_may_be_asked_again(weir, vault):
    """Another status than 78, so that whoever supervises weir tries again; weir's own does, too."""
    vault.create_secret(Name="db", SecretString="x")
    dead = {**vault.env, "AWS_ENDPOINT_URL": "http://127.0.0.1:1"}
    manifest = files_from("a/${secretsmanager:db}/")
    for command in (["run", "--once"], ["check", "--connect"]):
        result = weir.run(*command, weir.manifest(manifest), env=dead)
        assert result.status == FAILED and "[reference-failed]" in result.err, result
    manifest["settings"] = {"restart": {"strategy": "fixed_delay", "delay": "10ms", "attempts": 2}}
    result = weir.run("run", "--once", weir.manifest(manifest), env=dead, seconds=120)
    assert result.status == FAILED and result.err.count("[reference-failed]") == 3, result


def test_values_are_nowhere_to_be_seen(weir, vault):
    vault.create_secret(Name="db", SecretString=json.dumps({"password": PASSWORD}))
    # The generator of a value that no node shows: a secret option.
    document = pipeline(
        {"in": {"type": "kinesis", "stream": "s", "region": "us-east-1", "endpoint": "http://127.0.0.1:1",
                "credentials": {"access_key_id": "k", "secret_access_key":
                                "${secretsmanager:db:password}"}}},
        {"out": {"type": "blackhole", "input": "in"}})
    document["settings"] = {"start_timeout": "60s"}
    manifest = weir.manifest(document)
    env = {**vault.env, "WEIR_LOG": "trace"}
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


def test_a_restart_fetches_anew(weir, vault):
    """A secret that is rotated while the pipeline runs counts from the next restart on."""
    vault.create_secret(Name="place", SecretString="first")
    document = pipeline(
        {"in": {"type": "generator", "rate": 50, "format": "json"}},
        {"out": {"type": "file", "input": "in", "format": "json", "roll": {"age": "100ms"},
                 "path": "out/${secretsmanager:place}/"}})
    document["settings"] = {"restart": {"strategy": "fixed_delay", "delay": "10ms"},
                            "checkpoint": {"interval": "100ms", "min_pause": "0"}}
    running = weir.start("run", weir.manifest(document), env=vault.env)
    wait_for(lambda: lines_of(weir.folder / "out/first"), 60, "records in the first place")
    worker = running.worker()
    vault.put_secret_value(SecretId="place", SecretString="second")
    os.kill(worker, 9)
    wait_for(lambda: lines_of(weir.folder / "out/second"), 60, "records in the second place")
    result = running.stop()
    assert result.status == OK, result


def test_a_stop_does_not_wait_for_a_silent_service(weir, vault):
    import socket
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        env = {**vault.env, "AWS_ENDPOINT_URL": f"http://127.0.0.1:{silent.getsockname()[1]}"}
        running = weir.start("run", weir.manifest(files_from("a/${secretsmanager:db}/")), env=env)
        silent.settimeout(60)
        connection, _ = silent.accept()
        began = time.monotonic()
        result = running.stop()
        assert result.status == FAILED, result
        assert time.monotonic() - began < 30
        connection.close()
