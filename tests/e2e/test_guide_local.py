"""docs/guide/local.md is true: its commands run as they stand there, and print what it says.

The page's fences, in order: `sh` is run by one shell; `text` is what was printed since the `sh`
before it began, with … for anything and lines left out at will. `bash` is passed over: it fetches
the tools that the tests have already. Ports of the page are replaced by free ones.
"""

import os
import random
import re
import socket
import subprocess
from pathlib import Path

import pytest

from processes import wait_for
from weir import PROGRAM, ROOT, SLOWNESS

PAGE = ROOT / "docs" / "guide" / "local.md"
TOOLS = ROOT / "build" / "env" / "venv" / "bin"  # aws, and a python that has boto3


class Shell:
    """A bash that is fed block by block. It does not wait for what a block leaves behind it."""

    def __init__(self, folder):
        self.output = folder / "output"
        self.work = folder / "work"
        self.work.mkdir()
        environment = {k: v for k, v in os.environ.items() if not k.startswith("AWS_")}
        environment.update(PATH=f"{PROGRAM.parent}:{TOOLS}:{environment['PATH']}", HOME=str(folder),
                           WEIR_STATE=str(folder / "state"), PYTHONWARNINGS="ignore", AWS_PAGER="",
                           AWS_EC2_METADATA_DISABLED="true")
        with open(self.output, "wb") as out:
            self.bash = subprocess.Popen(["bash"], stdin=subprocess.PIPE, stdout=out, cwd=self.work,
                                         stderr=subprocess.STDOUT, env=environment, start_new_session=True)
        self.count = 0

    def run(self, block):
        """What it printed, until it had ended; and all that came later, when asked again."""
        self.count += 1
        marker = f"@end-of-block-{self.count}@"
        begin = len(self.text())
        self.bash.stdin.write(f"{block}\nprintf '\\n{marker} %d\\n' $?\n".encode())
        self.bash.stdin.flush()
        try:
            wait_for(lambda: f"\n{marker} " in self.text()[begin:], 60 * SLOWNESS, "it has run")
        except AssertionError:
            raise AssertionError(f"{block}--- does not end; printed:\n{self.since(begin)}") from None
        return begin

    def text(self):
        return self.output.read_text(errors="replace")

    def since(self, begin):
        return re.sub(r"\n@end-of-block-\d+@ \d+\n", "\n", self.text()[begin:])

    def status(self):
        return int(re.findall(rf"^@end-of-block-{self.count}@ (\d+)$", self.text(), re.M)[-1])

    def close(self):
        """Ends what the page has started and not ended: all of it is in the shell's session."""
        self.bash.stdin.write(b"kill $(jobs -p) 2>/dev/null; wait\n")
        self.bash.stdin.close()
        self.bash.wait(60)


def printed(wanted, text):
    """The first of the wanted lines that does not come behind those before it; None if all do."""
    at = 0
    for line in wanted.strip("\n").split("\n"):
        pattern = ".*".join(re.escape(part) for part in line.strip().split("…"))
        found = re.compile(rf"^\s*{pattern}\s*$", re.M).search(text, at)
        if not found:
            return line
        at = found.end()
    return None


def ports_for_later(count):
    """Free ports that no outgoing connection is given: the page takes some of them seconds from now."""
    low = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    found = []
    while len(found) < count:
        port = random.randrange(min(10000, low // 2), low)
        with socket.socket() as trial:
            try:
                trial.bind(("127.0.0.1", port))
            except OSError:
                continue
        if port not in found:
            found.append(port)
    return found


def blocks(page):
    return re.findall(r"^```(sh|text)\n(.*?)^```$", page, re.M | re.S)


@pytest.mark.slow
def test_the_page_about_weir_local_is_true(tmp_path):
    page = PAGE.read_text()
    ports = sorted(set(re.findall(r"127\.0\.0\.1:(\d+)", page)))
    for port, free in zip(ports, ports_for_later(len(ports))):
        page = page.replace(port, str(free))
    shell = Shell(tmp_path)
    begin, checked = 0, 0
    try:
        for kind, body in blocks(page):
            if kind == "sh":
                begin = shell.run(body)
                assert shell.status() == 0, f"{body}\n--- printed:\n{shell.since(begin)}"
            else:  # what runs on behind the block may print a moment later
                try:
                    wait_for(lambda: printed(body, shell.since(begin)) is None, 60, "it is printed")
                except AssertionError:
                    raise AssertionError(f"not printed: {printed(body, shell.since(begin))}\n--- but:\n"
                                         f"{shell.since(begin)}") from None
                checked += 1
        reports = re.findall(r"(?:ERROR: \w+Sanitizer|runtime error:|WARNING: ThreadSanitizer).*", shell.text())
        assert not reports, shell.text()
    finally:
        shell.close()
    assert checked >= 15, "the page shows what its commands print"
