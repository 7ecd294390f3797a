"""Runs the stages of scripts/test and sums up what they found.

A stage builds what it needs and yields results: test cases from the JUnit files that ctest and
pytest write, or single checks. A stage that fails does not stop the ones behind it. Standard
library only: this runs with the system's Python.
"""

import argparse
import concurrent.futures
import hashlib
import json
import os
import platform
import re
import shutil
import signal
import subprocess
import sys
import time
import xml.etree.ElementTree as ElementTree
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BUILD = ROOT / "build"
RESULTS = BUILD / "results"
PYTHON = BUILD / "env" / "venv" / "bin" / "python"
STAGES = ["unit", "e2e", "docs", "format", "asan", "tsan", "clang", "tidy"]
FROZEN = ROOT / "tests" / "abi"  # headers of released versions stay as they were
SOURCE_FOLDERS = ["core", "sdk", "plugins", "bench", "tests"]

# The end-to-end tests that a sanitizer build leaves out: those that measure memory and those whose
# length comes from an emulator, not from weir.
NOT_UNDER_ASAN = "not slow and not chaos and not measure"
NOT_UNDER_TSAN = NOT_UNDER_ASAN + " and not cli and not endpoint"


class Results:
    def __init__(self):
        self.passed = []
        self.failed = []
        self.skipped = []

    def add(self, name, ok, text=""):
        (self.passed if ok else self.failed).append(name)
        print(("PASS " if ok else "FAIL ") + name, flush=True)
        if not ok and text:
            print(text.rstrip(), flush=True)

    def add_junit(self, path, prefix):
        """Test cases of one JUnit file; False if there is no such file."""
        if not path.exists():
            return False
        for case in ElementTree.parse(path).iter("testcase"):
            name = f"{prefix}: {case.get('name')}"
            if case.find("failure") is not None or case.find("error") is not None or \
                    case.get("status") == "fail":
                self.failed.append(name)
            elif case.find("skipped") is not None or case.get("status") == "notrun":
                self.skipped.append(name)
            else:
                self.passed.append(name)
        return True


def say(text):
    print(f"== {text}", flush=True)


def run(command, env=None, timeout=3600, **options):
    """Runs a command in its own session, so that a time limit ends its children too."""
    child = subprocess.Popen([str(c) for c in command], cwd=ROOT, env={**os.environ, **(env or {})},
                             start_new_session=True, **options)
    try:
        out, _ = child.communicate(timeout=timeout)
    except BaseException as cause:
        os.killpg(child.pid, signal.SIGKILL)
        child.communicate()
        if isinstance(cause, subprocess.TimeoutExpired):
            print(f"time limit of {timeout} s: {' '.join(map(str, command))}", flush=True)
            return subprocess.CompletedProcess(command, 124, b"time limit")
        raise
    return subprocess.CompletedProcess(command, child.returncode, out)


def sanitizer_environment(preset):
    # gcc 12's runtimes guess the size of a plugin's thread-local block from the 16 bytes in front of
    # it when it lies 16 bytes behind the start of a page, where some older C library kept a header.
    # With glibc 2.36 those bytes are anything, and now and then the leak check dies reading where
    # they point. The other blocks are never tracked, so nothing is lost without the guess.
    no_guess = "intercept_tls_get_addr=0"
    return {
        "asan": {
            "ASAN_OPTIONS": "detect_leaks=1:strict_string_checks=1:"
                            f"detect_stack_use_after_return=1:{no_guess}",
            "UBSAN_OPTIONS": "print_stacktrace=1",
        },
        "tsan": {"TSAN_OPTIONS": f"halt_on_error=0:second_deadlock_stack=1:{no_guess}"},
    }.get(preset, {})


def without_aslr(preset):
    """ThreadSanitizer of gcc 12 cannot live with the address randomisation of newer kernels."""
    if preset == "tsan" and shutil.which("setarch"):
        return ["setarch", platform.machine(), "-R"]
    return []


def build(results, preset):
    started = time.monotonic()
    say(f"building {preset}")
    ok = run(["scripts/build", preset]).returncode == 0
    results.add(f"build/{preset} without warnings ({time.monotonic() - started:.0f} s)", ok)
    return ok


def unit_tests(results, preset, names):
    say(f"unit tests, {preset}")
    junit = RESULTS / f"ctest-{preset}.xml"
    junit.unlink(missing_ok=True)
    command = without_aslr(preset) + [
        "ctest", "--test-dir", BUILD / preset, "--output-on-failure", "-j", str(os.cpu_count()),
        "--output-junit", junit, "--timeout", "300"]
    if names:
        command += ["-R", "|".join(names), "--no-tests=ignore"]
    status = run(command, env=sanitizer_environment(preset)).returncode
    counted = results.add_junit(junit, preset)
    if status != 0 and not (counted and results.failed):
        results.add(f"unit tests of {preset} ran", False)


def e2e_tests(results, preset, names, marks):
    say(f"end-to-end tests, {preset}" + (f" ({marks})" if marks else ""))
    junit = RESULTS / f"pytest-{preset}.xml"
    junit.unlink(missing_ok=True)
    command = without_aslr(preset) + [
        PYTHON, "-m", "pytest", "tests/e2e", f"--junitxml={junit}", "-q", "--durations=8",
        # Most tests wait for programs to start and answer: one process more than there are cores.
        "-n", str((os.cpu_count() or 1) + 1), "--dist", "loadfile"]
    if names:
        command += ["-k", " or ".join(names)]
    if marks:
        command += ["-m", marks]
    env = {"WEIR_BUILD": str(BUILD / preset), **sanitizer_environment(preset)}
    status = run(command, env=env).returncode
    before = len(results.failed)
    counted = results.add_junit(junit, f"{preset} e2e")
    none_chosen = status == 5 and names  # pytest's status for "no test matches"
    if status != 0 and not none_chosen and not (counted and len(results.failed) > before):
        results.add(f"end-to-end tests of {preset} ran", False)


# ---- stages ----


def stage_docs(results, pages_compared):
    """Pages made from the plugins' own description are those in the tree; links lead somewhere."""
    if not pages_compared:  # one of the unit tests
        unit_tests(results, "release", ["^docs/"])
    broken = broken_links()
    results.add("docs: links between pages lead somewhere", not broken, "\n".join(broken))


def broken_links():
    found = []
    pages = [p for p in tracked_files() if p.suffix == ".md"]
    for page in pages:
        text = re.sub(r"```.*?```", "", page.read_text(), flags=re.S)
        for target in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", text):
            if "://" in target or target.startswith("mailto:"):
                continue
            if not (page.parent / target).exists():
                found.append(f"{page.relative_to(ROOT)}: {target} does not exist")
    return found


def tracked_files():
    listing = run(["git", "ls-files", "-co", "--exclude-standard"], stdout=subprocess.PIPE)
    names = listing.stdout.decode().splitlines() if listing.returncode == 0 else \
        [str(p.relative_to(ROOT)) for p in ROOT.rglob("*") if "build" not in p.parts]
    return [ROOT / n for n in names if (ROOT / n).is_file()]


def stage_format(results):
    if not shutil.which("clang-format"):
        results.skipped.append("format: clang-format is not installed")
        return
    sources = [p for p in tracked_files() if p.suffix in (".c", ".h", ".cpp") and
               p.relative_to(ROOT).parts[0] in SOURCE_FOLDERS and
               not p.is_relative_to(FROZEN)]
    done = run(["clang-format", "--dry-run", "-Werror", *sources], stdout=subprocess.PIPE,
               stderr=subprocess.STDOUT)
    results.add(f"format: {len(sources)} files are as clang-format lays them out",
                done.returncode == 0, done.stdout.decode()[-4000:])


def stage_tidy(results):
    """clang-tidy over the sources of core, sdk and plugins, as the clang preset compiles them.

    A file is looked at again when it, any header or the list of checks changed.
    """
    database = BUILD / "clang" / "compile_commands.json"
    if not database.exists():
        results.add("tidy: build/clang is configured", False, f"there is no {database}")
        return
    cache = BUILD / "clang" / "tidy"
    cache.mkdir(exist_ok=True)
    common = hashlib.sha256((ROOT / ".clang-tidy").read_bytes())
    for header in sorted(p for p in tracked_files() if p.suffix == ".h"):
        common.update(header.read_bytes())
    entries = {}
    for entry in json.loads(database.read_text()):
        path = Path(entry["directory"], entry["file"]).resolve()
        if path.suffix == ".c" and path.is_relative_to(ROOT) and \
                path.relative_to(ROOT).parts[0] in ("core", "sdk", "plugins"):
            entries[path] = entry["command"]

    def look_at(path):
        digest = hashlib.sha256(common.digest() + entries[path].encode() + path.read_bytes())
        clean = cache / digest.hexdigest()
        if clean.exists():
            return path, True, ""
        done = subprocess.run(["clang-tidy", "--quiet", "-p", str(database.parent), str(path)],
                              cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        if done.returncode == 0:
            clean.touch()
        return path, done.returncode == 0, done.stdout.decode()

    say(f"clang-tidy over {len(entries)} files")
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        for path, ok, text in pool.map(look_at, sorted(entries)):
            name = f"tidy: {path.relative_to(ROOT)}"
            if ok:
                results.passed.append(name)
            else:
                results.add(name, False, text)
    if not entries:
        results.add("tidy: there is something to look at", False)


def main():
    parser = argparse.ArgumentParser(prog="scripts/test")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("names", nargs="*")
    args = parser.parse_args()
    stages = [n for n in args.names if n in STAGES]
    names = [n for n in args.names if n not in STAGES]
    if not stages:
        stages = ["unit", "e2e"] if args.quick or names else STAGES
    RESULTS.mkdir(parents=True, exist_ok=True)
    results = Results()
    started = time.monotonic()
    times = []

    def timed(stage, function, *arguments):
        begin = time.monotonic()
        function(*arguments)
        times.append(f"{stage} {time.monotonic() - begin:.0f} s")

    short = "not slow and not chaos" if args.quick else "not chaos"
    if {"unit", "e2e", "docs"} & set(stages):
        built = build(results, "release")
        if built and "unit" in stages:
            timed("unit", unit_tests, results, "release", names)
        if built and "e2e" in stages:
            timed("e2e", e2e_tests, results, "release", names, short)
        if built and "docs" in stages:
            timed("docs", stage_docs, results, "unit" in stages)
    if "format" in stages:
        timed("format", stage_format, results)
    for preset, marks in (("asan", NOT_UNDER_ASAN), ("tsan", NOT_UNDER_TSAN)):
        if preset in stages and build(results, preset):
            timed(preset, unit_tests, results, preset, names)
            timed(f"{preset} e2e", e2e_tests, results, preset, names, marks)
    if {"clang", "tidy"} & set(stages):
        built = build(results, "clang")
        if built and "tidy" in stages:
            timed("tidy", stage_tidy, results)

    print()
    say(f"summary ({time.monotonic() - started:.0f} s: {', '.join(times)})")
    for name in results.skipped:
        print(f"SKIP {name}")
    for name in results.failed:
        print(f"FAIL {name}")
    passed, failed = len(results.passed), len(results.failed)
    if passed + failed == 0:
        print("nothing matches " + " ".join(args.names))
    print(f"{passed} passed, {failed} failed", flush=True)
    return 0 if failed == 0 and passed > 0 else 1


if __name__ == "__main__":
    sys.exit(main())
