"""Names and folders of files: what a record may choose, what numbers mean, what guides promise."""

import json
import os
import re

import pytest
import yaml

from weir import CONFIG, FAILED, OK, ROOT, lines_of, pipeline, summary


def routed(weir, users, path, on_error=None, **sinks):
    """A run that sends one record for each of `users` to the path made from its name."""
    (weir.folder / "in.jsonl").write_text(
        "".join(json.dumps({"n": n, "u": u}) + "\n" for n, u in enumerate(users)))
    out = {"type": "file", "input": "in", "path": path, "format": "json"}
    if on_error:
        out["on_error"] = on_error
    return weir.run_pipeline(pipeline(
        {"in": {"type": "file", "path": "in.jsonl", "format": "json"}}, {"out": out, **sinks}),
        "--once", "--json", "--from", "none")


def numbers(folder):
    return sorted(json.loads(x)["n"] for x in lines_of(folder))


def test_a_record_whose_path_leads_through_a_file_costs_itself_only(weir):
    out = weir.folder / "out"
    (out / "d").mkdir(parents=True)
    (out / "loop").symlink_to("loop")
    assert routed(weir, ["x"], "out/${.u}").status == OK
    assert (out / "x").is_file()
    users = ["a", "x/y", "b", "d", "c", "loop/z", "e", "k" * 250]
    result = routed(weir, users, "out/${.u}", {"dead_letter": "bad"},
                    bad={"type": "file", "path": "bad.jsonl", "format": "json"})
    assert result.status == OK, result
    assert {p.name for p in out.iterdir() if p.is_file()} == {"x", "a", "b", "c", "e"}, result
    letters = [json.loads(x) for x in lines_of(weir.folder, "bad.jsonl")]
    assert sorted(json.loads(x["value"])["n"] for x in letters) == [1, 3, 5, 7], letters
    reasons = {json.loads(x["value"])["n"]: x["error"] for x in letters}
    assert "through a file" in reasons[1] and "folder" in reasons[3], reasons
    assert "circles" in reasons[5] and "longer" in reasons[7], reasons
    assert all(x["code"] == "data" for x in letters), letters


@pytest.mark.parametrize("on_error, status", [("skip", OK), ("fail", FAILED)])
def test_a_path_through_a_file_obeys_on_error(weir, on_error, status):
    (weir.folder / "out").mkdir()
    (weir.folder / "out" / "x").write_text("there before\n")
    result = routed(weir, ["x/y", "a"], "out/${.u}", on_error)
    assert result.status == status, result
    if status == OK:
        assert summary(result)["skipped"] == 1, result
        assert (weir.folder / "out" / "a").exists(), result
    assert (weir.folder / "out" / "x").read_text() == "there before\n"


@pytest.mark.parametrize("path", ["out/f/x.jsonl", "out/f/${.u}"])
def test_a_file_where_the_manifest_names_a_folder_is_fatal(weir, path):
    """Every record would fail alike: skipping them all would hide the mistake."""
    (weir.folder / "out").mkdir()
    (weir.folder / "out" / "f").write_text("a file\n")
    result = routed(weir, ["a", "b"], path, "skip")
    assert result.status == CONFIG, result
    assert "Not a directory" in result.err and f"{weir.folder}/out/f" in result.err, result


def test_hidden_folders_are_the_manifests_to_make(weir):
    result = routed(weir, ["bob", "../x", ".ssh", "a/.cache/b", "amy"], "out/${.u}/.cache/x.jsonl", "skip")
    assert result.status == OK, result
    assert summary(result)["skipped"] == 3, result
    out = weir.folder / "out"
    assert sorted(p.name for p in out.iterdir()) == ["amy", "bob"], result
    assert numbers(out / "bob" / ".cache") == [0] and numbers(out / "amy" / ".cache") == [4]


def test_runs_number_their_files(weir):
    """What docs/guide/files.md promises of names."""
    def once(path, **more):
        result = weir.run_pipeline(pipeline(
            {"in": {"type": "generator", "shape": "sequence", "count": 300, "size": "10"}},
            {"out": {"type": "file", "path": path, "input": "in", **more}}), "--once", "--from", "none")
        assert result.status == OK, result

    def there(folder):
        return sorted(p.name for p in (weir.folder / folder).iterdir())

    for _ in range(3):
        once("plain/orders.jsonl")
    assert there("plain") == ["orders-000001.jsonl", "orders-000002.jsonl", "orders.jsonl"]
    for _ in range(2):
        once("rolled/orders.jsonl", roll={"size": "2KiB"})
    assert there("rolled") == [f"orders-{n:06}.jsonl" for n in range(1, 5)]
    once("made/")
    [name] = there("made")
    assert re.fullmatch(r"part-\d{8}T\d{9}Z-000001", name), name
    once("tasks/orders.jsonl", parallelism=2)
    assert all(re.fullmatch(r"orders-t[01]\.jsonl", x) for x in there("tasks")), there("tasks")


def test_paths_are_relative_to_the_manifest(weir):
    jobs, elsewhere = weir.folder / "jobs", weir.folder / "elsewhere"
    jobs.mkdir()
    elsewhere.mkdir()
    (jobs / "in.txt").write_text("one\n")
    manifest = weir.manifest(pipeline(
        {"in": {"type": "file", "path": "in.txt"}},
        {"out": {"type": "file", "path": "out/a.txt", "input": "in"}}), "jobs/pipeline.yaml")
    for start in (elsewhere, jobs):
        result = weir.run("run", "--once", "--from", "none", os.path.relpath(manifest, start), cwd=start)
        assert result.status == OK, result
    assert sorted(p.name for p in (jobs / "out").iterdir()) == ["a-000001.txt", "a.txt"]
    assert not any(elsewhere.iterdir())


# ---- the guide ----

GUIDE = sorted((ROOT / "docs" / "guide").glob("*.md"))
FRAGMENT = "# part of a manifest\n"


def blocks(page):
    return re.findall(r"```yaml\n(.*?)```", page.read_text(), re.S)


@pytest.mark.parametrize("page", GUIDE, ids=lambda p: p.name)
def test_manifests_of_the_guide_are_whole_or_say_that_they_are_not(weir, page):
    for number, block in enumerate(blocks(page)):
        document = yaml.safe_load(block)
        if not block.startswith(FRAGMENT):
            assert block.startswith("weir: 1"), f"neither whole nor marked as a part:\n{block}"
            result = weir.run("check", weir.manifest(block, f"whole-{number}.yaml"))
            assert result.status == OK, (block, result)
            continue
        # A part has no neighbours, but all its words exist.
        base = {"weir": 1, "name": "part", "sources": {"orders": {"type": "generator", "format": "json"}},
                "sinks": {"out": {"type": "blackhole",
                                  "inputs": [*document.get("sources", ["orders"]),
                                             *document.get("transforms", [])]}}}
        result = weir.run("check", weir.manifest({**base, **document}, f"part-{number}.yaml"))
        if "acme" not in block:  # a plugin that is nowhere
            assert result.status == OK, (block, result)
        assert "[unknown-" not in result.err, (block, result)


def test_the_manifest_of_the_guide_is_the_example(weir):
    def words(text):
        document = yaml.safe_load(text)
        for sink in document["sinks"].values():
            sink["path"] = sink["path"].replace("/tmp/ticks/", "").replace("out/", "")
        document["sources"]["ticks"].pop("rate", None)
        return document

    example = (ROOT / "examples" / "ticks.yaml").read_text()
    assert words(blocks(ROOT / "docs" / "guide" / "manifest.md")[0]) == words(example)
    result = weir.run_pipeline(example.replace("/tmp/ticks", str(weir.folder / "ticks"))
                               .replace("count: 100000", "count: 1000"), "--once", "--json")
    assert result.status == OK, result
    large = [json.loads(x) for x in lines_of(weir.folder / "ticks" / "dt=2026-01-01")]
    assert 300 < len(large) < 700 and all(x["price"] > 50 for x in large), result
