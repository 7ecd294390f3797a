"""Amazon's own clients as child processes: tests/judges, compiled by tests/tools/setup."""

import json
import os
import subprocess
import threading

import weir
from processes import start_server, wait_for

ENV = weir.ROOT / "build" / "env"
TRUST_PASSWORD = "changeit"
# Short runs: no time for the optimising compiler, and little memory beside other tests.
JAVA = ["java", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-Xmx256m"]
# Neither the SDK nor the library looks for a machine of Amazon's around it.
ENVIRONMENT = {**{k: v for k, v in os.environ.items() if not k.startswith(("AWS_", "ASAN_", "TSAN_"))},
               "AWS_EC2_METADATA_DISABLED": "true", "AWS_REGION": "us-east-1",
               "AWS_CONFIG_FILE": os.devnull, "AWS_SHARED_CREDENTIALS_FILE": os.devnull}


def made(path):
    if not path.exists():
        raise RuntimeError(f"{path} is missing; run tests/tools/setup")
    return path


def trust_store(certificate, folder):
    """A Java trust store with just that certificate."""
    path = folder / "trust.p12"
    subprocess.run(["keytool", "-importcert", "-noprompt", "-alias", "weir-local", "-file",
                    str(certificate), "-keystore", str(path), "-storetype", "PKCS12",
                    "-storepass", TRUST_PASSWORD], check=True, capture_output=True)
    return path


def java(trust, *arguments):
    classes = made(ENV / "judges" / "java")
    return [*JAVA, f"-Djavax.net.ssl.trustStore={trust}",
            f"-Djavax.net.ssl.trustStorePassword={TRUST_PASSWORD}",
            "-cp", f"{classes}:{made(ENV / 'kcl')}/*", *map(str, arguments)]


def dynamodb_local(folder):
    """DynamoDB Local in memory: a processes.Server."""
    libs = made(ENV / "dynamodb-local")
    return start_server(
        lambda ports: ([*JAVA, f"-Djava.library.path={libs}", "-cp", f"{libs}/*",
                        "software.amazon.dynamodb.services.local.main.ServerRunner", "-inMemory",
                        "-sharedDb", "-disableTelemetry", "-port", ports[0]],
                       {"env": ENVIRONMENT, "cwd": folder}),
        1, folder / "dynamodb-local.log", seconds=120)


class Judge:
    """A child that says lines of JSON; `on_line` is told each one, in a thread of its own."""

    def __init__(self, command, log, on_line):
        self.log, self.on_line = log, on_line
        with open(log, "wb") as out:
            self.process = subprocess.Popen([str(c) for c in command], stdin=subprocess.PIPE,
                                            stdout=subprocess.PIPE, stderr=out, env=ENVIRONMENT)
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()

    def _read(self):
        for line in self.process.stdout:
            self.on_line(json.loads(line))

    def write(self, text):
        self.process.stdin.write(text.encode())
        self.process.stdin.flush()

    def alive(self):
        """True; fails the test if the child has ended."""
        assert self.process.poll() is None, f"ended: {self.log.read_text()[-6000:]}"
        return True

    def end(self, seconds=60):
        """Ends its input and waits for it: its exit status. What it said is complete then."""
        self.process.stdin.close()
        status = self.process.wait(seconds)
        self.reader.join(10)
        self.process.stdout.close()
        return status

    def kill(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()


class Subscription:
    """What one SubscribeToShard brought."""

    def __init__(self):
        self.opened, self.protocol = False, None
        self.events = []  # of kind "records", as they came
        self.error = None  # the line that told it
        self.done = False

    def take(self, line):
        if line["event"] == "open":
            self.opened, self.protocol = True, line.get("protocol")
        elif line["event"] == "records":
            self.events.append(line)
        elif line["event"] == "error":
            self.error, self.done = line, True
        elif line["event"] == "end":
            self.done = True
        else:
            raise AssertionError(line)

    def records(self):
        """[(sequence number, partition key, data), ...]"""
        return [(number, bytes.fromhex(key).decode(), bytes.fromhex(data))
                for event in list(self.events) for number, key, data in event.get("records") or []]

    def continuation(self):
        return self.events[-1]["continuation"]


class Subscriber:
    """A judge that subscribes on command: Go's or Java's SDK."""

    def __init__(self, command, log):
        self.subscriptions = {}
        self.judge = Judge(command, log, lambda line: self.subscriptions[line["id"]].take(line))

    def subscribe(self, mode, local, consumer, shard, position="TRIM_HORIZON", number=""):
        name = str(len(self.subscriptions))
        self.subscriptions[name] = Subscription()
        endpoint = local.tls_endpoint if mode in ("tls", "assume") else local.endpoint
        self.judge.write("\t".join([name, mode, endpoint, consumer, shard, position, number]) + "\n")
        return self.subscriptions[name]

    def wait(self, condition, what, seconds=60):
        return wait_for(lambda: self.judge.alive() and condition(), seconds, what)
