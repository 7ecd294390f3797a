"""The words of the program: help, exit statuses, and output that a script can read."""

import json
import re

import pytest
import yaml

from weir import CONFIG, FAILED, OK, ROOT, USAGE, pipeline

pytestmark = pytest.mark.cli

COMMANDS = ["run", "check", "plan", "plugins"]
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
    assert "xample" in result.out and f"weir {command} " in result.out, result
    for line in result.out.splitlines():
        assert len(line) <= 100, line


def test_version_is_the_projects(weir):
    result = weir.run("--version")
    assert result.status == OK, result
    version = re.search(r"project\(weir VERSION ([0-9.]+)", (ROOT / "CMakeLists.txt").read_text())[1]
    assert version in result.out


@pytest.mark.parametrize("arguments", [
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
    assert result.status != OK and "nonsuch" in result.err, result


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
