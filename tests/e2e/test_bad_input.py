"""Plugins that are not what they say, files that cannot be read, disks that are full."""

import os
import re
import resource
import shutil
import signal
import struct
import subprocess
from pathlib import Path

import pytest

from weir import CONFIG, FAILED, OK, PLUGINS, PROGRAM, lines_of, pipeline, summary

SIMPLE = pipeline({"in": {"type": "generator", "shape": "sequence", "count": 10}},
                  {"out": {"type": "file", "path": "out.txt", "input": "in"}})


class PluginCopy:
    """A copy of a plugin whose ELF note can be damaged."""

    def __init__(self, folder, name="std"):
        folder.mkdir()
        self.path = folder / f"{name}.so"
        shutil.copy(PLUGINS / f"{name}.so", self.path)
        self.data = bytearray(self.path.read_bytes())

    def note(self):
        """Offset of the note's header: sizes of name and descriptor, type, "weir", descriptor."""
        at = self.data.find(struct.pack("<I", 0x57454952) + b"weir\0")
        assert at >= 8, "the plugin carries a note"
        return at - 8

    def replace(self, old, new):
        at = self.data.index(old, self.note())
        assert len(old) == len(new), "the note keeps its size"
        self.data[at:at + len(old)] = new

    def save(self):
        self.path.write_bytes(self.data)


def run_with(weir, copy, manifest=SIMPLE, env=None):
    copy.save()
    document = {**manifest, "plugins": {"std": {"path": str(copy.path)}}}
    return weir.run_pipeline(document, "--once", env=env)


def test_a_copy_that_is_sound_runs(weir):
    result = run_with(weir, PluginCopy(weir.folder / "p"))
    assert result.status == OK, result
    assert len(lines_of(weir.folder, "out.txt")) == 10


def test_a_component_that_no_plugin_has(weir):
    result = weir.run("check", weir.manifest(pipeline(
        {"in": {"type": "nonsuch"}}, {"out": {"type": "blackhole", "input": "in"}})))
    assert result.status == CONFIG, result
    assert "nonsuch" in result.err and "pipeline.yaml:" in result.err, result


def test_a_plugin_file_that_is_missing_names_the_places(weir):
    document = {**SIMPLE, "plugins": {"std": {"path": "nowhere/std.so"}}}
    result = weir.run("check", weir.manifest(document))
    assert result.status == CONFIG and "nowhere/std.so" in result.err, result


def test_another_abi_major_names_both_versions(weir):
    copy = PluginCopy(weir.folder / "p")
    start = copy.note()
    for old in (b'"major":1', b'"major": 1'):
        if copy.data.find(old, start) >= 0:
            copy.replace(old, old[:-1] + b"7")
    result = run_with(weir, copy)
    assert result.status == CONFIG, result
    assert "7" in result.err and "1" in result.err and "abi" in result.err.lower(), result
    assert not (weir.folder / "out.txt").exists()


@pytest.mark.parametrize("share", [0.0, 0.01, 0.3, 0.9])
def test_a_truncated_plugin(weir, share):
    copy = PluginCopy(weir.folder / "p")
    del copy.data[int(len(copy.data) * share):]
    result = run_with(weir, copy)
    assert result.status == CONFIG, result
    assert "std.so" in result.err, result


@pytest.mark.parametrize("size", [0, 1, 0x7FFFFFFF, 0xFFFFFFFF])
def test_a_note_that_lies_about_its_size(weir, size):
    copy = PluginCopy(weir.folder / "p")
    at = copy.note() + 4
    copy.data[at:at + 4] = struct.pack("<I", size)
    result = run_with(weir, copy)
    assert result.status == CONFIG, result
    assert "std.so" in result.err and "note" in result.err, result


def test_a_note_that_is_not_json(weir):
    copy = PluginCopy(weir.folder / "p")
    at = copy.data.index(b'"components"', copy.note())
    copy.data[at:at + 12] = b"\xff" * 12
    result = run_with(weir, copy)
    assert result.status == CONFIG and "std.so" in result.err, result


def test_a_library_that_is_no_plugin(weir):
    folder = weir.folder / "p"
    folder.mkdir()
    library = next(p for p in (Path("/lib/x86_64-linux-gnu/libm.so.6"), Path("/usr/lib/libm.so.6"),
                               Path("/lib/aarch64-linux-gnu/libm.so.6")) if p.exists())
    shutil.copy(library, folder / "std.so")
    document = {**SIMPLE, "plugins": {"std": {"path": str(folder / "std.so")}}}
    result = weir.run("check", weir.manifest(document))
    assert result.status == CONFIG and "std.so" in result.err, result


def test_a_damaged_plugin_hurts_no_other(weir):
    copy = PluginCopy(weir.folder / "p", "kinesis")
    del copy.data[len(copy.data) // 2:]
    copy.save()
    result = weir.run_pipeline(SIMPLE, "--once", env={"WEIR_PLUGIN_PATH": str(copy.path.parent)})
    assert result.status == OK, result


def test_a_wrong_digest_is_refused(weir):
    copy = PluginCopy(weir.folder / "p")
    copy.save()
    document = {**SIMPLE, "plugins": {"std": {"path": str(copy.path), "sha256": "0" * 64}}}
    result = weir.run("check", weir.manifest(document))
    assert result.status == CONFIG and "sha256" in result.err.lower(), result


# ---- input and output ----


def test_input_that_is_not_there(weir):
    result = weir.run_pipeline(pipeline(
        {"in": {"type": "file", "path": "missing.txt"}},
        {"out": {"type": "file", "path": "out.txt", "input": "in"}}), "--once")
    assert result.status in (FAILED, CONFIG), result
    assert "missing.txt" in result.err, result


NOBODY = 65534


def for_others(weir):
    """A program that NOBODY can start, and a folder where NOBODY can work; skips where that cannot be."""
    try:
        subprocess.run(["true"], user=NOBODY, check=True)
    except (OSError, subprocess.CalledProcessError) as cause:
        pytest.skip(f"root reads every file, and may not become another user here: {cause}")
    for folder in [weir.folder, *weir.folder.parents]:
        if folder.stat().st_mode & 0o001:
            continue
        if not str(folder).startswith("/tmp/"):
            pytest.skip(f"root reads every file, and another user cannot enter {folder}")
        folder.chmod(0o755)
    weir.folder.chmod(0o777)
    if all(p.stat().st_mode & 0o001 for p in PROGRAM.parents):
        return PROGRAM
    copy = weir.folder / "installed"  # the build is in somebody's home
    shutil.copytree(PLUGINS, copy / PLUGINS.relative_to(PROGRAM.parents[1]))
    (copy / "bin").mkdir()
    return shutil.copy(PROGRAM, copy / "bin")


def test_input_that_may_not_be_read(weir):
    secret = weir.folder / "secret.txt"
    secret.write_text("a\nb\n")
    secret.chmod(0)
    options = {}
    if os.access(secret, os.R_OK):  # root: run as somebody who may not
        options = {"command": [for_others(weir)], "user": NOBODY}
    result = weir.run_pipeline(pipeline(
        {"in": {"type": "file", "path": "secret.txt"}},
        {"out": {"type": "file", "path": "out.txt", "input": "in"}}), "--once", **options)
    assert result.status == CONFIG, result
    assert "secret.txt" in result.err and "ermission denied" in result.err, result
    assert not (weir.folder / "out.txt").exists()


@pytest.mark.parametrize("kind, said", [("circle", "symbolic links"), ("dangling", "leads nowhere"),
                                        ("dangling-match", "leads nowhere"),
                                        ("through-a-file", "Not a directory")])
def test_input_that_nobody_can_read(weir, kind, said):
    """Whoever runs the tests, root or not."""
    path = weir.folder / "in.txt"
    name = "in.txt"
    if kind == "circle":
        path.symlink_to("in.txt")
    elif kind.startswith("dangling"):
        path.symlink_to("nowhere")
        name = "in.*" if kind == "dangling-match" else name
    else:
        path.write_text("a file\n")
        name = "in.txt/inner"
    result = weir.run_pipeline(pipeline(
        {"in": {"type": "file", "path": name}},
        {"out": {"type": "file", "path": "out.txt", "input": "in"}}), "--once")
    assert result.status == CONFIG, result
    assert "in.txt" in result.err and said in result.err, result
    assert not (weir.folder / "out.txt").exists()


def test_input_whose_reading_fails(weir):
    """Opened like any file, but the first read is an I/O error, for root as well."""
    result = weir.run_pipeline(pipeline(
        {"in": {"type": "file", "path": "/proc/self/mem",
                "retry": {"attempts": 2, "base": "1ms", "max": "2ms"}}},
        {"out": {"type": "file", "path": "out.txt", "input": "in"}}), "--once")
    assert result.status == FAILED, result
    assert "/proc/self/mem" in result.err and "nput/output error" in result.err, result


def test_a_folder_as_input(weir):
    (weir.folder / "folder").mkdir()
    result = weir.run_pipeline(pipeline(
        {"in": {"type": "file", "path": "folder"}},
        {"out": {"type": "file", "path": "out.txt", "input": "in"}}), "--once")
    assert result.status in (FAILED, CONFIG), result
    assert "folder" in result.err, result


def mount_scope():
    """The command in front of one that may mount; skips where nothing can be mounted."""
    scope = ["unshare", "-m"] if os.geteuid() == 0 else ["unshare", "-rm"]
    try:
        probe = subprocess.run([*scope, "mount", "-t", "tmpfs", "none", "/mnt"], capture_output=True, text=True)
    except OSError as cause:
        pytest.skip(f"a full tmpfs needs unshare(1): {cause}; other full disks are tested")
    if probe.returncode != 0:
        pytest.skip(f"a full tmpfs needs the right to mount ({' '.join(scope)} mount): "
                    f"{probe.stderr.strip()}; other full disks are tested")
    return scope


def tmpfs_command(folder, size, copy_to):
    """Runs weir with a small file system at `folder`, then copies what is there outside.

    The mount lives in a name space of its own and goes with it.
    """
    script = ('mount -t tmpfs -o size="$1" none "$2" || exit 99; where=$2 to=$3; shift 3; '
              '"$@"; status=$?; cp -a "$where/." "$to/"; exit $status')
    return [*mount_scope(), "sh", "-c", script, "sh", size, folder, copy_to, PROGRAM]


def test_a_full_disk(weir):
    lines = many_lines(weir)
    disk, kept = weir.folder / "disk", weir.folder / "kept"
    disk.mkdir()
    kept.mkdir()
    document = pipeline(
        {"in": {"type": "file", "path": "in.txt"}},
        {"out": {"type": "file", "path": f"{disk}/out.txt", "input": "in",
                 "retry": {"attempts": 3, "base": "10ms", "max": "20ms"}}})
    result = weir.run_pipeline(document, "--once", command=tmpfs_command(disk, "1m", kept))
    assert result.status == FAILED, result
    assert "o space left" in result.err and "out.txt" in result.err, result
    # What reached the disk is the beginning of the input: no hole, nothing altered.
    [path] = [p for p in kept.rglob("*") if p.is_file()]
    got = path.read_bytes()
    whole = b"".join(x + b"\n" for x in lines)
    assert 0 < len(got) < len(whole) and whole.startswith(got)
    # And the input is not forgotten: with room, a second run delivers all of it.
    again = pipeline({"in": {"type": "file", "path": "in.txt"}},
                     {"out": {"type": "file", "path": "all.txt", "input": "in"}})
    assert weir.run_pipeline(again, "--once", "--from", "none").status == OK
    assert lines_of(weir.folder, "all.txt") == lines


def many_lines(weir):
    lines = [b"line-%06d-%s" % (i, b"x" * 80) for i in range(20000)]
    (weir.folder / "in.txt").write_bytes(b"".join(x + b"\n" for x in lines))
    return lines


@pytest.mark.parametrize("on_error", ["fail", "skip", "dead_letter"])
def test_a_device_that_is_always_full(weir, on_error):
    """A full disk that needs no rights: after the retries each on_error does what it says."""
    lines = many_lines(weir)[:3]
    (weir.folder / "in.txt").write_bytes(b"".join(x + b"\n" for x in lines))
    (weir.folder / "out.txt").symlink_to("/dev/full")
    sinks = {"out": {"type": "file", "path": "out.txt", "input": "in", "on_error": on_error,
                     "retry": {"attempts": 3, "base": "1ms", "max": "2ms"}}}
    if on_error == "dead_letter":
        sinks["out"]["on_error"] = {"dead_letter": "bad"}
        sinks["bad"] = {"type": "file", "path": "bad.txt"}
    result = weir.run_pipeline(pipeline({"in": {"type": "file", "path": "in.txt"}}, sinks),
                               "--once", "--json")
    assert result.status == (FAILED if on_error == "fail" else OK), result
    assert "o space left" in result.err and "free space" in result.err, result
    if on_error == "skip":
        assert summary(result)["skipped"] == len(lines), result
    if on_error == "dead_letter":
        assert lines_of(weir.folder, "bad.txt") == lines, result


def limited():
    """In the child: no file above 1 MiB, and a refusal instead of a signal."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20))


@pytest.mark.parametrize("roll", [None, "512KiB"])
def test_files_that_may_not_grow(weir, roll):
    """The limit falls within a record; it does not pass by waiting, but rolling keeps below it."""
    lines = many_lines(weir)
    whole = b"".join(x + b"\n" for x in lines)
    sink = {"type": "file", "path": "out/a.txt", "input": "in"}
    if roll:
        sink["roll"] = {"size": roll}
    result = weir.run_pipeline(pipeline({"in": {"type": "file", "path": "in.txt"}}, {"out": sink}), "--once", preexec_fn=limited)
    if roll:
        assert result.status == OK, result
        assert lines_of(weir.folder / "out") == lines and len(list((weir.folder / "out").iterdir())) == 4
        return
    assert result.status == FAILED, result
    assert "ile too large" in result.err and "roll.size" in result.err, result
    [path] = (weir.folder / "out").iterdir()
    got = path.read_bytes()
    assert 0 < len(got) <= 1 << 20 and whole.startswith(got) and got.endswith(b"\n"), len(got)


def small_record_limit(weir):
    """A copy of std.so whose file sink takes records of up to 1 KiB."""
    copy = PluginCopy(weir.folder / "p")
    found = re.compile(rb'("record_bytes": ?)(\d+)').search(bytes(copy.data), copy.note())
    assert found, "the file sink declares how large a record may be"
    copy.data[found.start(2):found.end(2)] = b"1024".ljust(len(found[2]))
    copy.save()
    return copy


@pytest.mark.parametrize("on_error", ["fail", "skip", "dead_letter"])
def test_a_record_too_large_for_the_sink(weir, on_error):
    copy = small_record_limit(weir)
    small, large = [b"small-%d" % i for i in range(50)], b"L" * 5000
    (weir.folder / "in.txt").write_bytes(b"\n".join(small[:25] + [large] + small[25:]) + b"\n")
    sink = {"type": "file", "path": "out.txt", "input": "in", "on_error": on_error}
    sinks = {"out": sink}
    if on_error == "dead_letter":
        sink["on_error"] = {"dead_letter": "errors"}
        sinks["errors"] = {"type": "stdout", "format": "json"}
    document = pipeline({"in": {"type": "file", "path": "in.txt"}}, sinks)
    result = run_with(weir, copy, document)
    if on_error == "fail":
        assert result.status == FAILED, result
        assert "5000" in result.err or "too large" in result.err or "1024" in result.err, result
        assert set(lines_of(weir.folder, "out.txt")) <= set(small)
    else:
        assert result.status == OK, result
        assert lines_of(weir.folder, "out.txt") == small
    if on_error == "dead_letter":
        assert "LLLL" in result.out or "TExM" in result.out, result  # as text or as base64


def test_standard_output_that_is_closed(weir):
    read_end, write_end = os.pipe()
    os.close(read_end)
    running = weir.start("run", "--once", weir.manifest(pipeline(
        {"in": {"type": "generator", "shape": "sequence", "count": 100000}},
        {"out": {"type": "stdout", "input": "in"}})), stdout=write_end)
    os.close(write_end)
    result = running.wait()
    assert result.status == FAILED and "standard output" in result.err, result


def test_yaml_that_cannot_be_read(weir):
    result = weir.run("check", weir.manifest("weir: 1\nname: [unclosed\n"))
    assert result.status == CONFIG and "pipeline.yaml:" in result.err, result


def test_an_alias_bomb_ends_quickly(weir):
    text = "weir: 1\nname: x\na0: &a0 [x, x, x, x, x, x, x, x, x]\n"
    for i in range(1, 12):
        text += f"a{i}: &a{i} [" + ", ".join([f"*a{i - 1}"] * 9) + "]\n"
    result = weir.run("check", weir.manifest(text), seconds=10)
    assert result.status == CONFIG and result.err, result


def test_a_manifest_of_ten_thousand_levels(weir):
    result = weir.run("check", weir.manifest("weir: 1\nname: x\nsources: " + "[" * 10000 + "]" * 10000 + "\n"),
                      seconds=10)
    assert result.status == CONFIG and result.err, result
