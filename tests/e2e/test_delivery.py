"""What is kept between runs and across crashes: checkpoints, savepoints, workers under a supervisor."""

import os
import re
import shutil
import signal
import time

import pytest

from processes import wait_for
from test_kinesis import KEYS, source
from weir import CONFIG, FAILED, OK, SANITIZED, SLOWNESS, lines_of, pipeline, summary, wait_bytes

CHECKPOINT = {"interval": "50ms", "min_pause": "0s"}
RESTART = {"strategy": "fixed_delay", "delay": "100ms"}
NUMBERS = {"type": "generator", "shape": "sequence", "rate": 5000}


def numbered(sink=None, source=None, checkpoint=None, restart=None, name="test", settings=None):
    """Numbers into files; without a count they come until somebody ends the run."""
    sink = sink or {"type": "file", "path": "out/"}
    return pipeline({"in": {**NUMBERS, **(source or {})}}, {"out": {**sink, "input": "in"}}, name=name,
                    settings={"checkpoint": {**CHECKPOINT, **(checkpoint or {})}, "restart": restart or RESTART,
                              **(settings or {})})


BLACKHOLE = {"type": "blackhole"}
STDOUT = {"type": "stdout"}


def numbers(weir, folder="out"):
    return [int(x) for x in lines_of(weir.folder / folder)]


def hidden(weir, folder="out"):
    return [p.name for p in (weir.folder / folder).iterdir() if p.name.startswith(".")]


def checkpoints(weir, name="test"):
    """Its checkpoints, the newest last."""
    return sorted((weir.state / name / "checkpoints").glob("*.weir"))


def progress(running, epochs=1, name="test", but=None):
    """The status once a worker (another one than `but`) has completed checkpoints of its own."""
    return running.wait_status(
        lambda s: s.get("pid") not in (None, but) and s["state"] == "running"
        and s.get("completed_epoch", 0) >= s.get("restored_epoch", 0) + epochs
        and s["nodes"][0]["records_in"] > 0,
        "a worker has completed checkpoints", pipeline=name)


def gone(pid):
    """Whether a process has ended with all of its threads; as a zombie of a strange parent, too."""
    try:
        with open(f"/proc/{pid}/stat") as file:
            state = file.read().rsplit(")", 1)[1].split()[0]
        return state == "Z" and len(os.listdir(f"/proc/{pid}/task")) == 1
    except OSError:
        return True


def ran_for_a_while(weir, document, *args, epochs=3):
    """A run that took some checkpoints and was ended by SIGTERM."""
    running = weir.start("run", weir.manifest(document), *args)
    progress(running, epochs)
    result = running.stop()
    assert result.status == OK, result
    return result


# ---- from one run to the next ----


def test_a_run_that_ended_leaves_nothing_to_the_next(weir):
    document = numbered(source={"count": 1000})
    for count in (1000, 0):
        result = weir.run_pipeline(document, "--once", "--json")
        assert result.status == OK and summary(result)["records_out"] == count, result
        assert ("restored from epoch" in result.err) == (count == 0), result
        assert numbers(weir) == list(range(1000)) and not hidden(weir)


def test_from_none_begins_again(weir):
    document = numbered(source={"count": 1000})
    for times in (1, 2):
        result = weir.run_pipeline(document, "--once", "--json", "--from", "none")
        assert result.status == OK and summary(result)["records_out"] == 1000, result
        assert numbers(weir) == list(range(1000)) * times
    # And what it began is what the next one goes on with.
    result = weir.run_pipeline(document, "--once", "--json")
    assert result.status == OK and summary(result)["records_out"] == 0, result


@pytest.mark.parametrize("checkpoint", [{}, {"interval": "none"}], ids=["checkpoints", "final-only"])
def test_a_drained_run_is_continued_exactly_behind_it(weir, checkpoint):
    total = 0
    for _ in range(3):
        running = weir.start("run", weir.manifest(numbered(checkpoint=checkpoint)), "--json")
        running.wait_status(lambda s: s["state"] == "running" and s["nodes"][0]["records_in"] > 200, "it reads")
        result = running.stop()
        assert result.status == OK and summary(result)["records_out"] > 200, result
        total += summary(result)["records_out"]
        assert numbers(weir) == list(range(total)) and not hidden(weir), result


def test_files_are_read_on_where_the_last_run_ended(weir):
    lines = [b"%d" % n for n in range(200_000)]
    (weir.folder / "in.txt").write_bytes(b"\n".join(lines) + b"\n")
    document = pipeline({"in": {"type": "file", "path": "in.txt"}},
                        {"out": {"type": "file", "path": "out/", "input": "in"}},
                        settings={"checkpoint": CHECKPOINT, "restart": RESTART})
    running = weir.start("run", weir.manifest(document), "--once")
    try:  # wherever in the file it is, or at its end
        wait_for(lambda: numbers_begun(weir) or not running.alive(), 60 * SLOWNESS, "the sink writes")
        os.kill(running.workers()[0], signal.SIGKILL)
    except (IndexError, ProcessLookupError):
        pass
    assert running.wait().status == OK
    assert lines_of(weir.folder / "out") == lines
    result = weir.run_pipeline(document, "--once", "--json")
    assert result.status == OK and summary(result)["records_in"] == 0, result


def numbers_begun(weir, folder="out"):
    return any(p.stat().st_size for p in (weir.folder / folder).glob(".*pending")) \
        if (weir.folder / folder).exists() else False


def test_standard_input_is_another_one_in_every_run(weir):
    """A filter in a shell's pipe works more than once: the end of its input is that run's end only."""
    document = pipeline({"in": {"type": "stdin"}}, {"out": {"type": "stdout", "input": "in"}})
    for text in ("one\ntwo\n", "", "three\n"):
        (weir.folder / "in.txt").write_text(text)
        with open(weir.folder / "in.txt", "rb") as feed:
            result = weir.run_pipeline(document, "--once", stdin=feed)
        assert result.status == OK and result.out == text, result


@pytest.mark.parametrize("parallelism", [(1, 3), (4, 2)])
def test_parallelism_may_change_between_runs(weir, parallelism):
    def document(tasks):
        return numbered(sink={"type": "file", "path": "out/", "parallelism": tasks},
                        source={"splits": 8, "parallelism": tasks})

    for tasks in parallelism:
        ran_for_a_while(weir, document(tasks))
    result = weir.run_pipeline(document(1), "--for", "1ms", "--json")
    assert result.status == OK, result
    got = sorted(numbers(weir))
    assert len(got) == len(set(got)) > 0, "no record twice"
    for split in range(8):  # nor one left out: each split from its beginning without a gap
        of_split = [n for n in got if n % 8 == split]
        assert of_split == list(range(split, split + 8 * len(of_split), 8))


def test_state_lies_in_a_folder_that_only_its_owner_reads(weir):
    ran_for_a_while(weir, numbered(sink=BLACKHOLE), epochs=5)
    folder = weir.state / "test"
    assert folder.stat().st_mode & 0o777 == 0o700
    assert len(checkpoints(weir)) == 3, "retain's default"
    assert not (folder / "control.sock").exists(), "the socket goes with the run"


# ---- savepoints ----


def test_a_savepoint_is_a_place_to_begin_from(weir):
    running = weir.start("run", weir.manifest(numbered()))
    progress(running)
    answer = running.ask("savepoint", name="before")
    assert answer["ok"] and answer["epoch"] > 0, answer
    # It leaves nothing open: all that is ahead of it lies in whole files.
    there = numbers(weir)
    assert there and there == list(range(len(there)))
    after = running.wait_status(lambda s: s["completed_epoch"] > answer["epoch"] + 1, "it goes on")
    answer = running.ask("stop", savepoint="last")
    assert answer["ok"] and answer["epoch"] > after["completed_epoch"], answer
    result = running.wait()
    assert result.status == OK, result
    total = len(numbers(weir))
    assert numbers(weir) == list(range(total)) and not hidden(weir)

    ran_for_a_while(weir, numbered(), "--from", "last")
    assert numbers(weir) == list(range(len(numbers(weir)))) and len(numbers(weir)) > total
    total = len(numbers(weir))

    result = ran_for_a_while(weir, numbered(), "--from", "before")
    assert re.search(r"split 0 was read to position \S+ already and is read again from", result.err), result
    again = numbers(weir)[total:]
    assert again == list(range(again[0], again[0] + len(again)))
    assert again[0] >= len(there), "what was ahead of the savepoint is not repeated"
    assert again[0] < total


def test_a_savepoint_can_be_carried_elsewhere(weir, tmp_path_factory):
    running = weir.start("run", weir.manifest(numbered()))
    progress(running)
    assert running.ask("stop", savepoint="moved")["ok"]
    assert running.wait().status == OK
    count = len(numbers(weir))
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    path = (weir.state / "test" / "savepoints" / "moved.weir").rename(elsewhere / "moved.weir")
    running = weir.start("run", weir.manifest(numbered()), "--from", path,
                         env={"WEIR_STATE": str(elsewhere / "state")})
    running.state = elsewhere / "state"
    progress(running)
    assert running.stop().status == OK
    assert numbers(weir) == list(range(len(numbers(weir)))) and len(numbers(weir)) > count


def test_a_savepoint_that_does_not_exist_names_those_that_do(weir):
    running = weir.start("run", weir.manifest(numbered(sink=BLACKHOLE)))
    progress(running)
    assert running.ask("savepoint", name="before-upgrade")["ok"]
    answer = running.ask("savepoint", name="before-upgrade")
    assert not answer["ok"] and "already" in answer["error"], answer
    answer = running.ask("savepoint", name="../x")
    assert not answer["ok"] and "../x" in answer["error"], answer
    assert running.stop().status == OK
    result = weir.run_pipeline(numbered(sink=BLACKHOLE), "--from", "before-upgrad", "--for", "10s")
    assert result.status != OK and "before-upgrade" in result.err, result


# ---- workers that die ----


def test_a_killed_worker_is_restarted_and_each_record_is_there_once(weir):
    running = weir.start("run", weir.manifest(numbered(sink={"type": "file", "path": "out/",
                                                             "roll": {"size": "4KiB"}})))
    killed = None
    for restarts in range(6):
        status = progress(running, but=killed)
        assert status["restarts"] == restarts, status
        assert status["pid"] in running.workers()
        killed = status["pid"]
        os.kill(killed, signal.SIGKILL)
    progress(running, but=killed)
    result = running.stop()
    assert result.status == OK, result
    assert len(re.findall("error test: worker .* was killed by SIGKILL", result.err)) == 6, result
    got = numbers(weir)
    assert got == list(range(len(got))) and not hidden(weir)


def test_without_checkpoints_a_restart_begins_where_the_run_began(weir):
    running = weir.start("run", weir.manifest(numbered(checkpoint={"interval": "none"})))
    status = running.wait_status(lambda s: s["state"] == "running" and s["nodes"][1]["records_out"] > 500, "it reads")
    os.kill(status["pid"], signal.SIGKILL)
    running.wait_status(lambda s: s.get("pid") not in (None, status["pid"]) and s["state"] == "running"
                        and s["nodes"][1]["records_out"] > 500, "it reads again")
    result = running.stop()
    assert result.status == OK, result
    got = numbers(weir)
    assert got == list(range(len(got))) and not hidden(weir)


def test_standard_output_gets_each_record_at_least_once(weir):
    running = weir.start("run", weir.manifest(numbered(sink=STDOUT)))
    killed = None
    for _ in range(3):
        killed = progress(running, but=killed)["pid"]
        os.kill(killed, signal.SIGKILL)
    progress(running, but=killed)
    result = running.stop()
    assert result.status == OK, result
    got = [int(x) for x in result.out.split()]
    assert set(got) == set(range(max(got) + 1))


def test_bad_records_and_several_tasks_survive_kills(weir):
    """Barriers through exchanges, of two tasks into two, and into the sink of dead letters."""
    folders = [weir.folder / name for name in ("in", "out", "bad")]
    for folder in folders:
        folder.mkdir()
    good, bad = [], []

    def more():
        for number in range(4):
            lines = [b'{"f":%d,"n":%d}' % (number, n) for n in range(len(good), len(good) + 2000)]
            cut = [line[:-1] if n % 10 == 3 else line for n, line in enumerate(lines)]
            good.extend(line for line in cut if line.endswith(b"}"))
            bad.extend(line for line in cut if not line.endswith(b"}"))
            with open(folders[0] / f"{number}.jsonl", "ab") as file:
                file.write(b"\n".join(cut) + b"\n")

    more()
    document = pipeline(
        {"in": {"type": "file", "path": "in/*.jsonl", "follow": True, "parallelism": 2, "format": "json",
                "on_error": {"dead_letter": "bad"}}},
        {"out": {"type": "file", "path": "out/", "input": "all", "format": "json", "parallelism": 2},
         "bad": {"type": "file", "path": "bad/"}},
        {"all": {"type": "filter", "input": "in", "where": ".n >= 0", "parallelism": 3, "exchange": "round_robin"}},
        settings={"checkpoint": CHECKPOINT, "restart": RESTART})
    running = weir.start("run", weir.manifest(document))
    killed = None
    for _ in range(4):
        killed = progress(running, but=killed)["pid"]
        more()
        os.kill(killed, signal.SIGKILL)
    running.wait_status(lambda s: s["state"] == "running" and s["pid"] != killed, "the last one runs")
    for folder, lines in ((folders[1], good), (folders[2], bad)):
        wait_bytes(folder, sum(len(x) + 1 for x in lines), 60, running)
    result = running.stop()
    assert result.status == OK, result
    assert sorted(lines_of(folders[1])) == sorted(good) and not hidden(weir, "out")
    assert sorted(lines_of(folders[2])) == sorted(bad) and not hidden(weir, "bad")


def test_one_crash_leaves_the_other_pipeline_alone(weir):
    manifests = [weir.manifest(numbered(sink={"type": "file", "path": f"{name}/"}, name=name), f"{name}.yaml")
                 for name in ("left", "right")]
    running = weir.start("run", *manifests)
    before = {name: progress(running, name=name)["pid"] for name in ("left", "right")}
    assert sorted(before.values()) == sorted(running.workers())
    os.kill(before["left"], signal.SIGKILL)
    assert progress(running, name="left", but=before["left"])["restarts"] == 1
    right = running.status("right")
    assert right["pid"] == before["right"] and right["restarts"] == 0, right
    result = running.stop()
    assert result.status == OK, result
    for name in ("left", "right"):
        got = numbers(weir, name)
        assert got and got == list(range(len(got))), name


def test_one_failure_is_the_status_of_the_whole_and_ends_nothing_else(weir):
    good = weir.manifest(numbered(sink={"type": "file", "path": "out/"}, name="good"), "good.yaml")
    bad = weir.manifest(pipeline({"in": {"type": "file", "path": "missing.txt"}},
                                 {"out": {"type": "blackhole", "input": "in"}}, name="bad"), "bad.yaml")
    running = weir.start("run", bad, good)
    wait_for(lambda: "missing.txt" in running.errors(), 60 * SLOWNESS, "one has failed")
    progress(running, name="good")
    result = running.stop()
    assert result.status == CONFIG, result
    assert numbers(weir) == list(range(len(numbers(weir))))


@pytest.mark.skipif(SANITIZED, reason="sanitizers handle these signals themselves")
def test_a_crash_leaves_a_report(weir):
    running = weir.start("run", weir.manifest(numbered(sink=BLACKHOLE)))
    pid = progress(running)["pid"]
    os.kill(pid, signal.SIGSEGV)
    progress(running, but=pid)
    result = running.stop()
    assert result.status == OK and "SIGSEGV" in result.err, result
    [report] = (weir.state / "test").glob("crash-*.txt")
    assert str(report) in result.err, result
    assert "test" in report.read_text() and "SIGSEGV" in report.read_text()


def test_attempts_of_restarts_are_counted(weir):
    running = weir.start("run", weir.manifest(numbered(sink=BLACKHOLE, restart={**RESTART, "attempts": 2})))
    killed = None
    for _ in range(3):
        killed = progress(running, but=killed)["pid"]
        os.kill(killed, signal.SIGKILL)
    result = running.wait()
    assert result.status == FAILED and "restart.attempts are used up" in result.err, result


def test_a_restart_does_not_begin_the_time_of_a_run_again(weir):
    """The time is over when the second worker begins: it delivers what it has read, and ends."""
    running = weir.start("run", "--json", "--for", "4s", weir.manifest(numbered(restart={**RESTART, "delay": "4s"})))
    os.kill(progress(running)["pid"], signal.SIGKILL)
    result = running.wait()
    assert result.status == OK and summary(result)["seconds"] < 3, result
    assert numbers(weir) == list(range(len(numbers(weir)))) and not hidden(weir)


@pytest.mark.parametrize("end", ["signal", "request"])
def test_a_pipeline_that_waits_for_its_restart_can_be_ended(weir, end):
    running = weir.start("run", weir.manifest(numbered(sink=BLACKHOLE, restart={**RESTART, "delay": "1h"})))
    os.kill(progress(running)["pid"], signal.SIGKILL)
    status = running.wait_status(lambda s: s["state"] == "restarting", "it waits")
    assert status["pid"] is None and "SIGKILL" in status["last_error"] and status["next_start_ms"] > 0, status
    if end == "signal":
        running.process.terminate()
    else:
        answer = running.ask("stop")
        assert "SIGKILL" in answer["error"], answer
    result = running.wait()
    assert result.status == FAILED and "waited for a restart" in result.err, result


def test_what_no_restart_mends_is_not_tried_again(weir):
    result = weir.run_pipeline(pipeline(
        {"in": {"type": "file", "path": "missing.txt"}}, {"out": {"type": "blackhole", "input": "in"}},
        settings={"restart": RESTART}), seconds=30)
    assert result.status == CONFIG, result
    assert result.err.count("missing.txt") == 1, result


# ---- streams ----


def test_a_killed_worker_reads_its_stream_on(weir, stub):
    stub.create_stream("s", 3)
    want = []

    def put(count):
        for _ in range(count):
            stub.put("s", b"record-%06d" % len(want), shard=len(want) % 3)
            want.append(b"record-%06d" % len(want))

    running = weir.start("run", weir.manifest(pipeline(
        {"in": source(stub.endpoint, "s")}, {"out": {"type": "file", "path": "out/", "input": "in"}},
        settings={"checkpoint": CHECKPOINT, "restart": RESTART})), env=KEYS)
    killed = None
    for _ in range(5):
        put(200)
        killed = progress(running, but=killed)["pid"]
        put(200)
        os.kill(killed, signal.SIGKILL)
    put(200)
    # The last worker has removed what the one before it left half done.
    running.wait_status(lambda s: s["state"] == "running" and s["pid"] != killed, "the last one runs")
    wait_bytes(weir.folder / "out", sum(len(x) + 1 for x in want), 60, running)
    assert running.stop().status == OK
    got = lines_of(weir.folder / "out")
    assert sorted(got) == want and not hidden(weir)
    for shard in range(3):
        of_shard = [x for x in got if int(x[7:]) % 3 == shard]
        assert of_shard == sorted(of_shard)


def test_latest_is_one_moment_for_all_runs(weir, stub):
    """Nothing was read of the shard: only where reading began says where it goes on."""
    stub.create_stream("s")
    document = pipeline({"in": source(stub.endpoint, "s", start="latest")},
                        {"out": {"type": "file", "path": "out/", "input": "in"}},
                        settings={"checkpoint": CHECKPOINT, "restart": RESTART})
    running = weir.start("run", weir.manifest(document), env=KEYS)
    running.wait_status(lambda s: s["state"] == "running", "it runs")
    assert running.stop().status == OK
    stub.put("s", b"meanwhile")
    stub.streams["s"][0].records[-1]["ApproximateArrivalTimestamp"] = time.time()
    running = weir.start("run", weir.manifest(document), env=KEYS)
    wait_for(lambda: running.status().get("nodes", [{}])[0].get("records_in") == 1, 20, "it is read")
    assert running.stop().status == OK
    assert lines_of(weir.folder / "out") == [b"meanwhile"]


# ---- state that does not fit ----


def damage(path, how):
    data = bytearray(path.read_bytes())
    if how == "flipped":
        data[len(data) // 2] ^= 1
    else:
        del data[len(data) // 2 if how == "truncated" else 0:]
    path.write_bytes(data)


@pytest.mark.parametrize("how", ["flipped", "truncated", "empty"])
def test_a_damaged_checkpoint_stops_what_promised_exactly_once(weir, how):
    running = weir.start("run", weir.manifest(numbered()))
    progress(running, 3)
    assert running.ask("savepoint", name="good")["ok"]
    progress(running, 6)
    assert running.stop().status == OK
    older, newest = checkpoints(weir)[-2:]
    damage(newest, how)
    for strategy in (RESTART, {"strategy": "none"}):
        result = weir.run_pipeline(numbered(restart=strategy), seconds=30)
        assert result.status != OK, result
        for choice in (str(newest), f"--from {older}", "--from good", "--from none"):
            assert choice in result.err, (choice, result)
    # Each choice can be taken.
    for choice in (older, "good", "none"):
        result = ran_for_a_while(weir, numbered(), "--from", choice)
        damage(checkpoints(weir)[-1], how)


def test_one_sink_that_is_promised_exactly_once_is_enough_to_stop(weir):
    document = numbered()
    document["sinks"]["shown"] = {**STDOUT, "input": "in"}
    ran_for_a_while(weir, document)
    newest = checkpoints(weir)[-1]
    damage(newest, "flipped")
    result = weir.run_pipeline(document, seconds=30)
    assert result.status == CONFIG and str(newest) in result.err, result


def test_a_damaged_checkpoint_is_stepped_over_at_least_once(weir):
    first = ran_for_a_while(weir, numbered(sink=STDOUT))
    newest = checkpoints(weir)[-1]
    damage(newest, "flipped")
    second = ran_for_a_while(weir, numbered(sink=STDOUT))
    assert newest.name in second.err or str(int(newest.stem)) in second.err, second
    got = [int(x) for x in (first.out + second.out).split()]
    assert set(got) == set(range(max(got) + 1))


def test_state_of_a_node_that_left_the_manifest(weir):
    ran_for_a_while(weir, numbered())
    count = len(numbers(weir))
    document = numbered()
    document["sources"]["other"] = document["sources"].pop("in")
    document["sinks"]["out"]["input"] = "other"
    result = weir.run_pipeline(document, seconds=30)
    assert result.status != OK, result
    assert '"in"' in result.err and "--allow-non-restored-state" in result.err, result
    assert len(numbers(weir)) == count and not hidden(weir)
    ran_for_a_while(weir, document, "--allow-non-restored-state")
    again = numbers(weir)[count:]
    assert again == list(range(len(again))) and again, "a node without state begins at the beginning"


def test_another_component_under_an_old_name_is_refused(weir):
    ran_for_a_while(weir, numbered(sink=BLACKHOLE))
    (weir.folder / "in.txt").write_text("a\n")
    result = weir.run_pipeline(pipeline({"in": {"type": "file", "path": "in.txt"}},
                                        {"out": {"type": "blackhole", "input": "in"}}), seconds=30)
    assert result.status != OK and '"in"' in result.err and "generator" in result.err, result


# ---- one owner ----


def test_a_pipeline_that_runs_cannot_be_run_again(weir):
    path = weir.manifest(numbered())
    running = weir.start("run", path)
    pid = progress(running)["pid"]
    second = weir.run("run", path, seconds=30)
    assert second.status != OK and "runs already" in second.err and "test" in second.err, second
    assert running.status()["pid"] == pid
    result = running.stop()
    assert result.status == OK, result
    assert numbers(weir) == list(range(len(numbers(weir))))


def test_a_store_that_two_machines_share_has_one_owner(weir):
    document = numbered(checkpoint={"store": str(weir.folder / "shared")})
    running = weir.start("run", weir.manifest(document))
    progress(running)
    second = weir.run_pipeline(document, seconds=30, env={"WEIR_STATE": str(weir.folder / "another")})
    assert second.status != OK and "runs already" in second.err and "shared" in second.err, second
    assert running.stop().status == OK
    assert numbers(weir) == list(range(len(numbers(weir))))


def test_two_manifests_of_one_name_are_refused(weir):
    result = weir.run("run", weir.manifest(numbered(), "a.yaml"), weir.manifest(numbered(), "b.yaml"))
    assert result.status == CONFIG, result
    assert all(word in result.err for word in ("a.yaml", "b.yaml", "test")), result
    assert not weir.state.exists()


def test_a_worker_dies_with_its_supervisor(weir):
    running = weir.start("run", weir.manifest(numbered()))
    pid = progress(running)["pid"]
    running.process.kill()
    running.process.wait()
    wait_for(lambda: gone(pid), 20 * SLOWNESS, "the worker is gone")
    ran_for_a_while(weir, numbered())  # what they left behind keeps nobody out
    assert numbers(weir) == list(range(len(numbers(weir)))) and not hidden(weir)


def test_what_is_lost_is_told_and_no_exit_status_0(weir):
    """A file that a checkpoint counts on is gone; a crash behind that makes it no less lost."""
    running = weir.start("run", weir.manifest(numbered()))
    pid = progress(running)["pid"]
    running.process.kill()
    running.process.wait()
    wait_for(lambda: gone(pid), 20 * SLOWNESS, "the worker is gone")
    assert hidden(weir)  # open, and known to the newest checkpoint
    for name in hidden(weir):
        (weir.folder / "out" / name).unlink()
    running = weir.start("run", weir.manifest(numbered()))
    first = running.wait_status(lambda s: s.get("lost", 0) > 0, "the loss is in the status")
    os.kill(first["pid"], signal.SIGKILL)
    again = progress(running, but=first["pid"])
    assert again["lost"] >= first["lost"], again  # more if no checkpoint without the piece was there yet
    result = running.stop()
    assert result.status == FAILED, result
    assert "can no longer be committed" in result.err and "lost are records of split 0" in result.err, result


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP], ids=lambda n: n.name)
def test_a_signal_to_the_whole_group_counts_once(weir, number):
    running = weir.start("run", weir.manifest(numbered()), start_new_session=True)
    progress(running)
    os.killpg(running.pid, number)
    result = running.wait()
    assert result.status == OK and "second signal" not in result.err, result
    assert numbers(weir) == list(range(len(numbers(weir)))) and not hidden(weir)


# ---- what is promised ----


def test_another_store_does_not_begin_anew_without_a_word(weir):
    ran_for_a_while(weir, numbered())
    moved = numbered(checkpoint={"store": str(weir.folder / "elsewhere")})
    result = weir.run("run", "--for", "1s", weir.manifest(moved))
    assert result.status == CONFIG and "--from none" in result.err and "elsewhere" in result.err, result
    assert numbers(weir) == list(range(len(numbers(weir))))
    shutil.copytree(weir.state / "test" / "checkpoints", weir.folder / "elsewhere" / "test" / "checkpoints",
                    dirs_exist_ok=True)
    ran_for_a_while(weir, moved)
    assert numbers(weir) == list(range(len(numbers(weir)))) and not hidden(weir)


def test_more_than_the_members_can_give_is_refused(weir):
    def check(delivery, **more):
        return weir.run("check", weir.manifest(numbered(settings={"delivery": delivery}, **more)))

    assert check("exactly_once").status == OK
    assert check("at_least_once", sink=STDOUT).status == OK
    result = check("exactly_once", sink=STDOUT)
    assert result.status == CONFIG and "out" in result.err and "stdout" in result.err, result


def test_plan_says_what_each_sink_gets(weir):
    document = numbered()
    document["sinks"]["shown"] = {"type": "stdout", "input": "in"}
    text = weir.run("plan", weir.manifest(document)).out
    assert re.search(r"^ +out: exactly_once \(", text, re.M), text
    assert re.search(r"^ +shown: at_least_once \(shown \(stdout\) ", text, re.M), text
    plan = weir.run("plan", "--json", weir.manifest(document)).json()
    assert plan["delivery"] == "at_least_once" and "shown" in plan["delivery_why"], plan
