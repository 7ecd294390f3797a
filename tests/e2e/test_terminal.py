"""What an operator sees and presses: the status line, signals, the time a stop may take."""

import os
import pty
import re
import select
import signal
import subprocess
import time

import pytest

from processes import wait_for
from weir import FAILED, OK, PROGRAM, SLOWNESS, pipeline, wait_bytes

ENDLESS = {"type": "generator", "shape": "sequence", "rate": 2000}


def read_until(terminal, pattern, seconds):
    """Everything the terminal shows until `pattern` is in it."""
    seen, deadline = "", time.monotonic() + seconds * SLOWNESS
    while not re.search(pattern, seen):
        left = deadline - time.monotonic()
        assert left > 0, f"no {pattern!r} in {seen!r}"
        if select.select([terminal], [], [], left)[0]:
            try:
                seen += os.read(terminal, 65536).decode(errors="replace")
            except OSError:  # the other end is closed
                assert re.search(pattern, seen), f"no {pattern!r} in {seen!r}"
                break
    return seen


def test_a_status_line_on_a_terminal(weir):
    manifest = weir.manifest(pipeline({"in": ENDLESS}, {"out": {"type": "blackhole", "input": "in"}},
                                      name="on-a-terminal"))
    terminal, theirs = pty.openpty()
    process = subprocess.Popen([str(PROGRAM), "run", str(manifest)], cwd=weir.folder, env=weir.env,
                               stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=theirs)
    os.close(theirs)
    try:
        # Redrawn in place, and its numbers move.
        first = read_until(terminal, r"\r\x1b\[Kon-a-terminal  [\d,]+ rec/s  [\d.]+ \w?B/s  in ([\d,]+)", 20)
        later = read_until(terminal, r"in [\d,]+.*(\r\x1b\[K.*in [\d,]+.*){3}", 20)
        counts = [int(n.replace(",", "")) for n in re.findall(r"  in ([\d,]+)", first + later)]
        assert counts == sorted(counts) and counts[-1] > counts[0], counts
        process.send_signal(signal.SIGINT)
        end = read_until(terminal, r"done after [\d.]+ s: [\d,]+ records in, [\d,]+ out", 20)
        assert "\n" in end
        assert process.wait(20 * SLOWNESS) == OK
    finally:
        process.kill()
        process.wait()
        os.close(terminal)


@pytest.mark.parametrize("sink, drawn", [("stdout", False), ("blackhole", True)])
def test_no_status_line_among_the_records(weir, sink, drawn):
    """Where records go to the same terminal, no line is drawn into them."""
    manifest = weir.manifest(pipeline({"in": ENDLESS}, {"out": {"type": sink, "input": "in"}}, name="shared"))
    terminal, theirs = pty.openpty()
    process = subprocess.Popen([str(PROGRAM), "run", "--for", "1500ms", str(manifest)], cwd=weir.folder,
                               env=weir.env, stdin=subprocess.DEVNULL, stdout=theirs, stderr=theirs)
    os.close(theirs)
    try:
        seen = read_until(terminal, r"done after", 30)
        assert process.wait(20 * SLOWNESS) == OK
        assert ("\x1b[K" in seen) == drawn, seen[-2000:]
    finally:
        process.kill()
        process.wait()
        os.close(terminal)


def test_no_status_line_elsewhere(weir):
    result = weir.run_pipeline(pipeline({"in": ENDLESS}, {"out": {"type": "blackhole", "input": "in"}}),
                               "--for", "1s")
    assert result.status == OK and "\x1b" not in result.text and "\r" not in result.text, result


# A process that leaves at once leaves its threads: no finding of ThreadSanitizer's.
LEAVES_THREADS = {"TSAN_OPTIONS": os.environ["TSAN_OPTIONS"] + ":report_thread_leaks=0"} \
    if "TSAN_OPTIONS" in os.environ else {}


def held_up(weir, **settings):
    """A run whose sink can never finish: standard output is a pipe that nobody reads."""
    read_end, write_end = os.pipe()
    running = weir.start("run", weir.manifest(pipeline(
        {"in": {"type": "generator", "shape": "sequence", "size": 1000}},
        {"out": {"type": "stdout", "input": "in"}}, settings=settings)), stdout=write_end, env=LEAVES_THREADS)
    os.close(write_end)
    wait_for(lambda: select.select([read_end], [], [], 0)[0], 20, "the pipe holds something")
    return running, read_end


def test_a_second_signal_leaves_at_once(weir):
    running, read_end = held_up(weir)
    running.process.terminate()
    begin = time.monotonic()
    running.process.terminate()
    wait_for(lambda: not running.alive() or running.process.terminate(), 20, "it leaves")
    result = running.wait(10)
    os.close(read_end)
    assert result.status == FAILED and "second signal" in result.err, result
    assert time.monotonic() - begin < 30 * SLOWNESS  # and not after stop_timeout's minute


def test_a_drain_that_cannot_end_gives_up_after_stop_timeout(weir):
    running, read_end = held_up(weir, stop_timeout="1s")
    result = running.stop(30)
    os.close(read_end)
    assert result.status == FAILED, result
    assert "stop_timeout" in result.err and "not acknowledged" in result.err, result


def test_an_interrupt_drains_what_was_read(weir):
    running = weir.start("run", weir.manifest(pipeline(
        {"in": ENDLESS}, {"out": {"type": "file", "path": "out.txt", "input": "in"}})))
    wait_bytes(weir.folder, 2000, 20, running)
    running.process.send_signal(signal.SIGINT)
    result = running.wait(30)
    numbers = [int(x) for x in (weir.folder / "out.txt").read_text().split()]
    assert result.status == OK and numbers == list(range(len(numbers))), result
