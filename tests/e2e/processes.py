"""Processes that tests start: found ready by a condition, ended by their own id, never by name."""

import os
import signal
import socket
import subprocess
import time
from pathlib import Path


class Deadline:
    def __init__(self, seconds):
        self.end = time.monotonic() + seconds
        self.seconds = seconds

    def left(self):
        return max(0.0, self.end - time.monotonic())

    def passed(self):
        return time.monotonic() >= self.end


def wait_for(condition, seconds=30, what="condition", interval=0.02):
    """The first true value of condition(). Fails the test after `seconds`."""
    deadline = Deadline(seconds)
    while True:
        value = condition()
        if value:
            return value
        if deadline.passed():
            raise AssertionError(f"{what}: not reached within {seconds} s")
        time.sleep(interval)


def free_ports(count):
    """Ports nobody listens on now. They may be taken a moment later: who uses them checks."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for s in sockets:
            s.bind(("127.0.0.1", 0))
        return [s.getsockname()[1] for s in sockets]
    finally:
        for s in sockets:
            s.close()


def listens(pid, port):
    """Whether the process `pid` itself holds the listening socket of `port`."""
    inodes = set()
    for table in ("tcp", "tcp6"):
        try:
            lines = Path(f"/proc/{pid}/net/{table}").read_text().splitlines()[1:]
        except OSError:
            return False
        for line in lines:
            fields = line.split()
            if fields[3] == "0A" and int(fields[1].rsplit(":", 1)[1], 16) == port:
                inodes.add(fields[9])
    try:
        for fd in os.listdir(f"/proc/{pid}/fd"):
            target = os.readlink(f"/proc/{pid}/fd/{fd}")
            if target.startswith("socket:[") and target[8:-1] in inodes:
                return True
    except OSError:
        pass
    return False


class Server:
    """A child process that listens on ports of this machine."""

    def __init__(self, command, ports, log, ready=None, seconds=60, **options):
        self.log = Path(log)
        self.ports = ports
        with open(self.log, "wb") as out:
            self.process = subprocess.Popen([str(c) for c in command], stdin=subprocess.DEVNULL,
                                            stdout=out, stderr=subprocess.STDOUT, **options)
        try:
            wait_for(lambda: self._up(ready), seconds, f"{command[0]} listens on {ports}")
        except BaseException:
            self.stop()
            raise

    def _up(self, ready):
        if self.process.poll() is not None:
            raise RuntimeError(f"ended with {self.process.returncode}:\n{self.log.read_text()}")
        return all(listens(self.process.pid, p) for p in self.ports) and (not ready or ready())

    def stop(self, seconds=3):
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(seconds)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()


def start_server(command_for, port_count, log, attempts=3, **options):
    """Starts a server on free ports; with others if somebody was faster in taking them."""
    for attempt in range(attempts):
        ports = free_ports(port_count)
        command, more = command_for(ports)
        try:
            return Server(command, ports, log, **{**options, **more})
        except (RuntimeError, AssertionError):
            if attempt + 1 == attempts:
                raise


def cpu_ticks(pid):
    """User and system time of a process, in clock ticks."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return int(fields[11]) + int(fields[12])


def status_kib(pid, field):
    """A figure of /proc/PID/status in KiB, such as VmRSS or VmHWM; 0 when the process is gone."""
    try:
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith(field + ":"):
                return int(line.split()[1])
    except OSError:
        pass
    return 0


def children(pid):
    """Process ids of the children of a process, whichever of its threads started them."""
    found = []
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            found += [int(child) for child in task.read_text().split()]
        except OSError:
            pass  # the thread has ended
    return found


def wait_idle(pid, seconds=60, quiet=0.6):
    """Waits until a process stands still: hardly any CPU time over `quiet` seconds."""
    ticks = os.sysconf("SC_CLK_TCK")
    state = {"since": time.monotonic(), "ticks": cpu_ticks(pid)}

    def still():
        now, spent = time.monotonic(), cpu_ticks(pid)
        if spent - state["ticks"] > max(1, 0.05 * quiet * ticks):
            state["since"], state["ticks"] = now, spent
        return now - state["since"] >= quiet

    wait_for(still, seconds, f"process {pid} stands still", interval=0.05)


def end_all(processes):
    for p in processes:
        if p.poll() is None:
            p.send_signal(signal.SIGKILL)
            p.wait()
