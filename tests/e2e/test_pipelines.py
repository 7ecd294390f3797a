"""Pipelines of files, generators and standard streams: everything arrives, in order, unchanged."""

import json
import random
import subprocess

import pytest

from weir import CONFIG, FAILED, OK, framed, lines_of, pipeline, summary


def json_lines(count, seed=1):
    rng = random.Random(seed)
    for i in range(count):
        yield json.dumps({"n": i, "amount": rng.randrange(100), "name": f"ü-{i}", "tags": [1, "x", None]},
                         ensure_ascii=bool(i % 2)).encode()


def write_lines(path, lines):
    path.write_bytes(b"".join(line + b"\n" for line in lines))


def test_file_to_file_is_byte_for_byte(weir):
    lines = list(json_lines(20000))
    write_lines(weir.folder / "in.jsonl", lines)
    result = weir.run_pipeline(pipeline(
        {"in": {"type": "file", "path": "in.jsonl", "format": "json"}},
        {"out": {"type": "file", "path": "out.jsonl", "format": "json", "input": "in"}}), "--once")
    assert result.status == OK, result
    assert (weir.folder / "out.jsonl").read_bytes() == (weir.folder / "in.jsonl").read_bytes()


def test_decode_and_encode_keep_the_content(weir):
    lines = list(json_lines(20000))
    write_lines(weir.folder / "in.jsonl", lines)
    out = {"type": "file", "path": "out.jsonl", "input": "in",
           "format": {"type": "json", "pass_through": "never"}}
    result = weir.run_pipeline(pipeline(
        {"in": {"type": "file", "path": "in.jsonl", "format": "json"}}, {"out": out}), "--once")
    assert result.status == OK, result
    got = [json.loads(line) for line in lines_of(weir.folder, "out.jsonl")]
    assert got == [json.loads(line) for line in lines]


def test_a_last_line_without_newline_counts(weir):
    (weir.folder / "in.txt").write_bytes(b"one\ntwo\n\nlast")
    result = weir.run_pipeline(pipeline(
        {"in": {"type": "file", "path": "in.txt"}},
        {"out": {"type": "file", "path": "out.txt", "input": "in"}}), "--once")
    assert result.status == OK, result
    assert (weir.folder / "out.txt").read_bytes() == b"one\ntwo\n\nlast\n"


def test_empty_input_ends_well(weir):
    (weir.folder / "in.txt").write_bytes(b"")
    result = weir.run_pipeline(pipeline(
        {"in": {"type": "file", "path": "in.txt"}},
        {"out": {"type": "file", "path": "out.txt", "input": "in"}}), "--once")
    assert result.status == OK, result
    assert lines_of(weir.folder, "out.txt") == []


def test_filter_chooses(weir):
    lines = list(json_lines(5000))
    write_lines(weir.folder / "in.jsonl", lines)
    result = weir.run_pipeline(pipeline(
        {"in": {"type": "file", "path": "in.jsonl", "format": "json"}},
        {"out": {"type": "file", "path": "out.jsonl", "format": "json", "input": "large"}},
        {"large": {"type": "filter", "input": "in", "where": ".amount > 10 and .amount <= 90"}}), "--once")
    assert result.status == OK, result
    want = [json.loads(x) for x in lines if 10 < json.loads(x)["amount"] <= 90]
    assert [json.loads(x) for x in lines_of(weir.folder, "out.jsonl")] == want


def test_fan_out_and_fan_in(weir):
    write_lines(weir.folder / "a.txt", [b"a%d" % i for i in range(3000)])
    write_lines(weir.folder / "b.txt", [b"b%d" % i for i in range(3000)])
    result = weir.run_pipeline(pipeline(
        {"a": {"type": "file", "path": "a.txt"}, "b": {"type": "file", "path": "b.txt"}},
        {"both": {"type": "file", "path": "both.txt", "inputs": ["a", "b"]},
         "only_a": {"type": "file", "path": "only_a.txt", "input": "a"}}), "--once")
    assert result.status == OK, result
    both = lines_of(weir.folder, "both.txt")
    assert [x for x in both if x[:1] == b"a"] == [b"a%d" % i for i in range(3000)]
    assert [x for x in both if x[:1] == b"b"] == [b"b%d" % i for i in range(3000)]
    assert lines_of(weir.folder, "only_a.txt") == [b"a%d" % i for i in range(3000)]


def test_parallel_tasks_share_the_splits(weir):
    (weir.folder / "in").mkdir()
    for i in range(8):
        write_lines(weir.folder / "in" / f"{i}.txt", [b"%d-%d" % (i, k) for k in range(2000)])
    result = weir.run_pipeline(pipeline(
        {"in": {"type": "file", "path": "in/*.txt", "parallelism": 4}},
        {"out": {"type": "file", "path": "out/", "input": "in", "parallelism": 2}}), "--once")
    assert result.status == OK, result
    got = lines_of(weir.folder / "out")
    assert sorted(got) == sorted(b"%d-%d" % (i, k) for i in range(8) for k in range(2000))
    for path in (weir.folder / "out").rglob("*"):  # within one file, each split keeps its order
        if path.is_file():
            last = {}
            for line in path.read_bytes().splitlines():
                split, n = map(int, line.split(b"-"))
                assert n > last.get(split, -1)
                last[split] = n


def test_generated_records_are_all_different(weir):
    result = weir.run_pipeline(pipeline(
        {"in": {"type": "generator", "shape": "sequence", "count": 50000, "size": 40, "splits": 4}},
        {"out": {"type": "file", "path": "out.txt", "input": "in"}}), "--once", "--json")
    assert result.status == OK, result
    got = lines_of(weir.folder, "out.txt")
    assert len(got) == len(set(got)) == 50000
    assert "50000" in json.dumps(summary(result))


def test_ticker_records_are_the_tutorials(weir):
    result = weir.run_pipeline(pipeline(
        {"in": {"type": "generator", "shape": "ticker", "count": 100, "seed": 7}},
        {"out": {"type": "stdout", "input": "in"}}), "--once")
    assert result.status == OK, result
    records = [json.loads(line) for line in result.out.splitlines() if line.startswith("{")]
    assert len(records) == 100 and all("ticker" in r and "price" in r for r in records), result


def test_stdin_to_stdout_is_a_filter_of_a_shell(weir):
    data = b"".join(b"line %d\n" % i for i in range(10000))
    (weir.folder / "in").write_bytes(data)
    manifest = pipeline({"in": {"type": "stdin"}}, {"out": {"type": "stdout", "input": "in"}})
    with open(weir.folder / "in", "rb") as feed:
        cat = subprocess.Popen(["cat"], stdin=feed, stdout=subprocess.PIPE)
        result = weir.run_pipeline(manifest, "--once", stdin=cat.stdout)
        cat.stdout.close()
        cat.wait()
    assert result.status == OK, result
    assert result.out.encode() == data


def test_binary_records_in_frames(weir):
    rng = random.Random(3)
    records = [rng.randbytes(rng.randrange(0, 3000)) for _ in range(2000)]
    records[5] = b""
    (weir.folder / "in.bin").write_bytes(b"".join(len(r).to_bytes(4, "big") + r for r in records))
    frames = {"type": "raw", "framing": "length"}
    result = weir.run_pipeline(pipeline(
        {"in": {"type": "file", "path": "in.bin", "format": frames}},
        {"out": {"type": "file", "path": "out.bin", "format": frames, "input": "in"}}), "--once")
    assert result.status == OK, result
    assert framed((weir.folder / "out.bin").read_bytes()) == records


def test_files_roll_by_size(weir):
    result = weir.run_pipeline(pipeline(
        {"in": {"type": "generator", "shape": "sequence", "count": 20000, "size": 100}},
        {"out": {"type": "file", "path": "out/", "roll": {"size": "256KiB"}, "input": "in"}}), "--once")
    assert result.status == OK, result
    files = [p for p in (weir.folder / "out").rglob("*") if p.is_file()]
    assert len(files) >= 7 and not [p for p in files if p.name.startswith(".")], files
    got = lines_of(weir.folder / "out")
    assert len(got) == 20000 and got == sorted(got, key=int), "names sort in writing order"


def test_path_templates_sort_records_into_files(weir):
    write_lines(weir.folder / "in.jsonl", [b'{"user":"u%d","n":%d}' % (i % 5, i) for i in range(1000)])
    result = weir.run_pipeline(pipeline(
        {"in": {"type": "file", "path": "in.jsonl", "format": "json"}},
        {"out": {"type": "file", "path": "out/${.user}.jsonl", "format": "json", "input": "in"}}), "--once")
    assert result.status == OK, result
    for user in range(5):
        got = [json.loads(x)["n"] for x in lines_of(weir.folder / "out", f"u{user}.jsonl")]
        assert got == list(range(user, 1000, 5))


def test_run_for_a_time_drains_and_ends(weir):
    result = weir.run_pipeline(pipeline(
        {"in": {"type": "generator", "shape": "sequence", "rate": 2000}},
        {"out": {"type": "file", "path": "out.txt", "input": "in"}}), "--for", "1s", "--json")
    assert result.status == OK, result
    numbers = [int(x) for x in lines_of(weir.folder, "out.txt")]
    assert numbers == list(range(numbers[0], numbers[0] + len(numbers))) and len(numbers) > 100
    assert str(len(numbers)) in json.dumps(summary(result)), result


def test_sigterm_drains(weir):
    running = weir.start("run", weir.manifest(pipeline(
        {"in": {"type": "generator", "shape": "sequence", "rate": 5000}},
        {"out": {"type": "file", "path": "out.txt", "input": "in"}})))
    from weir import wait_bytes
    wait_bytes(weir.folder, 2000, 20, running)
    result = running.stop()
    assert result.status == OK, result
    numbers = [int(x) for x in lines_of(weir.folder, "out.txt")]
    assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))


# ---- records that are not what they should be ----

MIXED = [b'{"n":1}', b'{"n":2', b'{"n":3}', b"nonsense", b'{"n":5}']


def mixed(weir, on_error, **more):
    write_lines(weir.folder / "in.jsonl", MIXED)
    source = {"type": "file", "path": "in.jsonl", "format": {"type": "json", "pass_through": "never"}}
    if on_error:
        source["on_error"] = on_error
    sinks = {"out": {"type": "file", "path": "out.jsonl", "input": "in",
                     "format": {"type": "json", "pass_through": "never"}}, **more}
    return weir.run_pipeline(pipeline({"in": source}, sinks), "--once", "--json")


@pytest.mark.parametrize("on_error", [None, "fail"])
def test_an_invalid_record_fails_the_run(weir, on_error):
    result = mixed(weir, on_error)
    assert result.status == FAILED, result
    assert "in.jsonl" in result.err or '"in"' in result.err or "'in'" in result.err, result
    assert "json" in result.err.lower(), result
    got = [json.loads(x)["n"] for x in lines_of(weir.folder, "out.jsonl")]
    assert got in ([], [1]), "nothing behind the bad record is written"


def test_an_invalid_record_is_skipped(weir):
    result = mixed(weir, "skip")
    assert result.status == OK, result
    assert [json.loads(x)["n"] for x in lines_of(weir.folder, "out.jsonl")] == [1, 3, 5]


def test_an_invalid_record_becomes_a_dead_letter(weir):
    result = mixed(weir, {"dead_letter": "errors"},
                   errors={"type": "file", "path": "errors.jsonl", "format": "json"})
    assert result.status == OK, result
    assert [json.loads(x)["n"] for x in lines_of(weir.folder, "out.jsonl")] == [1, 3, 5]
    letters = lines_of(weir.folder, "errors.jsonl")
    assert len(letters) == 2, letters
    assert all(isinstance(json.loads(x), dict) for x in letters), letters
    text = json.dumps(summary(result))
    assert "dead" in text and "2" in text, result


def test_a_newline_in_a_value_goes_to_on_error(weir):
    frames = {"type": "raw", "framing": "length"}
    values = [b"good", b"two\nlines", b"fine"]
    (weir.folder / "in.bin").write_bytes(b"".join(len(v).to_bytes(4, "big") + v for v in values))
    result = weir.run_pipeline(pipeline(
        {"in": {"type": "file", "path": "in.bin", "format": frames}},
        {"out": {"type": "file", "path": "out.txt", "input": "in", "on_error": "skip"}}), "--once")
    assert result.status == OK, result
    assert lines_of(weir.folder, "out.txt") == [b"good", b"fine"]


def test_event_time_picks_the_folder(weir):
    write_lines(weir.folder / "in.jsonl", [b'{"ts":%d,"n":%d}' % (1767225600 + 3600 * (i % 3), i)
                                          for i in range(300)])
    result = weir.run_pipeline(pipeline(
        {"in": {"type": "file", "path": "in.jsonl", "format": "json",
                "event_time": {"field": ".ts", "unit": "s"}}},
        {"out": {"type": "file", "path": "out/hr=${time:%H}/", "format": "json", "input": "in"}}), "--once")
    assert result.status == OK, result
    for hour in range(3):
        got = [json.loads(x)["n"] for x in lines_of(weir.folder / "out" / f"hr=0{hour}")]
        assert got == list(range(hour, 300, 3))


def test_what_does_not_exist_yet_is_refused(weir):
    result = weir.run("check", weir.manifest(pipeline(
        {"in": {"type": "generator", "count": 1, "event_time": {"idle": "30s"}}},
        {"out": {"type": "blackhole", "input": "in"}})))
    assert result.status == CONFIG and "idle" in result.err, result


def test_event_time_of_the_tutorials_records(weir):
    """Their times name no zone: UTC."""
    result = weir.run_pipeline(pipeline(
        {"in": {"type": "generator", "shape": "ticker", "count": 100, "format": "json",
                "event_time": {"field": ".event_time"}}},
        {"out": {"type": "file", "path": "day=${time:%Y-%m-%d}/", "format": "json", "input": "in"}}),
        "--once")
    assert result.status == OK, result
    assert len(lines_of(weir.folder / "day=2026-01-01")) == 100, result


def test_decoding_that_was_asked_for_finds_bad_records(weir):
    """pass_through: never at a source holds even where the sink writes raw bytes."""
    write_lines(weir.folder / "in.jsonl", MIXED)
    result = weir.run_pipeline(pipeline(
        {"in": {"type": "file", "path": "in.jsonl", "on_error": "skip",
                "format": {"type": "json", "pass_through": "never"}}},
        {"out": {"type": "file", "path": "out.txt", "input": "in"}}), "--once", "--json")
    assert result.status == OK and summary(result)["skipped"] == 2, result
    assert lines_of(weir.folder, "out.txt") == [MIXED[0], MIXED[2], MIXED[4]], result
