"""What the release build promises of its binaries, read with binutils."""

import re
import subprocess

import pytest

from weir import PLUGINS, PROGRAM, SANITIZED

pytestmark = pytest.mark.skipif(SANITIZED, reason="sanitizers replace what hardening adds")

BINARIES = [PROGRAM] + sorted(PLUGINS.glob("*.so"))


def readelf(*args):
    return subprocess.run(["readelf", "-W", *map(str, args)], check=True, stdout=subprocess.PIPE).stdout.decode()


@pytest.mark.parametrize("path", BINARIES, ids=lambda p: p.name)
def test_addresses_are_random_and_tables_read_only(path):
    assert re.search(r"Type:\s+DYN", readelf("-h", path))
    segments = readelf("-l", path)
    assert "GNU_RELRO" in segments
    stack = re.search(r"GNU_STACK.*", segments).group(0)
    assert " RW " in stack and "RWE" not in stack
    dynamic = readelf("-d", path)
    assert re.search(r"BIND_NOW|\bNOW\b", dynamic)
    assert "TEXTREL" not in dynamic and "RPATH" not in dynamic and "RUNPATH" not in dynamic


@pytest.mark.parametrize("path", BINARIES, ids=lambda p: p.name)
def test_buffers_are_guarded(path):
    symbols = readelf("--dyn-syms", path)
    assert "__stack_chk_fail" in symbols
    if path == PROGRAM:
        assert re.search(r"__(mem\w+|v?snprintf|v?fprintf|read|str\w+)_chk", symbols), "fortified calls"


@pytest.mark.parametrize("path", BINARIES[1:], ids=lambda p: p.name)
def test_a_plugin_exports_one_symbol_and_stays_loaded(path):
    exported = [line.split()[7].split("@")[0] for line in readelf("--dyn-syms", path).splitlines()
                if re.search(r"\b(FUNC|OBJECT|NOTYPE)\b", line) and " UND " not in line and " ABS " not in line
                and len(line.split()) > 7 and line.split()[4] == "GLOBAL"]
    assert exported == ["weir_plugin_entry_1"], exported
    assert "NODELETE" in readelf("-d", path)


def test_the_program_exports_nothing_to_plugins():
    defined = [line for line in readelf("--dyn-syms", PROGRAM).splitlines()
               if re.search(r"\bFUNC\s+GLOBAL\b", line) and " UND " not in line]
    assert defined == []
