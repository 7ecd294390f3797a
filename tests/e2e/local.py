"""weir-local as a fixture: started on a port of its own, its clock and its faults at hand."""

import http.client
import json
import shutil
import subprocess
import urllib.error
import urllib.request
import warnings

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

import weir

ONCE = {"total_max_attempts": 1, "mode": "standard"}
PROGRAM = weir.PROGRAM.parent / "weir-local"
need_curl = pytest.mark.skipif(not shutil.which("curl"), reason="curl is not installed")


def refused(call, **arguments):
    """Code and message of the refusal that the call must meet."""
    with pytest.raises(ClientError) as error:
        call(**arguments)
    return error.value.response["Error"]["Code"], error.value.response["Error"]["Message"]


def code(call, **arguments):
    return refused(call, **arguments)[0]


class LocalAws:
    def __init__(self, folder, *options):
        self.port_file = folder / "port"
        self.log_file = folder / "weir-local.log"
        self.log = open(self.log_file, "wb")
        self.process = subprocess.Popen(
            [str(PROGRAM), "--port-file", str(self.port_file), *map(str, options)],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=self.log)
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(f"weir-local ended: {(folder / 'weir-local.log').read_text()}")
        self.ready = json.loads(line)
        self.endpoint, self.port = self.ready["endpoint"], self.ready["port"]
        self.tls_endpoint = self.ready.get("tls_endpoint")

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        self.stop()
        # A sanitizer's report is a failure of the test during which it came.
        if kind is None and self.process.returncode != 0:
            raise AssertionError(f"weir-local ended with {self.process.returncode}:\n"
                                 f"{self.log_file.read_text()[-8000:]}")

    def stop(self):
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self.process.stdout.close()
        self.log.close()

    def client(self, service, retries=None, checked=True, **more):
        """`checked` False: what is sent is left to the service to check."""
        keys = {"aws_access_key_id": "local", "aws_secret_access_key": "local-secret", **more}
        warnings.filterwarnings("ignore", category=ResourceWarning)
        return boto3.client(service, endpoint_url=self.endpoint, region_name="us-east-1", **keys,
                            config=Config(retries=retries or {"max_attempts": 8, "mode": "standard"},
                                          parameter_validation=checked, read_timeout=30,
                                          max_pool_connections=16))

    def admin(self, method, what, body=None):
        """Rules about connections hold for these, too: an end that came first is tried again."""
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"{self.endpoint}/_weir/{what}", data=data, method=method)
        for left in reversed(range(20)):
            try:
                return json.load(urllib.request.urlopen(request, timeout=10))
            except (ConnectionError, http.client.HTTPException, urllib.error.URLError) as error:
                if isinstance(error, urllib.error.HTTPError) or left == 0 or self.process.poll() is not None:
                    raise

    def now(self):
        """The services' clock, in seconds."""
        return self.admin("GET", "clock")["now_ms"] / 1000

    def advance(self, seconds):
        """The services' clock goes on; what signatures are checked against stays."""
        return self.admin("POST", "clock", {"advance_ms": int(seconds * 1000)})

    def skew(self, seconds):
        return self.admin("POST", "clock", {"skew_ms": int(seconds * 1000)})

    def faults(self, rules):
        return self.admin("POST", "faults", {"rules": rules})
