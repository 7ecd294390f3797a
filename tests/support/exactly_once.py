"""Pipelines that are killed at random moments, and what must be in their files afterwards."""

import collections
import json
import os
import re
import signal
import time
from pathlib import Path

from processes import wait_for

# A file's name: the series of one task, in which numbers are in writing order.
NUMBERED = re.compile(r"(?P<series>.*)-(?P<number>\d{6})(?P<rest>\.[a-z]+)?$")


class Killer:
    """Ends processes of a running weir by SIGKILL, at moments that `rng` chooses.

    Four kinds of moments: any time after the start (restore), once records flow, while a checkpoint is
    written, and right behind its becoming durable (commits). All but the first are waited for, so that
    the run gets somewhere. `checkpoints` is the folder that holds them.
    """

    KINDS = ["young", "running", "writing", "durable"]

    def __init__(self, rng, checkpoints, longest=0.3):
        self.rng, self.checkpoints, self.longest = rng, Path(checkpoints), longest
        self.kills = 0
        self.moments = collections.Counter()

    def moment(self, running, kinds=KINDS):
        """Waits for a moment to kill in; the worker's process id."""
        pid = running.worker()
        kind = self.rng.choice(kinds)
        self.moments[kind] += 1
        if kind == "young":
            time.sleep(self.rng.uniform(0, self.longest))
        elif kind == "running":
            running.wait_status(lambda s: s.get("state") == "running", "it runs", 120)
            time.sleep(self.rng.uniform(0, self.longest))
        else:
            self.next_checkpoint(running, self.rng.randrange(1, 4), kind == "writing")
            time.sleep(self.rng.choice([0, 0, self.rng.uniform(0, 0.004), self.rng.uniform(0, self.longest)]))
        # A worker that failed meanwhile has been replaced; the test says whether it may.
        return pid if pid in running.workers() else running.worker()

    def next_checkpoint(self, running, count, writing):
        """Waits for `count` more checkpoints, some of which may be a restart's: until the last one is
        durable, or being written, if that is to be seen."""
        first = self.newest(".weir")

        def there():
            assert running.alive(), running.errors()[-8000:]
            done = self.newest(".weir")
            return done >= first + count or \
                (writing and done + 1 >= first + count and self.newest(".weir.tmp") > done)

        wait_for(there, 120, f"checkpoint {first + count}", interval=0.0002)

    def newest(self, suffix):
        found = (p.name for p in self.checkpoints.rglob(f"*{suffix}"))
        return max((int(name.split(".")[0]) for name in found), default=0)

    def worker(self, running, anytime=False):
        """One kill of the worker, which is reaped when this returns. `anytime`: no progress is
        waited for, because something else prevents it."""
        pid = self.moment(running, ["young"] if anytime else self.KINDS)
        os.kill(pid, signal.SIGKILL)
        self.kills += 1
        wait_for(lambda: pid not in running.workers(), 60, f"the supervisor reaps worker {pid}")

    def everything(self, running):
        """Supervisor and worker at once, as when the machine goes; neither is left."""
        pids = [self.moment(running), running.pid]
        self.rng.shuffle(pids)
        for pid in pids:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass  # the worker dies with its supervisor
        self.kills += 1
        running.process.wait(60)
        wait_for(lambda: all(gone(pid) for pid in pids), 60, "both are gone")


def gone(pid):
    """Whether a process has ended, reaped or not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] in "ZX"
    except OSError:
        return True


def caught_up(status, last):
    """Whether each shard was read up to its last record (`last`: shard -> sequence number)."""
    if status.get("state") != "running":
        return False
    splits = {s["split"]: s for s in status.get("splits", [])}
    for shard, sequence in last.items():
        found = [s for name, s in splits.items() if name.endswith(shard)]
        if not found:
            return False
        position = found[0]["position"].split(":")[0]
        if found[0]["state"] != "finished" and \
                not (position.isdigit() and int(position) >= sequence):
            return False
    return True


def finish(running, feed, seconds=180):
    """Waits until everything that was fed is read, and ends the run as an operator does."""
    status = running.wait_status(lambda s: caught_up(s, feed.last), "every shard is read", seconds)
    result = running.stop(seconds)
    assert result.status == 0, result
    assert status["lost"] == 0, status
    return status


def files_of(folder):
    """Visible files below a folder: series -> paths in writing order. Nothing may be unfinished."""
    series = collections.defaultdict(list)
    for path in sorted(p for p in Path(folder).rglob("*") if p.is_file()):
        name = path.name
        if name.startswith("."):
            # The journal says which folders records made; it is no output.
            assert name.endswith(".folders"), f"{path} was left behind"
            continue
        parts = NUMBERED.match(name)
        assert parts, f"{path} has no number, although its sink rolls"
        series[str(path.parent / parts["series"])].append((int(parts["number"]), path))
    return {name: [path for _, path in sorted(paths)] for name, paths in series.items()}


def number_of(line):
    """Which record a line is; cut-off JSON has its number in front."""
    return int(re.match(rb'\{"n": ?(\d+)', line)[1])


def key_of(line):
    return re.search(rb'"k": ?"([^"]+)"', line)[1].decode()


class Delivered:
    """Every record found in a folder, with the place it was found in."""

    def __init__(self, folder, take=lambda line: line):
        self.places = collections.defaultdict(list)  # number -> where
        # (series or file, key) -> numbers in writing order
        self.order = {"task": collections.defaultdict(list), "file": collections.defaultdict(list)}
        self.files = 0
        for series, paths in files_of(folder).items():
            for path in paths:
                self.files += 1
                for at, line in enumerate(path.read_bytes().splitlines(), 1):
                    text = take(line)
                    number = number_of(text)
                    self.places[number].append(f"{path.relative_to(folder)}:{at}")
                    self.order["task"][series, key_of(text)].append(number)
                    self.order["file"][path, key_of(text)].append(number)

    def check(self, feed, expected=None, shards=(), order="task"):
        """Each expected record (default: all) once, none else, and each key in its order within
        the files of one task, within each file, or (None) nowhere."""
        expected = set(feed.shard_of) if expected is None else expected
        twice = {n: p for n, p in self.places.items() if len(p) > 1}
        assert not twice, f"{len(twice)} records came again: {some(twice)}"
        missing = {n: feed.shard_of[n] for n in sorted(expected - set(self.places))}
        assert not missing, f"{len(missing)} of {len(expected)} records are missing: {some(missing)}"
        strange = set(self.places) - expected
        assert not strange, f"{len(strange)} records were never sent: {some(strange)}"
        for (series, key), numbers in self.order.get(order, {}).items():
            place = {n: at for at, n in enumerate(feed.keys[key])}
            for before, after in zip(numbers, numbers[1:]):
                assert place[before] < place[after], (
                    f"{key} is out of order in {series}: {before} ({feed.shard_of[before]}, "
                    f"{self.places[before]}) before {after} ({feed.shard_of[after]}, "
                    f"{self.places[after]}); shards: {families(shards)}")


def some(found):
    items = list(found.items())[:6] if isinstance(found, dict) else sorted(found)[:6]
    return ", ".join(map(str, items))


def families(shards):
    return {s["ShardId"][-3:]: [s[p][-3:] for p in ("ParentShardId", "AdjacentParentShardId") if s.get(p)]
            for s in shards}


def value_of_dead_letter(line):
    """The record within a dead letter that was written as an object."""
    return json.loads(line)["value"].encode()
