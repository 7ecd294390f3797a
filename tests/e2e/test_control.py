"""What operators ask of pipelines that run: status, stop, savepoint, top."""

import json
import os
import pty
import re
import shutil
import signal
import subprocess
import termios
from pathlib import Path

import pytest

from processes import wait_for
from test_terminal import read_until
from weir import FAILED, OK, PROGRAM, SLOWNESS, USAGE, lines_of, pipeline, temporary_folder

NUMBERS = {"type": "generator", "shape": "sequence", "rate": 2000}
CHECKPOINT = {"interval": "50ms", "min_pause": "0s"}
LATER = {"strategy": "fixed_delay", "delay": "1h"}


def numbered(name="test", source=None, sink=None, restart=None, **settings):
    """Numbers into files, until somebody ends the run."""
    sink = sink or {"type": "file", "path": "out/"}
    return pipeline({"in": source or NUMBERS}, {"out": {**sink, "input": "in"}}, name=name,
                    settings={"checkpoint": CHECKPOINT, **settings, **({"restart": restart} if restart else {})})


def begin(weir, document, *args, name="test", manifest="pipeline.yaml", **options):
    """Starts a pipeline and waits until a checkpoint of it is complete."""
    running = weir.start("run", weir.manifest(document, manifest), *args, **options)
    running.wait_status(lambda s: s.get("state") == "running" and s["completed_epoch"] > 1, "a checkpoint is complete",
                        pipeline=name)
    return running


def one(result):
    """The only pipeline of `weir status --json`."""
    [status] = json.loads(result.out)
    return status


def position(weir, savepoint, name="test", **options):
    """Which number comes next behind a savepoint."""
    result = weir.run("savepoint", "show", name, savepoint, "--json", **options)
    assert result.status == OK, result
    [split] = result.json()["nodes"][0]["splits"]
    return int(split["position_hex"], 16)


# ---- status ----

def test_status_of_a_running_pipeline(weir):
    running = begin(weir, numbered())
    result = weir.run("status", "test")
    assert result.status == OK and result.err == "", result
    for pattern in (r"^test: running, up [\d.]+ m?s, worker \d+, exactly_once$",
                    r"^  restarts +0 since 20\d\d-\d\d-\d\dT\d\d:\d\d:\d\dZ \([\d.]+ m?s ago\)$",
                    r"^  memory +[\d.]+ k?B of [\d.]+ MB for records, [\d.]+ MB in all$",
                    r"^  in +source +generator +[\d,]+ +[\d.]+ \w?B +[\d,]+ ",
                    r"^  out +sink +file ",
                    r"^  0 +in +assigned +\d+ +- +[\d,]+$",
                    r"^ +\d+  checkpoint  done +[\d.]+ m?s +\d+ B +[\d.]+ ms +[\d.]+ ms +[\d.]+ ms \(\d+%\) +[\d.]+ ms$"):
        assert re.search(pattern, result.out, re.M), (pattern, result)
    assert "last error" not in result.out, result

    result = weir.run("status", "--json", "test")
    status = one(result)
    assert result.status == OK and result.err == "", result
    assert (status["pipeline"], status["state"], status["restarts"]) == ("test", "running", 0), status
    assert status["pid"] == running.worker() and status["last_error"] is None
    assert 0 < status["supervised_us"] <= status["started_us"]
    assert [(n["name"], n["kind"], n["type"]) for n in status["nodes"]] == [("in", "source", "generator"),
                                                                           ("out", "sink", "file")]
    assert status["nodes"][0]["records_in"] > 0 and status["rss_bytes"] > 100_000
    [split] = status["splits"]
    assert split["state"] == "assigned" and abs(int(split["position"]) - split["records"]) < 2000, split
    assert status["split_count"] == 1
    newest = status["checkpoints"][0]
    assert newest["epoch"] >= status["completed_epoch"] and len(status["checkpoints"]) <= 10
    done = next(c for c in status["checkpoints"] if c["outcome"] == "done")
    assert 0 < done["acknowledged_ms"] <= done["durable_ms"] <= done["committed_ms"] and done["bytes"] > 100
    assert 0 <= done["sync_ms"] <= done["durable_ms"]
    assert running.stop().status == OK


def test_status_of_all_that_there_are(weir):
    result = weir.run("status")
    assert result.status == OK and result.out == "" and "no pipeline has run under" in result.err, result
    assert weir.run("status", "--json").json() == []

    begin(weir, numbered("orders", sink={"type": "blackhole"}), name="orders", manifest="orders.yaml")
    begin(weir, numbered("clicks", sink={"type": "blackhole"}), name="clicks", manifest="clicks.yaml")
    assert weir.run("stop", "clicks").status == OK
    (weir.state / "no-pipeline").mkdir()
    everything = json.loads(weir.run("status", "--json").out)
    assert [(s["pipeline"], s["state"]) for s in everything] == [("clicks", "stopped"), ("orders", "running")]
    newest = everything[0]["checkpoint"]
    assert newest["kind"] == "final" and newest["epoch"] > 1 and 0 <= newest["age_ms"] < 600_000, newest
    assert Path(newest["path"]).stat().st_size == newest["bytes"]

    # Named, one that does not run is a failure; the others are told all the same.
    result = weir.run("status", "clicks", "orders")
    assert result.status == FAILED, result
    assert re.search(r"^clicks: stopped\n  checkpoint +epoch \d+ \(final\), [\d.]+ m?s ago, \d+ B\n\norders: running",
                     result.out), result
    assert weir.run("status").status == OK

    # Misspelt: the nearest one that runs.
    result = weir.run("status", "order")
    assert result.status == FAILED and "no pipeline order runs; hint: did you mean orders?" in result.err, result
    assert weir.run("status", "order", "--json").json() == []


def test_status_of_a_state_that_is_damaged(weir):
    begin(weir, numbered(sink={"type": "blackhole"}))
    assert weir.run("stop", "test").status == OK
    files = sorted((weir.state / "test" / "checkpoints").glob("*.weir"))
    files[-1].write_bytes(files[-1].read_bytes()[:-1])
    status = one(weir.run("status", "test", "--json"))
    assert status["damaged"] == 1 and status["checkpoint"]["epoch"] == int(files[-2].stem), status
    assert re.search(r"damaged +1 newer than that cannot be read", weir.run("status").out)


def test_twenty_splits_are_shown_and_all_are_told(weir):
    (weir.folder / "in").mkdir()
    for n in range(30):
        (weir.folder / "in" / f"{n:02}.txt").write_text(f"{n}\n")
    files = {"type": "file", "path": "in/*.txt", "follow": True, "format": "text"}
    running = weir.start("run", weir.manifest(numbered(source=files, sink={"type": "blackhole"})))
    running.wait_status(lambda s: s.get("split_count") == 30, "all files are known")
    shown = weir.run("status", "test").out
    assert "  and 10 more: --json lists all\n" in shown
    assert len(re.findall(r"^  \S+\.txt +in ", shown, re.M)) == 20, shown
    running.wait_status(lambda s: s["nodes"][0]["records_in"] == 30, "all files are read")
    splits = one(weir.run("status", "test", "--json"))["splits"]
    # The file source tells its positions as byte offsets.
    assert {Path(s["split"]).stem: int(s["position"]) for s in splits} == {
        f"{n:02}": len(f"{n}\n") for n in range(30)}, splits
    assert len(running.ask("status", splits=3)["splits"]) == 3


# ---- savepoints ----

def test_savepoints(weir):
    begin(weir, numbered())
    result = weir.run("savepoint", "create", "test", "one")
    made = re.fullmatch(r"savepoint one of test: epoch (\d+), (\d+) B, (.*)\n", result.out)
    assert result.status == OK and made and Path(made[3]).stat().st_size == int(made[2]), result
    # Nothing is open at the sink behind it: what came before is in complete files.
    assert set(range(position(weir, "one"))) <= {int(n) for n in lines_of(weir.folder / "out")}

    told = weir.run("savepoint", "create", "test", "two", "--json").json()
    assert told["name"] == "two" and told["pipeline"] == "test" and told["epoch"] > int(made[1])
    assert told["readable"] is True and told["kind"] == "savepoint" and Path(told["path"]).is_file()

    for name, why in (("two", "there is a savepoint two already"), ("latest", "latest"), ("a/b", "a/b")):
        result = weir.run("savepoint", "create", "test", name)
        assert result.status in (FAILED, USAGE) and why in result.err, result

    for runs in (True, False):
        if not runs:
            assert weir.run("stop", "test").status == OK
        result = weir.run("savepoint", "list", "test")
        assert result.status == OK, result
        assert re.fullmatch(r"NAME +EPOCH +KIND +SIZE +CREATED\none +\d+ .*\ntwo +\d+  savepoint  \d+ B  20.*Z\n",
                            result.out), result
        assert [s["name"] for s in json.loads(weir.run("savepoint", "list", "test", "--json").out)] == ["one", "two"]
        result = weir.run("savepoint", "show", "test", "two")
        assert result.status == OK and "savepoint two, epoch" in result.out and "node in: source" in result.out
        assert weir.run("state", "show", told["path"]).out == result.out

    result = weir.run("savepoint", "show", "test", "tow")
    assert result.status == FAILED and "there is no savepoint tow" in result.err and "two" in result.err, result
    result = weir.run("savepoint", "list", "tset")
    assert result.status == FAILED and "there is no pipeline tset under" in result.err, result
    assert "did you mean test?" in result.err, result
    result = weir.run("savepoint", "create", "test", "three")
    assert result.status == FAILED and "no pipeline test runs" in result.err, result

    assert weir.run("savepoint", "delete", "test", "one").out == "savepoint one of test is deleted\n"
    assert weir.run("savepoint", "delete", "test", "two", "--json").json() == {"pipeline": "test", "deleted": "two"}
    result = weir.run("savepoint", "delete", "test", "one")
    assert result.status == FAILED and "there is no savepoint one" in result.err, result
    result = weir.run("savepoint", "list", "test")
    assert (result.status, result.out, result.err) == (OK, "", "test has no savepoints\n"), result
    assert weir.run("savepoint", "list", "test", "--json").json() == []


def test_a_damaged_savepoint_is_listed_and_deleted(weir):
    begin(weir, numbered(sink={"type": "blackhole"}))
    path = Path(weir.run("savepoint", "create", "test", "s", "--json").json()["path"])
    path.write_bytes(path.read_bytes()[:40])
    result = weir.run("savepoint", "list", "test")
    assert result.status == OK and re.search(r"^s +- +damaged +40 B +- +/.*s\.weir: ", result.out, re.M), result
    [entry] = json.loads(weir.run("savepoint", "list", "test", "--json").out)
    assert entry["readable"] is False and entry["why"] and "epoch" not in entry, entry
    assert weir.run("savepoint", "show", "test", "s").status == FAILED
    assert weir.run("savepoint", "delete", "test", "s").status == OK


def test_a_savepoint_elsewhere(weir):
    """Portable to another folder, and so to another machine: its file is all that is needed."""
    begin(weir, numbered())
    assert weir.run("savepoint", "create", "test", "moved").status == OK
    at = position(weir, "moved")
    there = weir.folder / "elsewhere"
    shutil.copytree(weir.state / "test" / "savepoints", there / "copies")
    state = {"WEIR_STATE": str(there / "state")}
    # The first one goes on: this is a fork, and must leave the other's files alone.
    manifest = weir.manifest(numbered(name="other"), "elsewhere/pipeline.yaml")
    second = weir.start("run", manifest, "--from", there / "copies" / "moved.weir", env=state)
    wait_for(lambda: any(p.name.startswith(".") for p in there.glob("out/*")), 20 * SLOWNESS, "it writes")
    result = weir.run("stop", "other", "--savepoint", "end", env=state)
    assert result.status == OK and second.wait().status == OK, result
    numbers = [int(n) for n in lines_of(there / "out")]
    assert numbers == list(range(at, position(weir, "end", name="other", env=state))), numbers[:5]
    assert weir.run("stop", "test", "--savepoint", "end").status == OK
    assert sorted(int(n) for n in lines_of(weir.folder / "out")) == list(range(position(weir, "end")))


def test_savepoints_where_the_manifest_keeps_them(weir):
    """Commands know the pipeline's name, and the worker left word of the place."""
    store = weir.folder / "store"
    document = numbered(sink={"type": "blackhole"}, checkpoint={**CHECKPOINT, "store": str(store)})
    begin(weir, document)
    assert weir.run("savepoint", "create", "test", "s").status == OK
    assert (store / "test" / "savepoints" / "s.weir").is_file()
    result = weir.run("stop", "test", "--savepoint", "s")
    assert result.status == FAILED and "there is a savepoint s already" in result.err, result
    assert weir.run("stop", "test").status == OK
    assert [s["name"] for s in json.loads(weir.run("savepoint", "list", "test", "--json").out)] == ["s"]
    assert weir.run("savepoint", "show", "test", "s").status == OK
    assert one(weir.run("status", "test", "--json"))["checkpoint"]["path"].startswith(str(store))
    assert weir.run("savepoint", "delete", "test", "s").status == OK
    assert not (store / "test" / "savepoints" / "s.weir").exists()

    # Back at home: the word is gone as well.
    begin(weir, numbered(sink={"type": "blackhole"}), "--from", "none")
    assert weir.run("stop", "test").status == OK
    assert one(weir.run("status", "test", "--json"))["checkpoint"]["path"].startswith(str(weir.state))


# ---- stop ----

def test_stop_waits_until_the_next_run_may_begin(weir):
    for _ in range(3):
        running = begin(weir, numbered())
        result = weir.run("stop", "test")
        assert result.status == OK and re.fullmatch(r"test stopped; epoch \d+\n", result.out), result
        # begin() would find the pipeline still in use.
        assert not (weir.state / "test" / "control.sock").exists()
        assert running.wait().status == OK
    numbers = [int(n) for n in lines_of(weir.folder / "out")]
    assert sorted(numbers) == list(range(len(numbers)))


def test_stop_with_a_savepoint(weir):
    running = begin(weir, numbered())
    result = weir.run("stop", "test", "--savepoint", "before", "--json")
    assert result.status == OK, result
    assert result.json()["savepoint"] == "before" and result.json()["ok"] is True, result
    assert running.wait().status == OK
    at = position(weir, "before")
    assert sorted(int(n) for n in lines_of(weir.folder / "out")) == list(range(at))

    running = begin(weir, numbered(), "--from", "before")
    # The name is taken: that must be found before anything stops.
    result = weir.run("stop", "test", "--savepoint", "before")
    assert result.status == FAILED and "there is a savepoint before already" in result.err, result
    assert running.status()["state"] == "running"
    result = weir.run("stop", "test", "--savepoint", "after")
    assert result.status == OK and re.fullmatch(r"test stopped; epoch \d+, savepoint after\n", result.out), result
    assert running.wait().status == OK
    assert sorted(int(n) for n in lines_of(weir.folder / "out")) == list(range(position(weir, "after")))


def test_stop_while_it_waits_for_a_restart(weir):
    def crashed():
        running = begin(weir, numbered(restart=LATER))
        os.kill(running.worker(), signal.SIGKILL)
        running.wait_status(lambda s: s["state"] == "restarting", "it waits for a restart")
        return running

    running = crashed()
    result = weir.run("status", "test")
    assert result.status == OK and re.search(r"^test: restarting\n  next start +in (59m \d+s|1h 0m)\n  restarts +1 ",
                                             result.out), result
    assert re.search(r"last error +worker \d+ was killed by SIGKILL", result.out), result
    # Nobody could take it, so nothing is stopped.
    for request in (("stop", "test", "--savepoint", "s"), ("savepoint", "create", "test", "s")):
        result = weir.run(*request)
        assert result.status == FAILED and re.search("no worker runs|waits for a restart", result.err), result
    assert running.status()["state"] == "restarting"
    result = weir.run("stop", "test")
    assert result.status == FAILED and "killed by SIGKILL" in result.err, result
    assert running.wait().status == FAILED
    assert not (weir.state / "test" / "control.sock").exists()

    running = crashed()
    result = weir.run("stop", "test", "--force")
    assert result.status == OK and "stopped by force" in result.out, result
    assert running.wait().status == FAILED


def test_stop_by_force_what_cannot_deliver(weir):
    read, write = os.pipe()
    try:
        running = weir.start("run", weir.manifest(numbered(source={**NUMBERS, "rate": 200000},
                                                           sink={"type": "stdout"}, stop_timeout="10m")),
                             stdout=os.fdopen(write, "wb"))
        running.wait_status(lambda s: s["state"] == "running" and s["nodes"][0]["records_in"] > 20000, "the pipe is full")
        result = weir.run("stop", "test", "--timeout", "300ms")
        assert result.status == FAILED and "test has not ended within --timeout" in result.err, result
        assert one(weir.run("status", "test", "--json"))["state"] == "stopping"
        for request in (("stop", "test", "--savepoint", "s"), ("savepoint", "create", "test", "s")):
            result = weir.run(*request)
            assert result.status == FAILED and "stopping already" in result.err, result
        result = weir.run("stop", "test", "--force", seconds=30)
        assert result.status == OK and "stopped by force" in result.out, result
        assert running.wait(30).status == FAILED
    finally:
        os.close(read)


def test_several_at_once(weir):
    running = begin(weir, numbered())

    def at_once(*commands):
        return [started.wait() for started in [weir.start(*c) for c in commands]]

    results = at_once(*[("savepoint", "create", "test", f"s{n}") for n in range(4)])
    assert all(r.status == OK for r in results), results
    results = at_once(*[("savepoint", "create", "test", "same")] * 3)
    assert sorted(r.status for r in results) == [OK, FAILED, FAILED], results
    assert len(json.loads(weir.run("savepoint", "list", "test", "--json").out)) == 5
    results = at_once(*[("stop", "test")] * 3)
    assert all(r.status == OK or "no pipeline test runs" in r.err for r in results), results
    assert any(r.status == OK for r in results), results
    assert running.wait().status == OK
    numbers = [int(n) for n in lines_of(weir.folder / "out")]
    assert sorted(numbers) == list(range(len(numbers)))


# ---- top ----

def test_top_in_place(weir):
    begin(weir, numbered())
    terminal, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (24, 120))
    before = termios.tcgetattr(theirs)
    for ending in ("q", signal.SIGINT, signal.SIGTERM):
        process = subprocess.Popen([str(PROGRAM), "top", "--interval", "200ms"], cwd=weir.folder, env=weir.env,
                                   stdin=theirs, stdout=theirs, stderr=theirs)
        try:
            read_until(terminal, r"\x1b\[\?1049h\x1b\[\?25l(.|\n)*PIPELINE +STATE +IN/S", 20)
            read_until(terminal, r"test +running +[\d,]+ +[\d,]+ +[\d.]+ k?B +0 +- +[\d.]+ m?s +\d+ ms +[\d.]+ MB +0", 20)
            assert not termios.tcgetattr(theirs)[3] & termios.ECHO
            termios.tcsetwinsize(theirs, (24, 30))  # SIGWINCH goes to a session of its own only
            process.send_signal(signal.SIGWINCH)
            read_until(terminal, r"\x1b\[HPIPELINE  STATE[^\r]{0,15}\x1b\[K\r\r?\ntest  ", 20)
            termios.tcsetwinsize(theirs, (24, 120))
            if ending == "q":
                os.write(terminal, b"q")
            else:
                process.send_signal(ending)
            assert process.wait(20 * SLOWNESS) == OK
            read_until(terminal, r"\x1b\[\?25h\x1b\[\?1049l", 20)
            assert termios.tcgetattr(theirs) == before
        finally:
            process.kill()
            process.wait()
    os.close(theirs)
    os.close(terminal)


def test_top_in_lines(weir):
    begin(weir, numbered())
    row = r"test +running +[\d,]+ +[\d,]+ +[\d.]+ k?B +0 +- +[\d.]+ m?s +\d+ ms +[\d.]+ MB +0\n"
    result = weir.run("top", "--once", "--interval", "200ms")
    assert result.status == OK and re.fullmatch(r"PIPELINE .*RESTARTS\n" + row, result.out), result
    rate = int(result.out.splitlines()[1].split()[2].replace(",", ""))
    assert 200 < rate < 20_000, result

    top = weir.start("top", "test", "gone", "--interval", "200ms")
    wait_for(lambda: top.out_path.read_text().count("\n") >= 7, 20 * SLOWNESS, "three looks")
    result = top.stop()
    assert result.status == OK and "\x1b" not in result.out, result
    assert re.match(rf"PIPELINE .*\n({row}gone +stopped( +-){{9}}\n)+", result.out), result
    assert result.out.count("PIPELINE") == 1


# ---- who may, and where ----

def test_another_user_is_refused(weir):
    if os.geteuid() != 0:
        pytest.skip("needs root to become another user")
    if subprocess.run(["test", "-x", PROGRAM], user=65534).returncode != 0:
        pytest.skip("the other user cannot run the program where it is built")
    state = temporary_folder("weir-ctl-")
    state.chmod(0o755)
    weir.env["WEIR_STATE"], weir.state = str(state), state
    try:
        begin(weir, numbered(sink={"type": "blackhole"}))

        def ask(*args):
            return weir.run(*args, user=65534, cwd="/")

        # The folder is closed, and says so; nothing is found out about what is in it.
        for command in (("status", "test"), ("stop", "test"), ("savepoint", "create", "test", "s"),
                        ("savepoint", "list", "test")):
            result = ask(*command)
            assert result.status == FAILED, result
            assert re.search("[Pp]ermission denied|belongs to user 0, and this is user 65534", result.text), result
            assert "ask as" in result.text, result
        assert ask("status").status == OK
        assert one(ask("status", "--json"))["state"] == "unknown"
        # Were it open, the server would still know who asks.
        (state / "test").chmod(0o755)
        (state / "test" / "control.sock").chmod(0o666)
        result = ask("stop", "test")
        assert result.status == FAILED and "belongs to another user" in result.err, result
        assert one(weir.run("status", "test", "--json"))["state"] == "running"
    finally:
        weir.cleanup()
        shutil.rmtree(state)


def test_a_state_folder_that_is_too_deep(weir):
    deep = {"WEIR_STATE": str(weir.folder / ("d" * 60) / ("e" * 60))}
    result = weir.run("run", weir.manifest(numbered()), env=deep)
    assert result.status != OK and "and a Unix socket may have 107" in result.err, result
    assert "set WEIR_STATE to a folder with a shorter path" in result.err, result
    for command in (("status", "test"), ("stop", "test"), ("savepoint", "create", "test", "s")):
        result = weir.run(*command, env=deep)
        assert result.status == FAILED and "a Unix socket may have 107" in result.text, result


def test_nobody_listens(weir):
    """What a killed supervisor leaves behind is a pipeline that does not run."""
    running = begin(weir, numbered())
    running.process.kill()
    running.process.wait()
    assert (weir.state / "test" / "control.sock").exists()
    assert one(weir.run("status", "test", "--json"))["state"] == "stopped"
    for command in (("stop", "test"), ("savepoint", "create", "test", "s")):
        result = weir.run(*command)
        assert result.status == FAILED and "no pipeline test runs" in result.err, result
        assert "none runs under" in result.err, result


@pytest.mark.cli
@pytest.mark.parametrize("words, text", [
    (("stop",), "name one pipeline"),
    (("stop", "a", "b"), "name one pipeline"),
    (("stop", "jobs/a.yaml"), "'jobs/a.yaml' is no pipeline's name"),
    (("stop", "a", "--savepoint", "s", "--force"), "choose one"),
    (("stop", "a", "--savepoint", "../s"), "../s"),
    (("stop", "a", "--timeout", "soon"), "--timeout wants a duration"),
    (("savepoint",), "say create, list, show or delete"),
    (("savepoint", "make", "a", "s"), "not 'make'"),
    (("savepoint", "create", "a"), "create: name a pipeline and a savepoint"),
    (("savepoint", "list"), "list: name one pipeline"),
    (("savepoint", "list", "a", "--timeout", "1s"), "--timeout belongs to create"),
    (("savepoint", "show", "a", "/tmp/x"), "/tmp/x"),
    (("status", "a/b"), "'a/b' is no pipeline's name"),
    (("status", ".."), "'..' is no pipeline's name"),
    (("top", "--interval", "1ms"), "from 100ms to 1h"),
])
def test_wrong_words(weir, words, text):
    result = weir.run(*words)
    assert result.status == USAGE and text in result.err and result.out == "", result
