"""The words of the program: help, exit statuses, and output that a script can read."""

import json
import re
import shutil
import socket

import pytest
import yaml

from processes import wait_for
from weir import CONFIG, FAILED, OK, PLUGINS, ROOT, USAGE, pipeline

pytestmark = pytest.mark.cli

COMMANDS = ["run", "check", "plan", "plugins", "state", "local", "help", "version"]
GOOD = pipeline({"in": {"type": "generator", "shape": "sequence", "count": 10}},
                {"out": {"type": "blackhole", "input": "in"}})


def test_help_names_every_command(weir):
    result = weir.run("--help")
    assert result.status == OK, result
    for command in COMMANDS:
        assert re.search(rf"^\s*(weir )?{command}\b", result.out, re.M), (command, result)


@pytest.mark.parametrize("command", COMMANDS)
def test_help_of_a_command_teaches_by_an_example(weir, command):
    result = weir.run(command, "--help")
    assert result.status == OK, result
    assert "xample" in result.out and re.search(rf"^  weir {command}\b", result.out, re.M), result
    for line in result.out.splitlines():
        assert len(line) <= 100, line


def test_version_is_the_projects(weir):
    result = weir.run("--version")
    assert result.status == OK, result
    version = re.search(r"project\(weir VERSION ([0-9.]+)", (ROOT / "CMakeLists.txt").read_text())[1]
    assert version in result.out


@pytest.mark.parametrize("command", COMMANDS)
def test_help_can_be_asked_for_in_each_way(weir, command):
    wanted = weir.run(command, "--help").out
    for words in (["help", command], ["--help", command], ["-h", command], [command, "-h"]):
        result = weir.run(*words)
        assert result.status == OK and result.out == wanted and not result.err, (words, result)


def test_help_and_version_are_words_too(weir):
    assert weir.run("help").out == weir.run("--help").out == weir.run("-h").out != ""
    assert weir.run("version").out == weir.run("--version").out == weir.run("-V").out != ""
    for words in (["help", "chekc"], ["--help", "chekc"]):
        result = weir.run(*words)
        assert result.status == USAGE and "'check'" in result.err and not result.out, result


@pytest.mark.parametrize("arguments", [
    ["help", "nonsense"], ["help", "run", "fast"], ["version", "nonsense"], ["--version", "nonsense"],
    [], ["nonsense"], ["run"], ["run", "--nonsense", "x.yaml"], ["check"], ["plan"], ["plugins"],
    ["plugins", "nonsense"], ["run", "--for", "soon", "x.yaml"]])
def test_wrong_use_is_status_2_and_says_how(weir, arguments):
    result = weir.run(*arguments)
    assert result.status == USAGE, result
    assert result.err.strip(), "nothing was said"
    assert "help" in result.err or "usage" in result.err.lower(), result


def test_a_misspelt_command_gets_a_suggestion(weir):
    result = weir.run("chekc", "x.yaml")
    assert result.status == USAGE and "check" in result.err, result


def test_check_of_a_good_manifest(weir):
    result = weir.run("check", weir.manifest(GOOD))
    assert result.status == OK, result


def test_check_reports_every_error_with_its_place(weir):
    path = weir.manifest("""\
weir: 1
name: wrong
sources:
  in: {type: generator, shap: ticker, count: many}
sinks:
  out: {type: blakhole, input: inn}
""")
    result = weir.run("check", path)
    assert result.status == CONFIG, result
    for line, word, hint in ((4, "shap", "shape"), (4, "count", ""), (6, "blakhole", "blackhole"),
                             (6, "inn", "in")):
        found = [text for text in result.err.splitlines() if re.search(rf"pipeline\.yaml:{line}:\d+", text)
                 and word in text]
        assert found, (line, word, result)
        assert hint in result.err, (hint, result)


def test_errors_of_plugins_stand_beside_others(weir):
    """What only a plugin knows (here an expression) is told even when something else is wrong."""
    path = weir.manifest("""\
weir: 1
name: wrong
sources:
  in: {type: generator, cuont: 5, format: json}
transforms:
  few: {type: filter, input: in, where: ".a >"}
sinks:
  out: {type: blackhole, input: few}
""")
    result = weir.run("check", path)
    assert result.status == CONFIG, result
    assert re.search(r"pipeline\.yaml:4:\d+: error: .*cuont", result.err), result
    assert re.search(r"pipeline\.yaml:6:\d+: error: few: where, column 5", result.err), result


def test_check_json_can_be_read(weir):
    path = weir.manifest("weir: 1\nname: x\nsources: {in: {type: generator, shap: ticker}}\n"
                         "sinks: {out: {type: blackhole, input: in}}\n")
    result = weir.run("check", "--json", path)
    assert result.status == CONFIG, result
    text = json.dumps(result.json())
    assert '"unknown-key"' in text and "shap" in text, result
    assert weir.run("check", "--json", weir.manifest(GOOD)).json() is not None


def test_check_of_a_manifest_that_is_not_there(weir):
    result = weir.run("check", "missing.yaml")
    assert result.status in (USAGE, CONFIG, FAILED) and "missing.yaml" in result.err, result


def test_options_may_stand_anywhere(weir):
    path = weir.manifest(GOOD)
    first = weir.run("run", "--once", "--json", path)
    last = weir.run("run", path, "--json", "--once", "--from", "none")
    assert first.status == last.status == OK, (first, last)


def test_set_and_properties_fill_references(weir):
    path = weir.manifest("""\
weir: 1
name: refs
properties: {input: {count: 5}}
sources: {in: {type: generator, shape: sequence, count: "${input.count}"}}
sinks: {out: {type: file, path: out.txt, input: in}}
""")
    assert weir.run("run", "--once", path).status == OK
    assert len((weir.folder / "out.txt").read_text().splitlines()) == 5
    assert weir.run("run", "--once", "--from", "none", "--set", "input.count=7", path).status == OK
    properties = weir.folder / "properties.json"
    properties.write_text(json.dumps([{"PropertyGroupId": "input", "PropertyMap": {"count": "9"}}]))
    result = weir.run("run", "--once", "--from", "none", "--properties", properties, path)
    assert result.status == OK, result


def test_a_property_without_value_is_refused(weir):
    result = weir.run("check", "--set", "novalue", weir.manifest(GOOD))
    assert result.status in (USAGE, CONFIG) and "novalue" in result.err, result


def test_a_property_that_nobody_reads_is_refused(weir):
    result = weir.run("check", "--set", "no.such=1", weir.manifest(GOOD))
    assert result.status == CONFIG and "no.such" in result.err, result


def test_an_undefined_reference_is_an_error(weir):
    path = weir.manifest("weir: 1\nname: x\nsources: {in: {type: generator, count: '${no.such}'}}\n"
                         "sinks: {out: {type: blackhole, input: in}}\n")
    result = weir.run("check", path)
    assert result.status == CONFIG and "no.such" in result.err and "pipeline.yaml:3:" in result.err, result


def test_plan_says_what_will_happen(weir):
    path = weir.manifest(pipeline(
        {"in": {"type": "file", "path": "in.jsonl", "format": "json"}},
        {"out": {"type": "file", "path": "out.jsonl", "format": "json", "input": "in"}}))
    result = weir.run("plan", path)
    assert result.status == OK, result
    assert "in" in result.out and "out" in result.out and "pass" in result.out, result
    decoded = weir.run("plan", weir.manifest(pipeline(
        {"in": {"type": "file", "path": "in.jsonl", "format": "json"}},
        {"out": {"type": "file", "path": "out.jsonl", "format": "json", "input": "few"}},
        {"few": {"type": "filter", "where": ".a > 1", "input": "in"}})))
    assert "decode" in decoded.out, decoded


def test_plan_dot_is_a_graph(weir):
    result = weir.run("plan", "--dot", weir.manifest(GOOD))
    assert result.status == OK, result
    assert re.match(r"\s*digraph\b.*\{", result.out) and result.out.rstrip().endswith("}"), result
    assert result.out.count("{") == result.out.count("}") and "->" in result.out, result


def test_plan_json_can_be_read(weir):
    result = weir.run("plan", "--json", weir.manifest(GOOD))
    assert result.status == OK and isinstance(result.json(), dict), result


def test_plugins_list_and_inspect(weir):
    result = weir.run("plugins", "list")
    assert result.status == OK, result
    for word in ("kinesis", "generator", "file", "json", "filter"):
        assert word in result.out, (word, result)
    listed = weir.run("plugins", "list", "--json")
    assert listed.status == OK and "dev.weir.std" in json.dumps(listed.json()), listed
    inspected = weir.run("plugins", "inspect", "std")
    assert inspected.status == OK and "generator" in inspected.out, inspected
    as_json = weir.run("plugins", "inspect", "--json", "std")
    assert as_json.status == OK and as_json.json(), as_json


def test_inspect_of_something_that_is_not_installed(weir):
    result = weir.run("plugins", "inspect", "nonsuch")
    assert result.status == CONFIG and "nonsuch" in result.err, result
    assert "did you mean" not in result.err and "searched:" in result.err, result


@pytest.mark.parametrize("word, meant", [("kinesys", "kinesis"), ("genrator", "generator"), ("stdd", "std"),
                                         ("dev.wier.std", "dev.weir.std")])
def test_inspect_of_a_misspelt_name_gets_a_suggestion(weir, word, meant):
    result = weir.run("plugins", "inspect", word)
    assert result.status == CONFIG and f'did you mean "{meant}"?' in result.err, result


def test_a_plugin_that_another_one_hides_is_listed_as_shadowed(weir):
    first, second = weir.folder / "first", weir.folder / "second"
    for folder in (first, second):
        folder.mkdir()
        shutil.copy(PLUGINS / "std.so", folder)
    env = {"WEIR_PLUGIN_PATH": f"{first}:{second}"}
    entries = weir.run("plugins", "list", "--json", env=env).json()
    std = [e for e in entries if e["note"]["id"] == "dev.weir.std"]
    used = str(first / "std.so")
    assert [(e["path"], e["shadowed_by"]) for e in std] == [
        (used, None), (str(second / "std.so"), used), (str(PLUGINS / "std.so"), used)], std
    result = weir.run("plugins", "list", env=env)
    assert result.status == OK and result.out.count("Generator") == 1, result
    for hidden in (second, PLUGINS):
        assert re.search(rf"shadowed: {re.escape(str(hidden / 'std.so'))} .*\n.* {re.escape(used)} ",
                         result.out), result
    plain = weir.run("plugins", "list", "--json").json()
    assert all(e["shadowed_by"] is None and not e["shadowed_components"] for e in plain), plain


def test_plan_says_how_dead_letters_are_written(weir):
    def plan(**bad):
        path = weir.manifest(pipeline(
            {"in": {"type": "generator", "format": "json", "count": 1}},
            {"out": {"type": "file", "path": "out.jsonl", "format": "json", "input": "in",
                     "on_error": {"dead_letter": "bad"}},
             "bad": {"type": "file", "path": "bad.jsonl", **bad}}))
        stages = weir.run("plan", "--json", path).json()["stages"]
        sink = next(s for s in stages if s["nodes"] == ["bad"])
        text = weir.run("plan", path).out
        return sink["pass_through"], sink["dead_letters"], text[text.index("sink bad"):]
    through, letters, text = plan(format="json")
    assert (through, letters) == (False, "object"), text
    assert "dead letters: encoded" in text and "pass-through" not in text, text
    through, letters, text = plan()
    assert (through, letters) == (True, "value") and "pass-through" in text, text
    # Records of its own beside the letters: each in its way.
    through, letters, text = plan(format="json", input="in")
    assert (through, letters) == (True, "object"), text
    assert "dead letters: encoded" in text and "values: pass-through" in text, text


@pytest.mark.parametrize("end", ["time", "signal"])
def test_a_source_that_was_never_reached_is_a_failure(weir, end):
    """Ended by --for or a signal, too: nothing was read, and a summary must not call that done. What
    another source read by then is delivered all the same."""
    closed = socket.socket()
    closed.bind(("127.0.0.1", 0))  # bound, never listening: nobody else gets the port
    path = weir.manifest(pipeline(
        {"away": {"type": "kinesis", "stream": "s", "region": "us-east-1",
                  "endpoint": f"http://127.0.0.1:{closed.getsockname()[1]}",
                  "credentials": {"provider": "basic", "access_key_id": "a", "secret_access_key": "b"}},
         "here": {"type": "generator", "shape": "sequence", "count": 100}},
        {"out": {"type": "file", "path": "out.txt", "input": ["away", "here"]}}))
    if end == "time":
        result = weir.run("run", "--for", "1s", "--json", path)
        assert result.json()["status"] == "failed" and result.json()["records_out"] == 100, result
    else:
        running = weir.start("run", path)
        wait_for(lambda: "cannot list splits" in running.errors(), 20, "the first attempt has failed")
        result = running.stop(30)
        assert ": failed after" in result.err and "done after" not in result.err, result
    closed.close()
    assert result.status == FAILED, result
    assert "ended before its splits could be listed" in result.text and "connect" in result.text, result
    assert (weir.folder / "out.txt").read_text().split() == [str(n) for n in range(100)], result


@pytest.mark.parametrize("kind", ["truncated", "text", "absent"])
def test_inspect_of_a_file_that_is_no_plugin_names_it(weir, tmp_path, kind):
    path = tmp_path / f"{kind}.so"
    if kind == "truncated":
        path.write_bytes(b"\x7fELF\x02\x01\x01" + bytes(20))
    elif kind == "text":
        path.write_text("this is no shared library\n" * 10)
    result = weir.run("plugins", "inspect", str(path))
    assert result.status == CONFIG, result
    assert result.err.count(str(path)) == 1, result
    assert result.err.startswith(f"weir plugins: {path}: "), result


def test_run_json_counts(weir):
    result = weir.run("run", "--once", "--json", weir.manifest(GOOD))
    assert result.status == OK, result
    assert "10" in json.dumps(result.json()), result


def test_the_guide_shows_the_example_plugin_as_it_is():
    page = (ROOT / "docs" / "guide" / "aws.md").read_text()
    folder = ROOT / "examples" / "plugins" / "kinesis-streams"
    shown = re.findall(r"^```(c|cmake)\n(.*?)^```$", page, re.M | re.S)
    assert {kind for kind, _ in shown} == {"c", "cmake"}
    for kind, code in shown:
        source = folder / {"c": "kinesis_streams.c", "cmake": "CMakeLists.txt"}[kind]
        assert code in source.read_text(), f"{source.name} has no such lines:\n{code}"


@pytest.mark.parametrize("path", sorted((ROOT / "examples").glob("*.yaml")), ids=lambda p: p.name)
def test_examples_are_accepted(weir, path):
    result = weir.run("check", path, env={"AWS_REGION": "us-east-1"})
    assert result.status == OK, result


@pytest.mark.parametrize("page", ["README.md", "docs/guide/running.md", "docs/guide/how-records-flow.md"])
def test_manifests_in_the_documentation_are_accepted(weir, page):
    blocks = re.findall(r"```yaml\n(.*?)```", (ROOT / page).read_text(), re.S)
    whole = [b for b in blocks if re.search(r"^weir: 1", b, re.M)]
    for number, block in enumerate(whole):
        assert yaml.safe_load(block)
        result = weir.run("check", weir.manifest(block, f"block-{number}.yaml"))
        assert result.status == OK, (block, result)
    if page == "README.md":
        assert whole, "the README shows a manifest"
