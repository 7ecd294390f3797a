"""weir-local as a program for people: `weir local`, what it prints."""

import json
import os
import re
import shutil
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
