"""weir check --connect: credentials, endpoint, signature and each stream, tried for real."""

import json
import os
import signal
import socket
import time

import pytest

from local import LocalAws
from processes import wait_for
from weir import CONFIG, FAILED, OK, SLOWNESS, USAGE, pipeline

KEYS = {"AWS_ACCESS_KEY_ID": "local", "AWS_SECRET_ACCESS_KEY": "local-secret"}


@pytest.fixture
def local(tmp_path):
    folder = tmp_path / "weir-local"
    folder.mkdir()
    with LocalAws(folder, "--auth", "verify", "--stream", "orders:4", "--stream", "views:1",
                  "--tls-self-signed", folder) as endpoint:
        endpoint.folder = folder
        yield endpoint


def reads(endpoint, *streams, **options):
    name = {"stream": streams[0]} if len(streams) == 1 else {"streams": list(streams)}
    return pipeline({"in": {"type": "kinesis", "region": "us-east-1", "endpoint": endpoint, **name, **options}},
                    {"out": {"type": "blackhole", "input": "in"}})


def check(weir, document, *args, env=KEYS, **more):
    return weir.run("check", "--connect", weir.manifest(document), *args, env=env, **more)


def failures(result):
    """Failed lines, each with its hint."""
    found = []
    for line in result.err.splitlines():
        if ": error: " in line:
            found.append([line, ""])
        elif line.startswith("  hint: ") and found:
            found[-1][1] = line
    return found


def test_each_thing_is_a_line(weir, local):
    result = check(weir, reads(local.endpoint, "orders", "views"))
    assert result.status == OK and result.err == "", result
    assert result.out.splitlines() == [
        f"kinesis source 'in': endpoint {local.endpoint} answers",
        "kinesis source 'in': credentials from environment ok",
        "kinesis source 'in': stream orders: 4 open shards",
        "kinesis source 'in': stream views: 1 open shard",
        "blackhole sink 'out': nothing to try",
        f"{weir.folder}/pipeline.yaml: ok"]
    # No record moved, nothing was kept.
    stats = json.dumps(local.admin("GET", "stats"))
    assert "GetRecords" not in stats and "GetShardIterator" in stats
    assert not weir.state.exists()


def test_closed_shards_are_counted(weir, local):
    client = local.client("kinesis")
    client.split_shard(StreamName="views", ShardToSplit="shardId-000000000000",
                       NewStartingHashKey=str(2**127))
    wait_for(lambda: client.describe_stream_summary(StreamName="views")["StreamDescriptionSummary"][
        "StreamStatus"] == "ACTIVE", 60, "the split is done", interval=0.1)
    result = check(weir, reads(local.endpoint, "views"))
    assert result.status == OK and "stream views: 2 open shards, 1 closed" in result.out, result


def test_json(weir, local):
    result = check(weir, reads(local.endpoint, "orders", "nothing"), "--json")
    assert result.status == CONFIG, result
    [checked] = result.json()
    assert not checked["ok"] and checked["diagnostics"] == []
    found = checked["connect"]
    assert [f["ok"] for f in found] == [True, True, True, False, True]
    assert all(f["node"] == "in" and f["kind"] == "source" and f["type"] == "kinesis" for f in found[:4])
    assert found[3]["status"] == "not_found" and found[3]["code"] == "ResourceNotFoundException"
    assert found[3]["request_id"] and found[3]["http_status"] == "400"
    assert "region (us-east-1)" in found[3]["hint"]
    assert found[4] == {"node": "out", "kind": "sink", "type": "blackhole", "ok": True, "tried": False,
                        "text": "nothing to try"}


def test_a_stream_that_is_missing_does_not_hide_the_others(weir, local):
    result = check(weir, reads(local.endpoint, "nothing", "orders", "nowhere"))
    assert result.status == CONFIG, result
    told = failures(result)
    assert len(told) == 2
    assert "stream nothing: ResourceNotFoundException" in told[0][0]
    assert "stream nowhere: ResourceNotFoundException" in told[1][0]
    assert "check the name, the region (us-east-1)" in told[0][1]
    assert "stream orders: 4 open shards" in result.out and "credentials from environment ok" in result.out
    assert "pipeline.yaml: ok" not in result.out


@pytest.mark.parametrize("keys, code", [
    ({"AWS_SECRET_ACCESS_KEY": "wrong"}, "InvalidSignatureException"),
    ({"AWS_ACCESS_KEY_ID": "AKIANOBODY"}, "UnrecognizedClientException"),
])
def test_keys_that_are_wrong(weir, local, keys, code):
    result = check(weir, reads(local.endpoint, "orders", "views"), env={**KEYS, **keys})
    assert result.status == CONFIG, result
    [[line, hint]] = failures(result)  # once, not for each stream
    assert "credentials from environment: " + code in line, result
    assert "check the access key and secret key (from environment)" in hint
    assert "answers" in result.out and "credentials" not in result.out
    assert KEYS["AWS_SECRET_ACCESS_KEY"] not in result.text


def test_a_token_that_has_ended(weir, local):
    sts = local.client("sts")
    keys = sts.get_session_token(DurationSeconds=900)["Credentials"]
    env = {"AWS_ACCESS_KEY_ID": keys["AccessKeyId"], "AWS_SECRET_ACCESS_KEY": keys["SecretAccessKey"],
           "AWS_SESSION_TOKEN": keys["SessionToken"]}
    document = reads(local.endpoint, "orders")
    assert check(weir, document, env=env).status == OK
    local.advance(1000)
    result = check(weir, document, env=env)
    assert result.status == CONFIG, result
    [[line, _]] = failures(result)
    assert "ExpiredTokenException" in line, result
    assert keys["SecretAccessKey"] not in result.text and keys["SessionToken"] not in result.text


def test_no_keys_at_all(weir, local):
    result = check(weir, reads(local.endpoint, "orders"), env={})
    assert result.status == CONFIG, result
    [[line, _]] = failures(result)
    assert "credentials" in line


def test_what_is_not_allowed(weir, local):
    for operation in ("ListShards", "GetShardIterator"):
        local.faults([{"operation": operation, "status": 400, "exception": "AccessDeniedException",
                       "message": "not authorized"}])
        result = check(weir, reads(local.endpoint, "orders"))
        assert result.status == CONFIG, result
        [[line, hint]] = failures(result)
        assert "stream orders: AccessDeniedException: not authorized" in line, result
        assert f"needs permission for kinesis:{operation}" in hint, result
        assert "credentials from environment ok" in result.out


def test_a_bad_minute_is_borne_and_a_bad_hour_told(weir, local):
    local.faults([{"operation": "ListShards", "exception": "LimitExceededException", "count": 1},
                  {"operation": "ListShards", "exception": "InternalFailure", "count": 1}])
    result = check(weir, reads(local.endpoint, "orders"))
    assert result.status == OK and "4 open shards" in result.out, result
    local.faults([{"operation": "ListShards", "exception": "LimitExceededException"}])
    result = check(weir, reads(local.endpoint, "orders"))
    assert result.status == FAILED, result
    [[line, _]] = failures(result)
    assert "LimitExceededException" in line


def test_nobody_there(weir):
    result = check(weir, reads("http://127.0.0.1:1", "orders", "views"))
    assert result.status == FAILED, result
    [[line, hint]] = failures(result)
    assert "endpoint http://127.0.0.1:1: " in line and "can be reached from here" in hint, result
    assert "answers" not in result.out


def test_silence_ends_at_the_timeout(weir):
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        endpoint = f"http://127.0.0.1:{silent.getsockname()[1]}"
        began = time.monotonic()
        result = check(weir, reads(endpoint, "orders", "views"), "--timeout", "300ms")
        assert result.status == FAILED, result
        assert time.monotonic() - began < 9 * SLOWNESS  # less than the default
        [[line, _]] = failures(result)
        assert f"endpoint {endpoint}: " in line, result


def test_a_check_can_be_broken_off(weir):
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        silent.settimeout(60)
        manifest = weir.manifest(reads(f"http://127.0.0.1:{silent.getsockname()[1]}", "orders"))
        running = weir.start("check", "--connect", "--timeout", "1h", manifest, env=KEYS)
        connection, _ = silent.accept()
        os.kill(running.pid, signal.SIGINT)
        result = running.wait()
        assert result.status == FAILED and "interrupted" in result.err, result
        connection.close()


def test_tls(weir, local):
    endpoint = local.tls_endpoint or local.endpoint.replace("http:", "https:")
    result = check(weir, reads(endpoint, "orders"))
    assert result.status == CONFIG, result
    [[line, hint]] = failures(result)
    assert f"endpoint {endpoint}: " in line and "certificate" in line.lower(), result
    assert "ca_bundle" in hint, result
    result = check(weir, reads(endpoint, "orders", ca_bundle=str(local.folder / "cert.pem")))
    assert result.status == OK and "4 open shards" in result.out, result


def test_an_endpoint_of_somebody_else(weir, local):
    local.faults([{"service": "kinesis", "status": 200, "body": "<html>welcome</html>"}])
    result = check(weir, reads(local.endpoint, "orders"))
    assert result.status == CONFIG, result
    [[line, hint]] = failures(result)
    assert "not one of ListShards" in line and "is that the endpoint of Kinesis?" in hint, result


def test_what_is_wrong_with_the_manifest_comes_first(weir, local):
    document = reads(local.endpoint, "orders")
    document["sinks"]["out"]["input"] = "im"
    result = check(weir, document)
    assert result.status == CONFIG and "[unknown-node]" in result.err, result
    assert "answers" not in result.out
    [checked] = check(weir, document, "--json").json()
    assert checked["connect"] == [] and checked["diagnostics"] and not checked["ok"]


def test_several_manifests(weir, local):
    good = weir.manifest(reads(local.endpoint, "orders"), "good.yaml")
    dead = weir.manifest(reads("http://127.0.0.1:1", "orders"), "dead.yaml")
    result = weir.run("check", "--connect", good, dead, env=KEYS)
    assert result.status == FAILED and "good.yaml: ok" in result.out and "dead.yaml: ok" not in result.out
    wrong = weir.manifest(reads(local.endpoint, "nothing"), "wrong.yaml")
    result = weir.run("check", "--connect", wrong, dead, good, env=KEYS)
    assert result.status == CONFIG and "good.yaml: ok" in result.out, result


@pytest.mark.parametrize("words", [["--timeout", "5s"], ["--connect", "--timeout", "soon"],
                                   ["--connect", "--timeout", "0"], ["--connect", "--timeout", "2h"]])
def test_words_that_make_no_sense(weir, words):
    result = weir.run("check", weir.manifest(reads("http://127.0.0.1:1", "s")), *words)
    assert result.status == USAGE and "--timeout" in result.err, result


def test_formats_are_asked_too(weir, local):
    document = reads(local.endpoint, "orders", format="json")
    result = check(weir, document)
    assert result.status == OK and "json format of 'in': nothing to try" in result.out, result
