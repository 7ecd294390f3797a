"""`weir state show`: what is in a checkpoint's file, for people and for scripts."""

import pytest

from weir import FAILED, OK, ROOT, USAGE

pytestmark = pytest.mark.cli

FILES = ROOT / "tests" / "fuzz" / "corpus" / "checkpoint"


def test_a_checkpoint_is_shown_for_people(weir):
    result = weir.run("state", "show", str(FILES / "periodic"))
    assert result.status == OK, result
    assert result.out.startswith("checkpoint 41 (periodic) of pipeline clickstream\n"), result
    for words in ["restored from    epoch 3", "created          2026-09-21T14:14:01.000Z by weir 0.1.0",
                  "node clicks: source kinesis, org.example.kinesis 1.2.3, parallelism 2",
                  "shard-0  finished  position 0331323300000007",
                  "shard-2  waiting  no position yet  after shard-0, shard-1",
                  "3 bytes  scope split  version 3  instance 0  split shard-1",
                  "2 committables", "epoch 40  instance 1  version 2  1001 records"]:
        assert words in result.out, (words, result)


def test_a_savepoint_is_shown_as_json(weir):
    result = weir.run("state", "show", str(FILES / "savepoint"), "--json")
    assert result.status == OK, result
    shown = result.json()
    assert (shown["kind"], shown["name"], shown["epoch"]) == ("savepoint", "before-upgrade", 43)
    assert [n["name"] for n in shown["nodes"]] == ["clicks", "enrich", "lake"]
    splits = shown["nodes"][0]["splits"]
    assert [s["state"] for s in splits] == ["finished", "assigned", "waiting"]
    assert splits[2]["parents"] == ["shard-0", "shard-1"]
    assert [b["bytes"] for b in shown["nodes"][0]["blobs"]] == [3, 10, 0]
    assert shown["nodes"][2]["committables"] == []


@pytest.mark.parametrize("name, because", [
    ("cut", "truncated: 500 bytes, it was written with 757"),
    ("flipped", "the state of a node: checksum"),
    ("manifest", "no checkpoint"),
    ("absent", "No such file"),
])
def test_what_cannot_be_read_says_why(weir, name, because):
    result = weir.run("state", "show", str(FILES / name))
    assert result.status == FAILED and result.out == "", result
    assert because in result.err and str(FILES / name) in result.err, result


def test_every_byte_of_a_file_is_guarded(weir, tmp_path):
    """A handful here; tests/unit/checkpoint flips every bit."""
    good = (FILES / "periodic").read_bytes()
    for at in range(0, len(good), 61):
        damaged = tmp_path / "damaged.weir"
        damaged.write_bytes(good[:at] + bytes([good[at] ^ 0x10]) + good[at + 1:])
        assert weir.run("state", "show", str(damaged)).status == FAILED, at


@pytest.mark.parametrize("words", [[], ["show"], ["list"], ["show", "a", "b"], ["show", "a", "--jsn"]])
def test_wrong_words(weir, words):
    result = weir.run("state", *words)
    assert result.status == USAGE and "weir state --help" in result.err, result
