#!/usr/bin/env python3
"""Tests of sdk/cmake/weir_plugin.py: what it refuses, and what it makes.

    test_weir_plugin.py GENERATOR TYPES_H
"""

import copy
import hashlib
import json
import os
import subprocess
import sys
import tempfile
import unittest

GENERATOR, TYPES_H = sys.argv[1:3]

GOOD = {
    "id": "org.example.x", "version": "1.2.3", "name": "x", "summary": "An \"example\" \\ ?? ä",
    "vendor": "Example", "license": "Apache-2.0 OR MIT",
    "components": [{
        "kind": "sink", "name": "out-x", "summary": "Writes", "guarantee": "at_least_once",
        "limits": {"request_records": 10, "request_bytes": "1MiB"},
        "options": [
            {"name": "path", "type": "template", "required": True, "description": "Where | to."},
            {"name": "mode", "type": "enum", "values": ["a", "b"], "default": "a",
             "description": "How."},
            {"name": "roll", "type": "map", "description": "When.",
             "fields": [{"name": "size", "type": "size", "min": "1KiB", "default": "5MiB",
                         "description": "Bytes."}]},
        ],
        "rules": [{"kind": "requires", "when": "mode=b", "keys": ["roll.size"]}],
    }],
}


class Generator(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.out = self.folder.name

    def tearDown(self):
        self.folder.cleanup()

    def run_tool(self, plugin, *more):
        manifest = os.path.join(self.out, "plugin.json")
        with open(manifest, "w", encoding="utf-8") as file:
            file.write(plugin if isinstance(plugin, str) else json.dumps(plugin))
        return subprocess.run(
            [sys.executable, GENERATOR, "generate", "--manifest", manifest, "--name", "x",
             "--out", self.out, "--types-header", TYPES_H, "--platform", "linux-x86_64",
             "--docs", os.path.join(self.out, "x.md"), *more],
            capture_output=True, text=True, check=False)

    def read(self, name):
        with open(os.path.join(self.out, name), encoding="utf-8") as file:
            return file.read()

    def good(self, plugin, *more):
        run = self.run_tool(plugin, *more)
        self.assertEqual(run.returncode, 0, run.stderr)

    def bad(self, text, change, *more):
        """A change of the good plugin is refused, with `text` in the message."""
        plugin = copy.deepcopy(GOOD)
        change(plugin)
        run = self.run_tool(plugin, *more)
        self.assertNotEqual(run.returncode, 0, f"accepted: {text}")
        self.assertIn(text, run.stderr)
        self.assertNotIn("Traceback", run.stderr)

    def bad_option(self, text, **option):
        def change(plugin):
            plugin["components"][0]["options"].append(
                {"name": "o", "description": "x", **option})
        self.bad(text, change)

    def test_products(self):
        self.good(GOOD)
        note = json.loads(self.read("x.note.json"))
        self.assertEqual(note["components"], GOOD["components"])
        self.assertEqual(note["abi"]["major"], 1)
        self.assertEqual(note["abi"]["built_with"], note["abi"]["requires"])
        self.assertEqual(note["abi"]["platform"], "linux-x86_64")
        header = self.read("weir_options_x.h")
        self.assertIn('#define OPT_OUT_X_PATH "path"', header)
        self.assertIn('#define OPT_OUT_X_ROLL_SIZE "roll.size"', header)
        self.assertIn('#define WEIR_PLUGIN_ID "org.example.x"', header)
        page = self.read("x.md")
        self.assertIn("| `path` | template | **required** | Where \\| to. |", page)
        self.assertIn("| `roll.size` | size | `5MiB` | Bytes. At least `1KiB`. |", page)
        self.assertIn("`mode: b` requires `roll.size`", page)

    def test_note_is_the_json(self):
        """The assembled note holds exactly the bytes of the JSON, odd characters and all."""
        self.good(GOOD)
        obj = os.path.join(self.out, "note.o")
        compiler = os.environ.get("CC", "cc")
        subprocess.run([compiler, "-c", os.path.join(self.out, "weir_note_x.c"), "-o", obj],
                       check=True)
        section = os.path.join(self.out, "section")
        subprocess.run(["objcopy", "-O", "binary", "--only-section=.note.weir.plugin",
                        "--set-section-flags", ".note.weir.plugin=alloc", obj, section],
                       check=True)
        with open(section, "rb") as file:
            note = file.read()
        text = self.read("x.note.json").encode("utf-8")
        self.assertEqual(note[:20], (5).to_bytes(4, "little") + len(text).to_bytes(4, "little") +
                         (0x57454952).to_bytes(4, "little") +
                         b"weir\0\0\0\0")
        self.assertEqual(note[20:20 + len(text)], text)
        self.assertLess(len(note), 20 + len(text) + 4)

    def test_unchanged_files_are_left_alone(self):
        self.good(GOOD)
        path = os.path.join(self.out, "weir_note_x.c")
        os.utime(path, (1, 1))
        self.good(GOOD)
        self.assertEqual(os.stat(path).st_mtime, 1)

    def test_json(self):
        for text, expected in (("{", "not JSON"), ('{"id": 1, "id": 2}', "stands twice"),
                               ("[]", "expected an object")):
            run = self.run_tool(text)
            self.assertNotEqual(run.returncode, 0)
            self.assertIn(expected, run.stderr)
            self.assertNotIn("Traceback", run.stderr)

    def test_identity(self):
        for key in ("id", "version", "name", "summary", "vendor", "license", "components"):
            self.bad(f'"{key}"', lambda p, k=key: p.pop(k))
        self.bad("reverse domain", lambda p: p.update(id="X"))
        self.bad("semantic version", lambda p: p.update(version="1"))
        self.bad("SPDX", lambda p: p.update(license="do what you want!"))
        self.bad('unknown key "licence"; did you mean "license"', lambda p: p.update(licence="MIT"))
        self.bad("control characters", lambda p: p.update(summary="a\nb"))

    def test_all_problems_at_once(self):
        plugin = copy.deepcopy(GOOD)
        plugin.pop("vendor")
        plugin["components"][0]["kind"] = "sunk"
        run = self.run_tool(plugin)
        self.assertIn('"vendor"', run.stderr)
        self.assertIn('did you mean "sink"', run.stderr)

    def test_components(self):
        def component(**change):
            return lambda p: p["components"][0].update(change)
        self.bad("unknown capability", component(capabilities=["sings"]))
        self.bad("guarantee", component(guarantee="always"))
        self.bad("only a sink", component(kind="source"))
        self.bad("unknown metadata column", component(needs={"meta": ["weir.colour"]}))
        self.bad("below 2^32", component(limits={"in_flight": -1}))
        self.bad("a size such as", component(limits={"request_bytes": "many"}))
        self.bad("service_interval", component(service_interval="soon"))
        self.bad("end in a dot", component(prefixes=["properties"]))
        for key in ("state", "committables"):
            self.bad("around version", component(**{key: {"version": 2, "reads": [3, 4]}}))
            self.bad("around version", component(**{key: {"version": 2, "reads": [0, 2]}}))
            self.bad("around version", component(**{key: {"version": 2, "reads": [2]}}))
            self.bad("around version", component(**{key: {"version": 2, "reads": [1, 2**32]}}))
            self.bad("from 1 to", component(**{key: {"version": 0}}))
            self.bad("from 1 to", component(**{key: {"version": True}}))
            self.bad("from 1 to", component(**{key: {"reads": [1, 1]}}))
            self.bad("did you mean", component(**{key: {"version": 1, "read": [1, 1]}}))
            self.bad("expected an object", component(**{key: 1}))
        self.bad("expected one of stdout, stderr", component(writes_to="stdin"))
        self.bad("only a sink writes", component(kind="source", limits={}, writes_to="stdout"))
        self.bad("only a source has splits", component(splits={"version": 1}))
        self.bad("only a sink has committables",
                 component(kind="source", limits={}, committables={"version": 1}))
        self.bad("a second sink", lambda p: p["components"].append(p["components"][0]))

    def test_references(self):
        good = copy.deepcopy(GOOD)
        good["components"] = [{"kind": "reference", "name": "vault", "summary": "Secrets",
                               "form": "PATH:FIELD", "pattern": "^[a-z]+$"}]
        self.good(good)
        self.assertIn("Written `${vault:PATH:FIELD}`", self.read("x.md"))

        def reference(**change):
            def apply(plugin):
                plugin["components"] = copy.deepcopy(good["components"])
                plugin["components"][0].update(change)
            return apply
        self.bad('"form"', reference(form=""))
        self.bad('"pattern"', reference(pattern="[a-z]+"))
        self.bad("is a word of manifests already", reference(name="file"))
        self.bad('a reference has no "options"',
                 reference(options=[{"name": "a", "type": "string", "description": "d"}]))
        self.bad('a reference has no "guarantee"', reference(guarantee="at_least_once"))
        self.bad('only a reference has "form"',
                 lambda p: p["components"][0].update(form="A"))

    def test_options(self):
        self.bad_option("expected one of string", type="strng")
        self.bad_option('unknown key "requierd"', type="int", requierd=True)
        self.bad_option("meaningless", type="int", required=True, default=1)
        self.bad_option("an enum needs", type="enum")
        self.bad_option("is none of its values", type="enum", values=["a"], default="b")
        self.bad_option("is below", type="duration", min="1s", default="10ms")
        self.bad_option("is above", type="size", max="1KiB", default="1MiB")
        self.bad_option("is above", type="int", min=2, max=1)
        self.bad_option("no meaning for the type string", type="string", min=1)
        self.bad_option("a whole number", type="int", default=True)
        self.bad_option("true or false", type="bool", default="yes")
        self.bad_option("must not have a default", type="secret", default="hunter2")
        self.bad_option("no option \"gone\"", type="int", deprecated=True, replaced_by="gone")
        self.bad_option("with fields", type="map", fields_of="path")
        self.bad_option("is for templates", type="int", groups_requests=True)
        self.bad_option("maps without fields", type="string", items="template")
        self.bad("stands twice", lambda p: p["components"][0]["options"].append(
            {"name": "path", "type": "int", "description": "x"}))
        self.bad("word of the core", lambda p: p["components"][0]["options"].append(
            {"name": "retry", "type": "int", "description": "x"}))
        self.bad("share the macro", lambda p: p["components"][0]["options"].append(
            {"name": "roll_size", "type": "int", "description": "x"}))

    def test_rules(self):
        def rule(**change):
            return lambda p: p["components"][0]["rules"].append(change)
        self.bad('no option "rol.size"; did you mean "roll.size"',
                 rule(kind="requires", when="mode", keys=["rol.size"]))
        self.bad("is never", rule(kind="conflicts", when="mode=z", keys=["path"]))
        self.bad('"when" is missing', rule(kind="requires", keys=["path"]))
        self.bad("always so", rule(kind="one_of", keys=["path"]))

    def test_groups(self):
        os.makedirs(os.path.join(self.out, "options"))
        with open(os.path.join(self.out, "options", "aws.json"), "w", encoding="utf-8") as file:
            json.dump({"options": [
                {"name": "region", "type": "string", "description": "Where."},
                {"name": "mode", "type": "int", "description": "Not this one."}]}, file)
        plugin = copy.deepcopy(GOOD)
        plugin["components"][0]["include"] = ["aws"]
        self.good(plugin, "--option-groups", self.out)
        component = json.loads(self.read("x.note.json"))["components"][0]
        self.assertNotIn("include", component)
        self.assertEqual([o["name"] for o in component["options"]],
                         ["path", "mode", "roll", "region"])
        self.assertEqual(component["options"][3]["group"], "aws")
        self.bad("was not found; tried", lambda p: p["components"][0].update(include=["gcp"]),
                 "--option-groups", self.out)
        self.bad("OPTION_GROUPS ${WEIR_OPTION_GROUPS}", lambda p: p["components"][0].update(include=["aws"]))

    def test_abi(self):
        self.bad("newer than the headers", lambda p: p.update(abi={"requires": "7.0"}))
        self.bad("leave it out", lambda p: p.update(abi={"built_with": "0.1"}))
        self.bad("expected 1", lambda p: p.update(abi={"major": 2}))

    def test_sidecar(self):
        self.good(GOOD)
        so = os.path.join(self.out, "x.so")
        with open(so, "wb") as file:
            file.write(b"not really")
        subprocess.run([sys.executable, GENERATOR, "sidecar", "--note",
                        os.path.join(self.out, "x.note.json"), "--so", so, "--out",
                        os.path.join(self.out, "x.plugin.json")], check=True)
        side = json.loads(self.read("x.plugin.json"))
        self.assertEqual(side.pop("sha256"), hashlib.sha256(b"not really").hexdigest())
        self.assertEqual(side, json.loads(self.read("x.note.json")))

    def test_compare(self):
        one, two = os.path.join(self.out, "one"), os.path.join(self.out, "two")
        os.makedirs(one)
        os.makedirs(two)

        def compare():
            return subprocess.run([sys.executable, GENERATOR, "compare", "--committed", one,
                                   "--generated", two], capture_output=True, text=True,
                                  check=False)
        for folder in (one, two):
            with open(os.path.join(folder, "x.md"), "w", encoding="utf-8") as file:
                file.write("same\n")
        self.assertEqual(compare().returncode, 0)
        with open(os.path.join(two, "y.md"), "w", encoding="utf-8") as file:
            file.write("new\n")
        run = compare()
        self.assertNotEqual(run.returncode, 0)
        self.assertIn("+new", run.stdout)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
