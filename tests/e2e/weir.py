"""Driving the program under test."""

import json
import os
import re
import socket
import subprocess
import tempfile
from pathlib import Path

import yaml

from processes import children, wait_for

ROOT = Path(__file__).resolve().parents[2]
BUILD = Path(os.environ.get("WEIR_BUILD", ROOT / "build" / "release")).resolve()
PROGRAM = BUILD / "bin" / "weir"
PLUGINS = BUILD / "lib" / "weir" / "plugins-1"
SANITIZED = bool(os.environ.get("ASAN_OPTIONS") or os.environ.get("TSAN_OPTIONS"))
SLOWNESS = 5 if SANITIZED else 1

OK, FAILED, USAGE, CONFIG = 0, 1, 2, 78

# What a sanitizer prints in front of its report: never to be overlooked in a process that a test
# expects to fail.
REPORTS = re.compile(r"ERROR: (Address|Leak)Sanitizer|WARNING: ThreadSanitizer|runtime error: ")


class Result:
    def __init__(self, status, out, err):
        self.status, self.out, self.err = status, out, err

    @property
    def text(self):
        return self.out + self.err

    def json(self):
        """The JSON document of standard output; with several lines, the last one."""
        try:
            return json.loads(self.out)
        except ValueError:
            return json.loads(self.out.strip().splitlines()[-1])

    def __repr__(self):
        return f"status {self.status}\n--- stdout\n{self.out[-4000:]}\n--- stderr\n{self.err[-8000:]}"


class Running:
    """A weir that runs; stop() ends it as an operator would. `pid` is the supervisor's."""

    def __init__(self, process, out_path, err_path, state):
        self.process, self.out_path, self.err_path = process, out_path, err_path
        self.state = state
        self.pid = process.pid

    def workers(self):
        """Process ids of its workers, one a pipeline; none while they are restarted."""
        return children(self.pid)

    def worker(self, seconds=20):
        """The id of its only worker, which is waited for."""
        def one():
            if not self.alive():
                raise AssertionError(f"weir ended too early:\n{self.errors()[-8000:]}")
            return self.workers()

        [pid] = wait_for(one, seconds * SLOWNESS, "there is a worker")
        return pid

    def ask(self, do, pipeline="test", seconds=60, **request):
        """The answer of a pipeline's control socket to one request: status, savepoint or stop."""
        with socket.socket(socket.AF_UNIX) as control:
            control.settimeout(seconds * SLOWNESS)
            control.connect(str(self.state / pipeline / "control.sock"))
            control.sendall(json.dumps({"do": do, **request}).encode() + b"\n")
            with control.makefile("rb") as answer:
                return json.loads(answer.readline())

    def status(self, pipeline="test"):
        """What the control socket says, or {} as long as nobody answers there."""
        try:
            answer = self.ask("status", pipeline)
        except (OSError, ValueError):
            return {}
        return answer if "state" in answer else {}  # the worker died of all moments in this one

    def wait_status(self, condition, what, seconds=60, pipeline="test"):
        """The first status that fulfils condition(status)."""
        def reached():
            if not self.alive():
                raise AssertionError(f"weir ended too early:\n{self.errors()[-8000:]}")
            status = self.status(pipeline)
            return status if status and condition(status) else None

        return wait_for(reached, seconds * SLOWNESS, what)

    def errors(self):
        return self.err_path.read_text(errors="replace")

    def alive(self):
        return self.process.poll() is None

    def wait(self, seconds=60):
        try:
            status = self.process.wait(seconds * SLOWNESS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise AssertionError(f"weir did not end within {seconds} s:\n{self.errors()[-8000:]}")
        out = self.out_path.read_text(errors="replace") if self.out_path else ""
        result = Result(status, out, self.errors())
        assert not REPORTS.search(result.text), result
        return result

    def stop(self, seconds=60):
        self.process.terminate()
        return self.wait(seconds)


class Weir:
    def __init__(self, folder):
        self.folder = Path(folder)
        self.state = self.folder / "state"
        self.started = []
        self.env = {k: v for k, v in os.environ.items() if not k.startswith("AWS_")}
        # No look-ups outside this machine, whoever's computer this is.
        self.env.update(WEIR_STATE=str(self.state), AWS_EC2_METADATA_DISABLED="true",
                        HOME=str(self.folder), WEIR_LOG="info")
        self.env.pop("WEIR_PLUGIN_PATH", None)

    def manifest(self, content, name="pipeline.yaml"):
        path = self.folder / name
        path.write_text(content if isinstance(content, str) else yaml.safe_dump(content, sort_keys=False))
        return path

    def start(self, *args, env=None, stdin=subprocess.DEVNULL, stdout=None, cwd=None, user=None,
              command=(PROGRAM,), **options):
        number = len(self.started)
        err_path = self.folder / f"stderr-{number}"
        out_path = None
        with open(err_path, "wb") as err:
            if stdout is None:
                out_path = self.folder / f"stdout-{number}"
                stdout = open(out_path, "wb")
            process = subprocess.Popen(
                [str(c) for c in command] + [str(a) for a in args], env={**self.env, **(env or {})},
                stdin=stdin, stdout=stdout, stderr=err, cwd=cwd or self.folder, user=user, **options)
            if out_path:
                stdout.close()
        running = Running(process, out_path, err_path, self.state)
        self.started.append(running)
        return running

    def run(self, *args, seconds=60, **options):
        return self.start(*args, **options).wait(seconds)

    def run_pipeline(self, content, *args, seconds=60, **options):
        return self.run("run", self.manifest(content), *args, seconds=seconds, **options)

    def cleanup(self):
        for running in self.started:
            if running.alive():
                running.process.kill()
                running.process.wait()


def pipeline(sources, sinks, transforms=None, **top):
    """A manifest as a dict. A failure ends the run unless its settings say how to restart."""
    settings = {"restart": {"strategy": "none"}, **top.pop("settings", {})}
    document = {"weir": 1, "name": top.pop("name", "test"), **top, "settings": settings, "sources": sources}
    if transforms:
        document["transforms"] = transforms
    document["sinks"] = sinks
    return document


def summary(result):
    """The closing counts of `weir run --json`."""
    return result.json()


def lines_of(folder, pattern="*"):
    """Lines of all finished files below a folder, in the order of their names."""
    found = []
    for path in sorted(p for p in Path(folder).rglob(pattern) if p.is_file()):
        if not path.name.startswith("."):
            found.extend(path.read_bytes().splitlines())
    return found


def framed(data):
    """Records of a file written with `framing: length`; a cut-off last one is left out."""
    records, at = [], 0
    while at + 4 <= len(data):
        size = int.from_bytes(data[at:at + 4], "big")
        if at + 4 + size > len(data):
            break
        records.append(data[at + 4:at + 4 + size])
        at += 4 + size
    return records


def bytes_below(folder):
    """Bytes in all files below a folder, unfinished ones too."""
    total = 0
    for path in Path(folder).rglob("*"):
        try:
            total += path.stat().st_size if path.is_file() else 0
        except OSError:
            pass  # renamed between the listing and the look
    return total


def wait_bytes(folder, size, seconds, running=None):
    def enough():
        if running and not running.alive():
            raise AssertionError(f"weir ended too early:\n{running.errors()[-8000:]}")
        return bytes_below(folder) >= size

    wait_for(enough, seconds * SLOWNESS, f"{size} bytes below {folder}", interval=0.1)


def temporary_folder(prefix):
    return Path(tempfile.mkdtemp(prefix=prefix))
