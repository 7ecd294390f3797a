"""The proof with real processes: killed at random moments, each record is in the files exactly once.

boto3 feeds weir-local, or kinesis-local, at a steady rate while its shards split and merge; weir
reads it and writes files; a seeded killer ends the worker, or everything, at moments of its own
choice. In the end every record is there once, in the order of its partition key, and nothing
unfinished is left.

A sample of each runs in scripts/test; `chaos` marks the long ones, which scripts/soak repeats with
other seeds. WEIR_CHAOS_SEED chooses the seed, WEIR_CHAOS_SECONDS how long a long one goes on.
"""

import collections
import errno
import json
import os
import random
import sys
import time
from pathlib import Path

import boto3
import pytest
from botocore.config import Config

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "support"))

from exactly_once import Delivered, Killer, caught_up, finish, value_of_dead_letter  # noqa: E402
from kinesis_endpoints import NAMES, KinesisLocal, WeirLocal  # noqa: E402
from kinesis_load import Resharder, SteadyFeed  # noqa: E402
from processes import Deadline, wait_for  # noqa: E402
from tcp_proxy import TcpProxy  # noqa: E402
from test_bad_input import mount_scope  # noqa: E402
from weir import OK, PROGRAM, pipeline  # noqa: E402

KEYS = {"AWS_ACCESS_KEY_ID": "local", "AWS_SECRET_ACCESS_KEY": "local-secret"}
SEED = int(os.environ.get("WEIR_CHAOS_SEED", "0"))
SECONDS = float(os.environ.get("WEIR_CHAOS_SECONDS", "60"))

SAMPLE_AND_LONG = pytest.mark.parametrize("long", [
    pytest.param(False, marks=pytest.mark.slow, id="sample"),
    pytest.param(True, marks=[pytest.mark.chaos, pytest.mark.timeout(SECONDS + 900)], id="long")])


def rounds(long, sample):
    """0, 1, 2, ...: as many as a sample takes, or until a long trial's time is over."""
    number, end = 0, time.monotonic() + SECONDS
    while time.monotonic() < end if long else number < sample:
        yield number
        number += 1


@pytest.fixture(params=NAMES)
def emulator(request, tmp_path):
    """One of its own for each test: kinesis-local slows as it holds more."""
    folder = tmp_path / "emulator"
    folder.mkdir()
    endpoint = {"weir-local": WeirLocal, "kinesis-local": KinesisLocal}[request.param](folder)
    yield endpoint
    endpoint.stop()


def put_once_client(endpoint):
    """A call that is repeated by itself could put a record twice."""
    return boto3.client("kinesis", endpoint_url=endpoint, region_name="us-east-1",
                        aws_access_key_id="local", aws_secret_access_key="local-secret",
                        config=Config(retries={"total_max_attempts": 1}, read_timeout=120))


class Scene:
    """A stream that is fed, the pipeline that reads it, and who kills it."""

    def __init__(self, weir, emulator, name, shards=3, **feed):
        seed = f"{name}-{SEED}"  # each test its own, all of them from one number
        self.began = time.monotonic()
        self.name, self.weir, self.emulator = name, weir, emulator
        self.rng = random.Random(seed)
        self.killer = Killer(random.Random(f"{seed}-kills"), weir.state / "test" / "checkpoints")
        self.stream = emulator.create_stream(shards)
        self.feed = SteadyFeed(put_once_client(emulator.endpoint), self.stream, **feed)
        self.resharder = Resharder(emulator.client, self.stream, random.Random(f"{seed}-shards"))
        print(f"\n{name}: WEIR_CHAOS_SEED={SEED}")

    def source(self, **more):
        return {"type": "kinesis", "stream": self.stream, "region": "us-east-1", "start": "trim_horizon",
                "endpoint": self.emulator.endpoint, "interval": "200ms", "empty_interval": "200ms",
                "discovery_interval": "1s", "retry": {"base": "20ms", "max": "200ms"}, "parallelism": 2,
                **more}

    def sink(self, folder="out", **more):
        return {"type": "file", "path": f"{folder}/${{key}}/part.jsonl", "input": "in", "parallelism": 1,
                "roll": {"size": "1KiB", "age": "80ms"}, "retry": {"base": "20ms", "max": "200ms"}, **more}

    def manifest(self, source=None, sinks=None, **settings):
        return self.weir.manifest(pipeline(
            {"in": source or self.source()}, sinks or {"out": self.sink()}, settings={
                "delivery": "exactly_once", "restart": {"strategy": "fixed_delay", "delay": "50ms"}, **settings,
                "checkpoint": {"interval": "200ms", "min_pause": "0s", **settings.get("checkpoint", {})}}))

    def start(self, manifest, **options):
        return self.weir.start("run", manifest, env=KEYS, **options)

    def reshard(self):
        # kinesis-local counts the shards that are closed, too.
        if len(self.resharder.done) < 24:
            self.resharder.change()

    def finish(self, running):
        self.feed.stop()
        status = finish(running, self.feed)
        for run in self.weir.started:  # SIGKILL is the only way in which a worker may have ended
            for word in ("SIGSEGV", "SIGABRT", "SIGBUS", "SIGILL", "SIGFPE"):
                assert word not in run.errors(), run.errors()[-8000:]
        return status

    def check(self, folder=None, **more):
        delivered = Delivered(folder or self.weir.folder / "out")
        delivered.check(self.feed, shards=self.resharder.shards(), **more)
        return delivered

    def tell(self, status, delivered, more=""):
        shards = self.resharder.shards()
        print(f"{self.name}: {self.feed.count} records, {len(shards)} shards "
              f"({', '.join(self.resharder.done) or 'as created'}), {self.killer.kills} kills "
              f"{dict(self.killer.moments)}, epoch {max(status['completed_epoch'], status['restored_epoch'])}, "
              f"{delivered.files} files, {time.monotonic() - self.began:.1f} s {more}")


@SAMPLE_AND_LONG
@pytest.mark.timeout(600)
def test_the_worker_is_killed_while_shards_split_and_merge(weir, emulator, long):
    scene = Scene(weir, emulator, "worker")
    running = scene.start(scene.manifest())
    scene.feed.start()
    for number in rounds(long, 50):
        scene.killer.worker(running)
        if number % 6 == 2:
            scene.reshard()
    status = scene.finish(running)
    assert status["restarts"] == scene.killer.kills, "nothing but the kills ended a worker"
    delivered = scene.check()
    scene.tell(status, delivered)


@SAMPLE_AND_LONG
@pytest.mark.timeout(600)
def test_supervisor_and_worker_are_killed_together(weir, emulator, long):
    scene = Scene(weir, emulator, "everything", per_second=300)
    manifest = scene.manifest()
    running = scene.start(manifest)
    scene.feed.start()
    for number in rounds(long, 8):
        scene.killer.everything(running)
        if number % 3 == 1:
            scene.reshard()
        running = scene.start(manifest)
    status = scene.finish(running)
    assert status["restarts"] == 0, running.errors()
    scene.tell(status, scene.check())


@SAMPLE_AND_LONG
@pytest.mark.timeout(600)
def test_dead_letters_come_once_too(weir, emulator, long):
    scene = Scene(weir, emulator, "dead letters", per_second=300, bad_every=7)
    running = scene.start(scene.manifest(
        source=scene.source(format={"type": "json", "pass_through": "never"}, on_error={"dead_letter": "bad"}),
        sinks={"out": scene.sink(path="out/${.k}/part.jsonl", format="json"),
               "bad": {"type": "file", "path": "bad/part.jsonl", "format": "json",
                       "roll": {"size": "1KiB", "age": "80ms"}}}))
    scene.feed.start()
    for number in rounds(long, 10):
        scene.killer.worker(running)
        if number % 5 == 2:
            scene.reshard()
    status = scene.finish(running)
    assert status["restarts"] == scene.killer.kills, running.errors()
    bad = scene.feed.bad & set(scene.feed.shard_of)
    delivered = scene.check(expected=set(scene.feed.shard_of) - bad)
    letters = Delivered(weir.folder / "bad", value_of_dead_letter)
    letters.check(scene.feed, expected=bad, order=None)  # their order is not promised
    scene.tell(status, delivered, f"{len(bad)} dead letters")


@SAMPLE_AND_LONG
@pytest.mark.timeout(600)
def test_parallelism_changes_between_runs(weir, emulator, long):
    """1, 3, 2: after a stop first, then after a kill, which leaves pending files to other tasks."""
    scene = Scene(weir, emulator, "parallelism", shards=4, per_second=300)
    tasks, seen = 1, []
    running = scene.start(scene.manifest(scene.source(parallelism=1), {"out": scene.sink(parallelism=1)}))
    scene.feed.start()
    for number in rounds(long, 2):
        seen.append(tasks)
        for _ in range(2):
            scene.killer.worker(running)
        scene.reshard()
        if number % 2 == 0:
            running.wait_status(lambda s: s.get("state") == "running", "it runs", 120)
            result = running.stop(120)
            assert result.status == OK, result
        else:
            scene.killer.everything(running)
        tasks = [1, 3, 2][len(seen)] if len(seen) < 3 else scene.rng.randrange(1, 5)
        running = scene.start(scene.manifest(scene.source(parallelism=tasks),
                                             {"out": scene.sink(parallelism=tasks)}))
    for _ in range(2):
        scene.killer.worker(running)
    status = scene.finish(running)
    # Open files of tasks that are no more go to others, which complete them among their own.
    scene.tell(status, scene.check(order="file"), f"parallelism {seen + [tasks]}")


def test_a_child_is_not_read_ahead_of_its_parent(weir, emulator):
    """The sink stands still with the parent's records in its channel; another task reads the child."""
    emulator.without_limits()  # of five calls a second
    scene = Scene(weir, emulator, "order", shards=1)

    def put(numbers):
        for number in numbers:
            emulator.client.put_record(StreamName=scene.stream, PartitionKey="key-00",
                                       Data=json.dumps({"n": number, "pad": "x" * 900}).encode())

    put(range(150))
    assert scene.resharder.change()
    emulator.wait_active(scene.stream)
    put(range(150, 200))
    read_end, write_end = os.pipe()
    with os.fdopen(read_end, "rb") as lines:
        running = weir.start("run", weir.manifest(pipeline(
            {"in": scene.source(interval="1ms", records_per_call=10)},
            # One call holds no more than the pipe does, so that the rest has to wait in the channel.
            {"out": {"type": "stdout", "input": "in", "parallelism": 1, "batch": {"buffered": 20}}})),
            env=KEYS, stdout=write_end)
        os.close(write_end)
        running.wait_status(lambda s: any(x["state"] == "finished" for x in s.get("splits", [])),
                            "the parent is read to its end")
        deadline = Deadline(1)  # for the child to come too early; where it waits, nothing is to be seen

        def child_is_read():
            return deadline.passed() or any(x["state"] != "finished" and x["records"] > 0
                                            for x in running.status()["splits"])

        wait_for(child_is_read, 60, "a second has passed")
        numbers = [json.loads(lines.readline())["n"] for _ in range(200)]
    assert running.stop().status == OK
    assert numbers == list(range(200))


# ---- the world around it fails as well ----


@SAMPLE_AND_LONG
@pytest.mark.timeout(600)
def test_the_endpoint_is_cut_in_between(weir, emulator, long):
    scene = Scene(weir, emulator, "endpoint", per_second=300)
    outages = collections.Counter()
    with TcpProxy(emulator.plain_port) as proxy:
        running = scene.start(scene.manifest(source=scene.source(
            endpoint=proxy.endpoint, retry={"base": "20ms", "max": "200ms", "timeout": "2s"})))
        scene.feed.start()
        running.wait_status(lambda s: s.get("completed_epoch", 0) > 2, "it runs")
        for number in rounds(long, 6):
            kind = ["cut", "within", "silence"][number % 3] if number < 3 else \
                scene.rng.choice(["cut", "within", "silence"])
            outages[kind] += 1
            if kind == "within":
                proxy.cut_within(scene.rng.randrange(1, 5000))
                wait_for(lambda: proxy.cut_after is None, 60, "an answer breaks off")
            elif kind == "silence":
                proxy.silence()
            else:
                refused = proxy.refused
                proxy.cut()
                wait_for(lambda: proxy.refused > refused, 60, "somebody comes and is refused")
            for _ in range(scene.rng.randrange(1, 3)):
                scene.killer.worker(running, anytime=True)
            if kind != "within":
                time.sleep(scene.rng.uniform(0, 0.5))  # the length of the outage is part of the experiment
            if number % 3 == 1:
                scene.reshard()
            proxy.restore()
            reached = dict(scene.feed.last)
            running.wait_status(lambda s: caught_up(s, reached), "it goes on behind the outage", 120)
            scene.killer.worker(running)
        status = scene.finish(running)
        scene.tell(status, scene.check(), f"outages {dict(outages)}, {proxy.refused} refused")


class SmallDisk:
    """A file system of a few MiB in a mount name space of its own: for the program, and from
    outside for the test, as long as it holds this."""

    SIZE = 48 << 20

    def __init__(self, where):
        self.where = where
        where.mkdir()
        # exec: the program itself is the child that the test started.
        self.command = [*mount_scope(), "sh", "-c",
                        'mount -t tmpfs -o size="$1" none "$2" || exit 99; shift 2; exec "$@"', "sh",
                        str(self.SIZE), where, PROGRAM]
        self.handle = None
        self.filler = None

    def enter(self, running):
        """Needed once the program runs; it outlives the program and its name space."""
        running.wait_status(lambda s: s.get("state") == "running", "it runs")
        self.handle = os.open(f"/proc/{running.pid}/root{self.where}", os.O_RDONLY | os.O_DIRECTORY)
        self.path = Path(f"/proc/self/fd/{self.handle}")
        size = os.fstatvfs(self.handle)
        assert size.f_blocks * size.f_frsize == self.SIZE, "no other file system is ever filled"

    def fill(self):
        """Takes what room there is, again and again: what the program removes is taken as well."""
        if self.filler is None:
            self.filler = open(self.path / "filler", "wb", buffering=0)
        try:
            while self.filler.tell() <= self.SIZE:
                self.filler.write(bytes(1 << 16))
        except OSError as cause:
            assert cause.errno == errno.ENOSPC, cause

    def empty(self):
        os.unlink(self.path / "filler")
        self.filler.close()
        self.filler = None

    def leave(self):
        if self.filler:
            self.filler.close()
        if self.handle is not None:
            os.close(self.handle)


@SAMPLE_AND_LONG
@pytest.mark.timeout(600)
def test_the_disk_is_full_in_between(weir, emulator, long):
    """Output and checkpoints alike: either fails first, whichever finds no room."""
    disk = SmallDisk(weir.folder / "disk")
    scene = Scene(weir, emulator, "disk", per_second=300)
    try:
        running = scene.start(scene.manifest(
            sinks={"out": scene.sink(f"{disk.where}/out")},
            # The first failures in a row are borne, the next one restarts the pipeline.
            checkpoint={"store": f"file://{disk.where}/checkpoints", "tolerable_failures": 2}), command=disk.command)
        disk.enter(running)
        scene.killer.checkpoints = disk.path / "checkpoints"
        scene.feed.start()
        reached = running.wait_status(lambda s: s.get("completed_epoch", 0) > 2, "it runs")
        times = 0
        for number in rounds(long, 4):
            said = running.errors().count("o space left")

            def no_room():
                disk.fill()
                return running.errors().count("o space left") > said

            wait_for(no_room, 60, "somebody finds no room")
            for _ in range(scene.rng.randrange(3)):
                scene.killer.worker(running, anytime=True)
                disk.fill()
            disk.empty()
            times += 1
            before = reached["completed_epoch"]
            reached = running.wait_status(lambda s: s.get("completed_epoch", 0) > before + 1,
                                          "it goes on when there is room", 120)
            scene.killer.worker(running)
            if number % 2 == 1:
                scene.reshard()
        status = scene.finish(running)
        scene.tell(status, scene.check(disk.path / "out"),
                   f"full {times} times, {status['restarts'] - scene.killer.kills} restarts of its own")
    finally:
        disk.leave()
