"""Back pressure: a sink that takes nothing stops the source at the memory budget."""

import os
import subprocess
import threading
import time

import pytest

from processes import cpu_ticks, status_kib, wait_for, wait_idle
from weir import OK, SANITIZED, pipeline

BUDGET_MIB = 32
ALLOWANCE_MIB = 16


class Pipe:
    """Standard output of weir, which nobody reads until read_all()."""

    def __init__(self):
        self.read_end, self.write_end = os.pipe()

    def hand_over(self):
        os.close(self.write_end)

    def read_all(self):
        chunks = []
        while chunk := os.read(self.read_end, 1 << 20):
            chunks.append(chunk)
        os.close(self.read_end)
        return b"".join(chunks)


def held_closed(weir, manifest, *args):
    pipe = Pipe()
    running = weir.start("run", weir.manifest(manifest), *args, stdout=pipe.write_end)
    pipe.hand_over()
    wait_for(lambda: status_kib(running.worker(), "VmRSS") > 1000, 20, "it runs")
    wait_idle(running.worker(), 60)
    assert running.alive(), running.errors()
    return running, pipe


def drain(running, pipe, seconds=120):
    got = {}
    reader = threading.Thread(target=lambda: got.update(data=pipe.read_all()))
    reader.start()
    result = running.wait(seconds)
    reader.join(seconds)
    assert result.status == OK, result
    return got["data"]


def test_a_closed_sink_stops_the_source_and_nothing_is_lost(weir):
    count, size = 150_000, 1000
    running, pipe = held_closed(weir, pipeline(
        {"in": {"type": "generator", "shape": "sequence", "count": count, "size": size}},
        {"out": {"type": "stdout", "input": "in"}}, settings={"memory": f"{BUDGET_MIB}MiB"}), "--once")
    if not SANITIZED:
        peak = status_kib(running.worker(), "VmHWM")
        assert peak <= (BUDGET_MIB + ALLOWANCE_MIB) * 1024, f"{peak} KiB"
    data = drain(running, pipe)
    numbers = [int(x) for x in data.splitlines()]
    assert len(numbers) == count and numbers == sorted(set(numbers))


def test_many_sources_share_one_budget(weir):
    count, size = 60_000, 2000
    sources = {f"in{i}": {"type": "generator", "shape": "sequence", "count": count, "size": size,
                          "splits": 4, "parallelism": 2} for i in range(3)}
    running, pipe = held_closed(weir, pipeline(
        sources, {"out": {"type": "stdout", "inputs": list(sources)}},
        settings={"memory": f"{BUDGET_MIB}MiB"}), "--once")
    if not SANITIZED:
        peak = status_kib(running.worker(), "VmHWM")
        assert peak <= (BUDGET_MIB + ALLOWANCE_MIB) * 1024, f"{peak} KiB"
    data = drain(running, pipe)
    numbers = [int(x) for x in data.splitlines()]
    assert len(numbers) == 3 * count


def test_a_pipeline_that_waits_costs_no_time(weir):
    """Back pressure sleeps; it does not spin."""
    running, pipe = held_closed(weir, pipeline(
        {"in": {"type": "generator", "shape": "sequence", "count": 200_000, "size": 500}},
        {"out": {"type": "stdout", "input": "in"}}, settings={"memory": f"{BUDGET_MIB}MiB"}), "--once")
    pids = [running.pid, running.worker()]
    before = sum(map(cpu_ticks, pids))
    time.sleep(2)  # the duration is what is measured, not something waited for
    assert sum(map(cpu_ticks, pids)) - before <= 0.05 * 2 * os.sysconf("SC_CLK_TCK")
    drain(running, pipe)


def test_a_budget_below_the_floors_is_refused(weir):
    result = weir.run("check", weir.manifest(pipeline(
        {"in": {"type": "generator", "count": 1, "parallelism": 64, "splits": 64}},
        {"out": {"type": "blackhole", "input": "in", "parallelism": 64}}, settings={"memory": "1MiB"})))
    assert result.status == 78 and "memory" in result.err, result


@pytest.mark.measure
def test_throughput_does_not_grow_memory(weir):
    """A long run through a fast sink stays far below the budget: nothing piles up."""
    running = weir.start("run", "--once", weir.manifest(pipeline(
        {"in": {"type": "generator", "shape": "sequence", "count": 2_000_000, "size": 1000}},
        {"out": {"type": "blackhole", "input": "in"}})))
    peak = 0
    while running.alive():
        peak = max([peak, *(status_kib(pid, "VmHWM") for pid in running.workers())])
        try:
            running.process.wait(0.02)
        except subprocess.TimeoutExpired:
            pass
    assert running.wait().status == OK
    assert 0 < peak <= 64 * 1024, f"{peak} KiB"
