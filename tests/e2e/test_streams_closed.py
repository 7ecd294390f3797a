"""Standard streams that are closed, and records that name what no file can be called."""

import json
import os

import pytest

from processes import wait_for
from weir import CONFIG, FAILED, OK, PROGRAM, lines_of, pipeline


def run_records(weir, records, path, **top):
    (weir.folder / "in.jsonl").write_text("".join(json.dumps(r) + "\n" for r in records))
    return weir.run_pipeline(pipeline(
        {"in": {"type": "file", "path": "in.jsonl", "format": "json"}},
        {"out": {"type": "file", "path": path, "input": "in", "format": "json",
                 "on_error": {"dead_letter": "bad"}},
         "bad": {"type": "file", "path": "bad.jsonl", "format": "json"}}, **top), "--once")


def delivered(folder):
    return sorted(json.loads(x)["n"] for x in lines_of(folder))


def test_a_record_whose_folder_name_is_too_long_is_a_dead_letter(weir):
    records = [{"n": n, "k": "k" * 300 if n == 3 else f"k{n}"} for n in range(6)]
    result = run_records(weir, records, "tpo/${.k}/x.jsonl")
    assert result.status == OK, result
    assert delivered(weir.folder / "tpo") == [0, 1, 2, 4, 5]
    [letter] = lines_of(weir.folder, "bad.jsonl")
    assert b"255 bytes" in letter, letter


def closed(streams):
    """weir as a shell starts it with these streams closed, such as ">&-"."""
    return ["sh", "-c", f'exec "$0" "$@" {streams}', PROGRAM]


TO_STDOUT = pipeline({"in": {"type": "generator", "shape": "sequence", "count": 5}},
                     {"out": {"type": "stdout", "input": "in"}})
FROM_STDIN = pipeline({"in": {"type": "stdin"}},
                      {"out": {"type": "file", "path": "out.txt", "input": "in"}})


def test_a_closed_standard_output_is_refused_not_written_to(weir):
    result = weir.run_pipeline(TO_STDOUT, "--once", command=closed(">&-"), seconds=20)
    assert result.status in (FAILED, CONFIG), result
    assert "standard output is closed" in result.err, result


def test_a_closed_standard_input_is_refused_not_read_from(weir):
    result = weir.run_pipeline(FROM_STDIN, "--once", command=closed("<&-"), seconds=20)
    assert result.status in (FAILED, CONFIG), result
    assert "standard input is closed" in result.err, result


def test_a_closed_standard_error_costs_messages_only(weir):
    result = weir.run_pipeline(TO_STDOUT, "--once", command=closed("2>&-"), seconds=20)
    assert result.status == OK, result
    assert len(result.out.splitlines()) == 5, result


@pytest.mark.parametrize("streams,numbers", [("<&-", [0]), (">&-", [1]), ("2>&-", [2]),
                                             ("<&- >&- 2>&-", [0, 1, 2])])
def test_no_file_of_weir_takes_the_number_of_a_closed_stream(weir, streams, numbers):
    document = pipeline({"in": {"type": "generator", "shape": "sequence", "rate": 100}},
                        {"out": {"type": "file", "path": "out.txt", "input": "in"}})
    running = weir.start("run", weir.manifest(document), command=closed(streams))
    wait_for(lambda: list(weir.folder.glob(".out*.pending")), 30, "the sink writes")
    for pid in (running.pid, running.worker()):
        for number in numbers:
            assert os.readlink(f"/proc/{pid}/fd/{number}") == "/dev/null"
    result = running.stop()
    assert result.status == OK, result
    values = [int(x) for x in lines_of(weir.folder, "out.txt")]
    assert values and values == list(range(len(values))), "records and nothing else"
