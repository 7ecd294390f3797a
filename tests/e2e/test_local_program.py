"""weir-local as a program for people: `weir local`, what it prints."""

import json
import os
import re
import shutil
import socket
import ssl
import subprocess
import sys
import tempfile
import urllib.request

import pytest

from local import PROGRAM, LocalAws
from processes import wait_for
from weir import BUILD, FAILED, OK, PROGRAM as WEIR, ROOT, USAGE


def test_weir_local_is_the_program_with_the_same_options(weir):
    running = weir.start("local", "--stream", "clicks:2", "--listen", "127.0.0.1:0")
    line = wait_for(lambda: running.out_path.read_text().partition("\n")[0], 60, "it is ready")
    ready = json.loads(line)
    assert ready["pid"] == running.pid, "it is the same process: who started it can end it"
    request = urllib.request.Request(
        f"{ready['endpoint']}/", data=b"{}", method="POST",
        headers={"X-Amz-Target": "Kinesis_20131202.ListStreams", "Content-Type": "application/x-amz-json-1.1",
                 "Authorization": "AWS4-HMAC-SHA256 Credential=local/20260101/us-east-1/kinesis/aws4_request, "
                                  "SignedHeaders=host, Signature=0"})
    answer = json.load(urllib.request.urlopen(request, timeout=60))
    assert answer["StreamNames"] == ["clicks"]
    assert running.stop().status == OK


def test_help_shows_the_options_of_the_program(weir):
    own = subprocess.run([PROGRAM, "--help"], capture_output=True, text=True, check=True).stdout
    assert "--stream" in own
    result = weir.run("local", "--help")
    assert result.status == OK and result.out.endswith(own), result
    assert re.search(r"^  local +start an AWS endpoint", weir.run("--help").out, re.M)


@pytest.mark.parametrize("words", [["--nonsense"], ["--stream"], ["word"]])
def test_wrong_options_are_status_2(weir, words):
    result = weir.run("local", *words)
    assert result.status == USAGE and words[-1] in result.err and "--help" in result.err, result


def refused(*words):
    result = subprocess.run([PROGRAM, *words], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60)
    assert result.stdout == "", result
    return result.returncode, result.stderr


@pytest.mark.parametrize("option, value, rule", [
    ("--stream", "clicks", "NAME:SHARDS"),
    ("--stream", "clicks:", "1 to 10000 shards"),
    ("--stream", "clicks:0", "1 to 10000 shards"),
    ("--stream", "clicks:10001", "1 to 10000 shards"),
    ("--stream", "bad name:1", "1 to 128 characters"),
    ("--stream", "n" * 129 + ":1", "1 to 128 characters"),
    ("--bucket", "La_ke", "lower-case letters"),
    ("--bucket", "la", "3 to 63"),
    ("--delivery-stream", "x", "NAME=BUCKET/PREFIX"),
    ("--delivery-stream", "bad name=lake/", "1 to 64 characters"),
    ("--delivery-stream", "x=/in", "bucket"),
    ("--listen", "4566", "ADDRESS:PORT"),
    ("--listen", "127.0.0.1", "ADDRESS:PORT"),
    ("--listen", "127.0.0.1:65536", "0 to 65535"),
    ("--listen", "nowhere.example:1", "IPv4 or IPv6 address"),
    ("--auth", "verfy", "verify or off; did you mean 'verify'?"),
    ("--seed", "abc", "integer"),
    ("--dir", "", "a path"),
])
def test_a_malformed_value_is_named_with_its_rule(option, value, rule):
    for words in [option, value], [f"{option}={value}"]:
        status, said = refused(*words)
        assert status == USAGE, said
        assert f"{option} '{value}': expected" in said and rule in said and said.count("\n") == 1, said


def test_a_name_stands_for_one_thing():
    for option, first, second in (("--stream", "clicks:1", "clicks:2"),
                                  ("--delivery-stream", "x=lake/a", "x=lake/b")):
        status, said = refused("--bucket", "lake", option, first, option, second)
        assert status == USAGE and f"{option} '{second}'" in said and f"{option} '{first}'" in said, said


@pytest.mark.parametrize("word, meant", [("--sream", "--stream"), ("--buckets", "--bucket"), ("--sed=3", "--seed")])
def test_a_misspelt_option_gets_the_nearest_one(word, meant):
    status, said = refused(word, "x")
    assert status == USAGE and word.partition("=")[0] in said and f"did you mean '{meant}'?" in said, said


@pytest.mark.parametrize("words, said", [
    (["--stream", "--bucket", "lake"], "--stream lacks its value: expected --stream NAME:SHARDS"),
    (["--tls", "cert.pem"], "--tls lacks one of its values: expected --tls CERT KEY"),
    (["--version=3"], "--version takes no value")])
def test_a_value_too_few_or_too_many(words, said):
    status, text = refused(*words)
    assert status == USAGE and said in text, text


def test_values_behind_an_equals_sign_and_localhost(tmp_path):
    with LocalAws(tmp_path, "--listen=localhost:0", "--stream=clicks:2", "--stream", "clicks:2", "--bucket=lake",
                  "--delivery-stream=in=lake/in/", "--auth=verify", "--seed=-7") as local:
        assert local.endpoint == f"http://127.0.0.1:{local.port}" and local.ready["auth"] == "verify"
        assert local.client("kinesis").list_streams()["StreamNames"] == ["clicks"]
        described = local.client("firehose").describe_delivery_stream(DeliveryStreamName="in")
        destination, = described["DeliveryStreamDescription"]["Destinations"]
        assert destination["S3DestinationDescription"]["Prefix"] == "in/"
    assert local.log_file.read_text() == ""


def test_a_bucket_that_is_missing_is_a_note(tmp_path):
    with LocalAws(tmp_path, "--delivery-stream", "in=nobucket/") as local:
        assert "note: --delivery-stream 'in=nobucket/': there is no bucket" in local.log_file.read_text()


def test_a_folder_is_one_process_own(tmp_path):
    folder = tmp_path / "kept"
    with LocalAws(tmp_path, "--dir", folder, "--stream", "clicks:1") as first:
        status, said = refused("--dir", str(folder), "--stream", "other:1")
        assert status == FAILED, said
        assert f"{folder} is in use by pid {first.process.pid}; give each its own folder" in said, said
        before = sorted(p.name for p in folder.iterdir())
    second = LocalAws(tmp_path, "--dir", folder)
    second.process.kill()  # what is left behind does not keep the next one out
    second.process.wait()
    second.stop()
    with LocalAws(tmp_path, "--dir", folder) as third:
        assert third.client("kinesis").list_streams()["StreamNames"] == ["clicks"]
    assert before == ["lock"]


def test_tls_without_a_certificate_is_refused_at_once(tmp_path):
    with LocalAws(tmp_path) as local:
        for _ in range(3):
            with socket.create_connection(("127.0.0.1", local.port), timeout=60) as plain:
                with pytest.raises(OSError) as refusal:
                    ssl.create_default_context().wrap_socket(plain, server_hostname="localhost")
            assert not isinstance(refusal.value, TimeoutError)
        assert local.now() > 0  # others are served
        said = local.log_file.read_text()
    assert said.count("--tls-self-signed") == 1 and said.count("\n") == 1, said


@pytest.mark.parametrize("words", [[], ["--help"]])
def test_without_the_program_beside_it_weir_says_what_is_missing(weir, words):
    alone = weir.folder / "bin"
    alone.mkdir()
    shutil.copy(WEIR, alone / "weir")
    result = weir.run("local", *words, command=[alone / "weir"])
    assert result.status == FAILED, result
    assert f"cannot start {alone}/weir-local: No such file" in result.err, result
    assert "build the target" in result.err, result


def test_a_port_that_is_taken_is_said_at_once(weir, tmp_path):
    (tmp_path / "first").mkdir()
    with LocalAws(tmp_path / "first") as first:
        result = weir.run("local", "--listen", f"127.0.0.1:{first.port}")
    assert result.status == FAILED and str(first.port) in result.err and "in use" in result.err, result


def test_the_demonstration_counts_what_arrived():
    """scripts/demo without its build; -S: with nothing but Python's standard library."""
    with tempfile.TemporaryDirectory(prefix="demo-") as folder:  # the path of a socket is short
        demo = subprocess.run([sys.executable, "-I", "-S", ROOT / "scripts" / "demo.py", "2", f"{folder}/demo"],
                              env={**os.environ, "WEIR_BUILD": str(BUILD)}, capture_output=True, text=True)
    text = demo.stdout + demo.stderr
    assert demo.returncode == 0, text
    [(sent, found)] = re.findall(r"^== (\d+) records were put into the stream, (\d+) are in the files$",
                                 text, re.M)
    assert sent == found and int(sent) >= 800 and "is read to its end, 2 children" in text, text
