"""Standard streams that are closed, and records that name what no file can be called."""

import json

from weir import OK, lines_of, pipeline


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
