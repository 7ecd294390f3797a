#!/usr/bin/env python3
"""Makes everything that a plugin's self-description turns into.

    weir_plugin.py generate   plugin.json -> note (assembly in C), option header, options page
    weir_plugin.py sidecar    note + finished .so -> NAME.plugin.json with its sha256
    weir_plugin.py compare    fails if the committed options pages differ from the generated ones

The format is docs/reference/plugin-json.md. Unknown keys are errors: a misspelt "requierd" that
is silently ignored would surface as a wrong manifest months later. Standard library only.
"""

import argparse
import difflib
import hashlib
import json
import os
import re
import sys

KINDS = ("source", "sink", "serde", "transform", "reference")
CAPABILITIES = ("buffered", "bounded", "replayable", "stream_format", "idempotent", "needs_tape",
                "keyed")
GUARANTEES = ("at_most_once", "at_least_once", "exactly_once")
STABILITIES = ("stable", "beta", "experimental", "deprecated")
TYPES = ("string", "int", "float", "bool", "duration", "size", "enum", "list", "map", "secret",
         "template", "time")
FRAMINGS = ("lines", "none", "length")
STREAMS = ("stdout", "stderr")
META = ("weir.stream", "weir.split", "weir.position", "weir.partition_key",
        "weir.explicit_hash_key", "weir.sub_sequence", "weir.arrival_time", "weir.topic",
        "weir.partition", "weir.offset", "weir.object")
RULES = ("requires", "conflicts", "one_of")

# Words of a node that are the core's; no option may take them.
RESERVED = ("type", "input", "inputs", "format", "parallelism", "exchange", "event_time",
            "on_error", "batch", "retry", "delivery", "isolation")

PLUGIN_KEYS = ("id", "version", "name", "summary", "vendor", "license", "homepage", "abi",
               "components")
ABI_KEYS = ("major", "built_with", "requires", "platform")
COMPONENT_KEYS = ("kind", "name", "summary", "stability", "capabilities", "guarantee", "limits",
                  "service_interval", "needs", "state", "committables", "splits", "default_framing",
                  "suffix", "writes_to", "form", "pattern", "options", "prefixes", "rules", "include")
LIMIT_KEYS = ("request_records", "request_bytes", "record_bytes", "record_overhead", "in_flight")
NEEDS_KEYS = ("tape", "key", "headers", "meta")
# Stored bytes that have a version, and the only kind that writes them (None: any kind).
VERSIONED = {"state": None, "committables": "sink", "splits": "source"}
VERSION_KEYS = ("version", "reads")
OPTION_KEYS = ("name", "type", "default", "required", "min", "max", "values", "pattern", "wire",
               "groups_requests", "path", "since", "deprecated", "replaced_by", "group",
               "description", "examples", "fields", "fields_of", "items")
RULE_KEYS = ("kind", "when", "keys", "text")
GROUP_KEYS = ("options", "rules", "description")

DURATION_NS = {"ns": 1, "us": 10**3, "ms": 10**6, "s": 10**9, "m": 60 * 10**9, "h": 3600 * 10**9,
               "d": 86400 * 10**9}
SIZE_BYTES = {"": 1, "B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12, "KiB": 2**10,
              "MiB": 2**20, "GiB": 2**30, "TiB": 2**40}

# Words before a colon that manifests have already: no reference may take them.
TAKEN = ("env", "file", "header", "time", "now")

# What the host's reader takes (core/loader): a plugin that it would refuse is not built.
NOTE_BYTES_MAX = 1 << 20
OPTIONS_MAX = 4096
DEPTH_MAX = 4

SEMVER = re.compile(r"(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)(-[0-9A-Za-z.-]+)?(\+[0-9A-Za-z.-]+)?")
IDENTITY = re.compile(r"[a-z][a-z0-9-]*(\.[a-z0-9][a-z0-9_-]*)+")
WORD = re.compile(r"[a-z][a-z0-9_]*")
COMPONENT_NAME = re.compile(r"[a-z][a-z0-9_-]*")
SPDX = re.compile(r"[A-Za-z0-9.+()-]+( (AND|OR|WITH) [A-Za-z0-9.+()-]+)*")
ABI_VERSION = re.compile(r"(0|[1-9]\d*)\.(0|[1-9]\d*)")


class Problems:
    """Collects what is wrong, so that an author sees all of it at once."""

    def __init__(self, path):
        self.path = path
        self.lines = []

    def add(self, where, text):
        self.lines.append(f"{self.path}: {where}: {text}" if where else f"{self.path}: {text}")

    def stop_if_any(self):
        if self.lines:
            sys.exit("\n".join(self.lines))


def show(value):
    return json.dumps(value, ensure_ascii=False)


def unique_pairs(pairs):
    seen = {}
    for key, value in pairs:
        if key in seen:
            raise ValueError(f"the key {show(key)} stands twice in one object")
        seen[key] = value
    return seen


def read_json(path):
    try:
        with open(path, encoding="utf-8") as file:
            return json.load(file, object_pairs_hook=unique_pairs)
    except OSError as error:
        sys.exit(f"{path}: cannot be read: {error.strerror}")
    except UnicodeDecodeError:
        sys.exit(f"{path}: is not UTF-8")
    except json.JSONDecodeError as error:
        sys.exit(f"{path}:{error.lineno}:{error.colno}: not JSON: {error.msg}")
    except ValueError as error:
        sys.exit(f"{path}: {error}")


# ---- checking ----------------------------------------------------------------------------------

class Checker:
    def __init__(self, path):
        self.problems = Problems(path)

    def bad(self, where, text):
        self.problems.add(where, text)

    def keys(self, where, value, allowed):
        if not isinstance(value, dict):
            self.bad(where, f"expected an object, found {show(value)}")
            return False
        for key in value:
            if key not in allowed:
                near = difflib.get_close_matches(key, allowed, 1)
                hint = f"; did you mean {show(near[0])}" if near else ""
                self.bad(where, f"unknown key {show(key)}{hint}; known are {', '.join(allowed)}")
        return True

    def text(self, where, value, key, required=False, pattern=None, like=""):
        if key not in value:
            if required:
                self.bad(where, f"{show(key)} is missing")
            return ""
        found = value[key]
        if not isinstance(found, str) or (required and not found.strip()):
            self.bad(where, f"{show(key)}: expected a text, found {show(found)}")
            return ""
        if any(ord(c) < 0x20 for c in found):
            self.bad(where, f"{show(key)}: control characters have no place here")
        if pattern is not None and not pattern.fullmatch(found):
            self.bad(where, f"{show(key)}: expected {like}, found {show(found)}")
        return found

    def one_of(self, where, value, key, words, required=False):
        found = self.text(where, value, key, required)
        if found and found not in words:
            near = difflib.get_close_matches(found, words, 1)
            hint = f"; did you mean {show(near[0])}" if near else ""
            self.bad(where, f"{show(key)}: expected one of {', '.join(words)}, "
                            f"found {show(found)}{hint}")
        return found

    def flag(self, where, value, key):
        found = value.get(key, False)
        if not isinstance(found, bool):
            self.bad(where, f"{show(key)}: expected true or false, found {show(found)}")
            return False
        return found

    def texts(self, where, value, key):
        found = value.get(key, [])
        if not isinstance(found, list) or not all(isinstance(t, str) for t in found):
            self.bad(where, f"{show(key)}: expected a list of texts, found {show(found)}")
            return []
        return found

    def plugin(self, value):
        if not self.keys("", value, PLUGIN_KEYS):
            return
        self.text("", value, "id", True, IDENTITY, 'a reverse domain name such as "org.example.x"')
        self.text("", value, "version", True, SEMVER, 'a semantic version such as "1.2.3"')
        self.text("", value, "name", True, COMPONENT_NAME, "lower case, digits, - and _")
        self.text("", value, "summary", True)
        self.text("", value, "vendor", True)
        self.text("", value, "license", True, SPDX, 'an SPDX expression such as "Apache-2.0"')
        self.text("", value, "homepage")
        if "abi" in value:
            self.abi(value["abi"])
        components = value.get("components")
        if not isinstance(components, list) or not components:
            self.bad("", '"components": expected a list of at least one component')
            return
        seen = set()
        for index, component in enumerate(components):
            where = f"components[{index}]"
            if not self.keys(where, component, COMPONENT_KEYS):
                continue
            name = (component.get("kind"), component.get("name"))
            if str(name) in seen:
                self.bad(where, f"a second {name[0]} named {show(name[1])}")
            seen.add(str(name))
            self.component(f"{name[0]} {name[1]}", component)

    def abi(self, value):
        if not self.keys("abi", value, ABI_KEYS):
            return
        if value.get("major", 1) != 1:
            self.bad("abi", f'"major": expected 1, found {show(value["major"])}')
        for key in ("built_with", "requires"):
            self.text("abi", value, key, False, ABI_VERSION, 'a version such as "0.9"')
        self.text("abi", value, "platform")

    def component(self, where, value):
        kind = self.one_of(where, value, "kind", KINDS, True)
        self.text(where, value, "name", True, COMPONENT_NAME, "lower case, digits, - and _")
        self.text(where, value, "summary", True)
        self.one_of(where, value, "stability", STABILITIES)
        for word in self.texts(where, value, "capabilities"):
            if word not in CAPABILITIES:
                self.bad(where, f"unknown capability {show(word)}; known are "
                                f"{', '.join(CAPABILITIES)}")
        if kind in ("source", "sink"):
            self.one_of(where, value, "guarantee", GUARANTEES, True)
        else:
            self.one_of(where, value, "guarantee", GUARANTEES)
        if "limits" in value:
            if kind != "sink":
                self.bad(where, "only a sink has request limits")
            self.limits(f"{where}: limits", value["limits"])
        if "service_interval" in value:
            if self.number(where, "duration", value["service_interval"], "service_interval") == 0:
                self.bad(where, '"service_interval": must be longer than 0')
        if "needs" in value and self.keys(f"{where}: needs", value["needs"], NEEDS_KEYS):
            for key in ("tape", "key", "headers"):
                self.flag(f"{where}: needs", value["needs"], key)
            for name in self.texts(f"{where}: needs", value["needs"], "meta"):
                if name not in META:
                    self.bad(where, f"unknown metadata column {show(name)}; known are "
                                    f"{', '.join(META)}")
        for key, only in VERSIONED.items():
            if key in value:
                if only not in (None, kind):
                    self.bad(where, f"only a {only} has {key}")
                self.versions(f"{where}: {key}", value[key])
        self.one_of(where, value, "default_framing", FRAMINGS)
        self.text(where, value, "suffix")
        if "writes_to" in value:
            if kind != "sink":
                self.bad(where, "only a sink writes to a stream of the program")
            self.one_of(where, value, "writes_to", STREAMS, True)
        self.reference(where, value, kind)
        options = value.get("options", [])
        self.options(where, options, 0)
        if isinstance(options, list):
            self.references(where, options)
        for prefix in self.texts(where, value, "prefixes"):
            if not re.fullmatch(r"([a-z][a-z0-9_]*\.)+", prefix):
                self.bad(where, f'prefix {show(prefix)}: expected words that end in a dot, '
                                f'such as "properties."')
        self.rules(where, value)

    def reference(self, where, value, kind):
        """A reference has no node: nobody could give it options, and no record passes it."""
        if kind != "reference":
            for key in ("form", "pattern"):
                if key in value:
                    self.bad(where, f'only a reference has "{key}"')
            return
        self.text(where, value, "form", True)
        pattern = self.text(where, value, "pattern", True)
        if pattern and not (pattern.startswith("^") and pattern.endswith("$")):
            self.bad(where, f'"pattern": expected one of the whole text, ^...$, found {show(pattern)}')
        if value.get("name") in TAKEN:
            self.bad(where, f"{show(value['name'])} is a word of manifests already")
        for key in ("options", "prefixes", "rules", "guarantee", "capabilities", "needs", "state",
                    "default_framing", "suffix", "service_interval"):
            if value.get(key):
                self.bad(where, f'a reference has no "{key}"')

    def limits(self, where, value):
        if not self.keys(where, value, LIMIT_KEYS):
            return
        for key, found in value.items():
            if key in ("request_bytes", "record_bytes"):
                self.number(where, "size", found, key)
            elif key in LIMIT_KEYS and (type(found) is not int or not 0 <= found < 2**32):
                self.bad(where, f"{show(key)}: expected a whole number below 2^32, "
                                f"found {show(found)}")

    def versions(self, where, value):
        if not self.keys(where, value, VERSION_KEYS):
            return
        version = value.get("version")
        reads = value.get("reads", [version, version])
        if type(version) is not int or not 1 <= version < 2**32:
            self.bad(where, f'"version": expected a whole number from 1 to 2^32 - 1, '
                            f"found {show(version)}")
        elif (not isinstance(reads, list) or len(reads) != 2 or
              any(type(r) is not int for r in reads) or
              not 1 <= reads[0] <= version <= reads[1] < 2**32):
            self.bad(where, f'"reads": expected [lowest, highest] around version {version}, '
                            f"found {show(reads)}")

    def number(self, where, kind, value, what):
        """The value in base units, or None with a complaint."""
        number = parse_number(kind, value)
        if number is None:
            like = {"duration": 'a duration such as "5s"', "size": 'a size such as "1MiB"',
                    "int": "a whole number", "float": "a number"}[kind]
            self.bad(where, f"{show(what)}: expected {like}, found {show(value)}")
        return number

    def options(self, where, options, depth):
        if not isinstance(options, list):
            self.bad(where, f'"options": expected a list, found {show(options)}')
            return
        if depth > DEPTH_MAX:
            self.bad(where, f"options are nested deeper than {DEPTH_MAX} levels")
            return
        seen = set()
        for option in options:
            name = option.get("name") if isinstance(option, dict) else None
            at = f"{where}: option {show(name)}"
            if not self.keys(at, option, OPTION_KEYS):
                continue
            if isinstance(name, str) and name in seen:
                self.bad(at, "stands twice")
            seen.add(name if isinstance(name, str) else "")
            if depth == 0 and name in RESERVED:
                self.bad(at, "is a word of the core; choose another name")
            self.option(at, option, depth)

    def option(self, at, option, depth):
        self.text(at, option, "name", True, WORD, "lower case, digits and _")
        kind = self.one_of(at, option, "type", TYPES, True)
        self.text(at, option, "description", True)
        for key in ("required", "wire", "groups_requests", "path", "deprecated"):
            self.flag(at, option, key)
        for key in ("pattern", "replaced_by", "group"):
            self.text(at, option, key)
        self.text(at, option, "since", False, SEMVER, 'a version such as "0.1.0"')
        if option.get("required") is True and "default" in option:
            self.bad(at, "is required and has a default: one of them is meaningless")
        if option.get("replaced_by") and option.get("deprecated") is not True:
            self.bad(at, '"replaced_by" belongs to an option with "deprecated": true')
        if "pattern" in option and kind not in ("string", "list", "secret"):
            self.bad(at, f'"pattern" has no meaning for the type {kind}')
        if option.get("groups_requests") is True and kind != "template":
            self.bad(at, '"groups_requests" is for templates')
        if option.get("path") is True and kind not in ("string", "template", "list"):
            self.bad(at, f'"path" has no meaning for the type {kind}')
        if "items" in option:
            self.one_of(at, option, "items", ("string", "template"))
            if kind != "map" or "fields" in option or "fields_of" in option:
                self.bad(at, '"items" is for maps without fields')
        if "fields" in option and "fields_of" in option:
            self.bad(at, '"fields" and "fields_of" exclude each other')
        if "fields" in option:
            if kind == "list":
                self.bad(at, "a list has no fields")
            self.options(at, option["fields"], depth + 1)
        self.text(at, option, "fields_of")
        values = option.get("values", [])
        if not isinstance(values, list) or not all(isinstance(v, str) for v in values):
            self.bad(at, f'"values": expected a list of texts, found {show(values)}')
            values = []
        if kind == "enum" and not values:
            self.bad(at, 'an enum needs "values"')
        self.range(at, option, kind, values)
        examples = option.get("examples", [])
        if not isinstance(examples, list):
            self.bad(at, f'"examples": expected a list, found {show(examples)}')

    def range(self, at, option, kind, values):
        bounds = {}
        for key in ("min", "max"):
            if key in option:
                if kind not in ("int", "float", "duration", "size"):
                    self.bad(at, f"{show(key)} has no meaning for the type {kind}")
                else:
                    bounds[key] = self.number(at, kind, option[key], key)
        low, high = bounds.get("min"), bounds.get("max")
        if low is not None and high is not None and low > high:
            self.bad(at, f'"min" {option["min"]} is above "max" {option["max"]}')
        if "default" not in option:
            return
        default = option["default"]
        if isinstance(default, str) and default in values:
            return
        if kind in ("int", "float", "duration", "size"):
            number = self.number(at, kind, default, "default")
            if number is not None and low is not None and number < low:
                self.bad(at, f'default {show(default)} is below "min" {show(option["min"])}')
            if number is not None and high is not None and number > high:
                self.bad(at, f'default {show(default)} is above "max" {show(option["max"])}')
        elif kind == "enum":
            self.bad(at, f"default {show(default)} is none of its values {', '.join(values)}")
        elif kind == "bool" and not isinstance(default, bool):
            self.bad(at, f"default: expected true or false, found {show(default)}")
        elif kind in ("string", "secret", "template", "time") and not isinstance(default, str):
            self.bad(at, f"default: expected a text, found {show(default)}")
        elif kind == "list" and isinstance(default, (dict, type(None))):
            self.bad(at, f"default: expected a list or one item, found {show(default)}")
        elif kind == "map" and not isinstance(default, dict):
            self.bad(at, f"default: expected an object, found {show(default)}")
        if kind == "secret":
            self.bad(at, "a secret must not have a default")

    def references(self, where, options):
        keys = dotted_keys(options)
        for key, option in keys.items():
            at = f"{where}: option {show(key)}"
            parent = key.rpartition(".")[0]
            other = option.get("replaced_by")
            if isinstance(other, str) and other not in keys and \
                    (f"{parent}.{other}" if parent else other) not in keys:
                self.bad(at, f'"replaced_by": there is no option {show(other)}')
            other = option.get("fields_of")
            if isinstance(other, str) and not isinstance(keys.get(other, {}).get("fields"), list):
                self.bad(at, f'"fields_of": there is no option {show(other)} with fields')

    def rules(self, where, value):
        rules = value.get("rules", [])
        if not isinstance(rules, list):
            self.bad(where, f'"rules": expected a list, found {show(rules)}')
            return
        options = value.get("options", [])
        keys = dotted_keys(options if isinstance(options, list) else [])
        for index, rule in enumerate(rules):
            at = f"{where}: rules[{index}]"
            if not self.keys(at, rule, RULE_KEYS):
                continue
            kind = self.one_of(at, rule, "kind", RULES, True)
            self.text(at, rule, "text")
            names = self.texts(at, rule, "keys")
            if not names:
                self.bad(at, '"keys": expected at least one option')
            for name in names:
                if name not in keys:
                    self.unknown_option(at, name, keys)
            when = self.text(at, rule, "when", kind in ("requires", "conflicts"))
            if kind == "one_of":
                if "when" in rule:
                    self.bad(at, '"when" has no meaning for one_of')
                if len(names) == 1:
                    self.bad(at, "one_of a single option is always so")
            elif when:
                key, equals, wanted = when.partition("=")
                option = keys.get(key)
                if option is None:
                    self.unknown_option(at, key, keys)
                elif equals and option.get("type") == "enum" and \
                        wanted not in option.get("values", []):
                    self.bad(at, f"{show(key)} is never {show(wanted)}")

    def unknown_option(self, at, name, keys):
        near = difflib.get_close_matches(name, list(keys), 1)
        self.bad(at, f"there is no option {show(name)}" +
                     (f"; did you mean {show(near[0])}" if near else ""))


def parse_number(kind, value):
    if isinstance(value, bool):
        return None
    if kind == "int":
        return value if isinstance(value, int) and -2**63 <= value < 2**63 else None
    if kind == "float":
        return value if isinstance(value, (int, float)) else None
    units = DURATION_NS if kind == "duration" else SIZE_BYTES
    if isinstance(value, int):
        return value if value == 0 or (kind == "size" and value > 0) else None
    if not isinstance(value, str):
        return None
    match = re.fullmatch(r"(\d+)([A-Za-z]*)", value)
    if not match or match.group(2) not in units:
        return 0 if value == "0" else None
    number = int(match.group(1)) * units[match.group(2)]
    return number if number < 2**63 else None


def dotted_keys(options, prefix="", depth=0):
    """Dotted key -> option, for options of any depth. Options that are malformed are left out."""
    found = {}
    if depth > DEPTH_MAX or not isinstance(options, list):
        return found
    for option in options:
        if not isinstance(option, dict) or not isinstance(option.get("name"), str):
            continue
        key = prefix + option["name"]
        found[key] = option
        found.update(dotted_keys(option.get("fields", []), key + ".", depth + 1))
    return found


# ---- merging -----------------------------------------------------------------------------------

def find_group(name, folders, problems, where):
    if not isinstance(name, str) or not re.fullmatch(r"[a-z][a-z0-9_-]*", name):
        problems.add(where, f'"include": {show(name)} is no name of an option group')
        return None
    tried = [os.path.join(folder, "options", name + ".json") for folder in folders]
    for path in tried:
        if os.path.isfile(path):
            return path
    if tried:
        problems.add(where, f"the option group {show(name)} was not found; tried {', '.join(tried)}")
    else:
        problems.add(where, f"the option group {show(name)} was not found: no folder was given; write "
                            "weir_add_plugin(... OPTION_GROUPS ${WEIR_OPTION_GROUPS}), which "
                            "find_package(weir) sets for the groups that come with the SDK")
    return None


def merge_groups(plugin, folders, problems):
    """Replaces "include" by the options and rules of the groups. Answers the files that were read."""
    files = []
    components = plugin.get("components")
    for component in components if isinstance(components, list) else []:
        if not isinstance(component, dict) or "include" not in component:
            continue
        where = f"{component.get('kind')} {component.get('name')}"
        names = component.pop("include")
        if not isinstance(names, list):
            problems.add(where, f'"include": expected a list of names, found {show(names)}')
            continue
        own = dotted_keys(component.get("options", []))
        for name in names:
            path = find_group(name, folders, problems, where)
            if path is None:
                continue
            files.append(path)
            group = read_json(path)
            if not isinstance(group, dict) or any(key not in GROUP_KEYS for key in group):
                problems.add(where, f"{path}: expected an object of {', '.join(GROUP_KEYS)}")
                continue
            for option in group.get("options", []):
                # A component may sharpen a shared option by declaring it itself.
                if isinstance(option, dict) and option.get("name") not in own:
                    option.setdefault("group", name)
                    component.setdefault("options", []).append(option)
            component.setdefault("rules", []).extend(group.get("rules", []))
    return files


def abi_of_header(path):
    """WEIR_ABI_TEXT and WEIR_ABI_MINOR of weir/types.h: the headers a plugin is built with decide."""
    with open(path, encoding="utf-8") as file:
        text = file.read()
    version = re.search(r'#define\s+WEIR_ABI_TEXT\s+"([^"]+)"', text)
    if not version:
        sys.exit(f"{path}: WEIR_ABI_TEXT was not found")
    return version.group(1)


def minor_of(version):
    """0.9 -> 9, a draft; 1.0 -> 1000, a release. See weir/types.h."""
    major, minor = (int(part) for part in version.split("."))
    return minor if major == 0 else 1000 + minor


def fill_abi(plugin, header, platform, problems):
    built_with = abi_of_header(header)
    given = plugin.get("abi", {})
    abi = {"major": 1, "built_with": built_with,
           "requires": given.get("requires", built_with),
           "platform": given.get("platform", platform)}
    if "built_with" in given and given["built_with"] != built_with:
        problems.add("abi", f'"built_with" says {given["built_with"]}, but the headers are '
                            f"{built_with}; leave it out, the build fills it in")
    elif minor_of(abi["requires"]) > minor_of(built_with):
        problems.add("abi", f'"requires" {abi["requires"]} is newer than the headers, {built_with}')
    plugin["abi"] = abi


# ---- products ----------------------------------------------------------------------------------

def write(path, text):
    """Leaves a file alone that is already right, so that nothing is rebuilt without need."""
    os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
    try:
        with open(path, encoding="utf-8") as file:
            if file.read() == text:
                return
    except (OSError, UnicodeDecodeError):
        pass
    with open(path, "w", encoding="utf-8", newline="\n") as file:
        file.write(text)


def c_string(text):
    """The inside of a C string literal: printable ASCII as is, the rest in octal."""
    out = []
    for byte in text.encode("utf-8"):
        if byte in (0x22, 0x5c, 0x3f):
            out.append("\\%03o" % byte)
        elif 0x20 <= byte < 0x7f:
            out.append(chr(byte))
        else:
            out.append("\\%03o" % byte)
    return "".join(out)


def note_source(note):
    """An ELF note, written as assembly in C: no compiler, sanitizer or link-time optimiser puts
    padding or red zones around it as they may around a variable."""
    size = len(note.encode("utf-8"))
    lines = []
    for start in range(0, len(note), 64):
        # The assembler gets the text through a C string literal: backslashes are doubled.
        piece = c_string(note[start:start + 64]).replace("\\", "\\\\")
        lines.append(f'        "    .ascii \\"{piece}\\"\\n"')
    body = "\n".join(lines)
    return f"""/* Made by weir_add_plugin() from plugin.json. */
/* clang-format off */
__asm__("    .pushsection .note.weir.plugin, \\"a\\", %note\\n"
        "    .balign 4\\n"
        "    .long 5\\n"          /* namesz: weir and its NUL */
        "    .long {size}\\n"
        "    .long 0x57454952\\n" /* type: WEIR_NOTE_TYPE */
        "    .asciz \\"weir\\"\\n"
        "    .balign 4\\n"
{body}
        "    .balign 4\\n"
        "    .popsection\\n");
/* clang-format on */
typedef int weir_note_is_assembly; /* ISO C wants a declaration in each file */
"""


def macro(text):
    return re.sub(r"[^A-Z0-9]", "_", text.upper())


def header(plugin, name, problems):
    lines = ["/* Made by weir_add_plugin() from plugin.json. */",
             f"#ifndef WEIR_OPTIONS_{macro(name)}_H",
             f"#define WEIR_OPTIONS_{macro(name)}_H", "",
             f'#define WEIR_PLUGIN_ID "{plugin["id"]}"',
             f'#define WEIR_PLUGIN_VERSION "{plugin["version"]}"',
             "/* For WEIR_PLUGIN_ENTRY: what plugin.json says under abi.requires. */",
             f'#define WEIR_PLUGIN_REQUIRES_MINOR {minor_of(plugin["abi"]["requires"])}u']
    taken = {}
    for component in plugin["components"]:
        lines += ["", f"/* {component['kind']} {component['name']} */"]
        for key in dotted_keys(component.get("options", [])):
            word = f"OPT_{macro(component['name'])}_{macro(key)}"
            if taken.setdefault(word, key) != key:
                problems.add(f"{component['kind']} {component['name']}",
                             f"options {show(key)} and {show(taken[word])} share the macro {word}")
            line = f'#define {word} "{key}"'
            if line not in lines:
                lines.append(line)
    lines += ["", "#endif", ""]
    return "\n".join(lines)


def cell(text):
    return str(text).replace("\\", "\\\\").replace("|", "\\|").replace("\n", " ")


def plain(value):
    """A default as it would stand in a manifest."""
    return value if isinstance(value, str) else show(value)


def option_row(key, option):
    kind = option["type"]
    values = [f"`{cell(v)}`" for v in option.get("values", [])]
    if kind == "enum":
        kind = "one of " + ", ".join(values)
    else:
        if kind == "map" and option.get("items") == "template":
            kind = "map of templates"
        if values:
            kind += " or " + ", ".join(values)
    notes = [cell(option.get("description", ""))]
    low, high = option.get("min"), option.get("max")
    if low is not None and high is not None:
        notes.append(f"From `{plain(low)}` to `{plain(high)}`.")
    elif low is not None:
        notes.append(f"At least `{plain(low)}`.")
    elif high is not None:
        notes.append(f"At most `{plain(high)}`.")
    if "pattern" in option:
        notes.append(f"Pattern: `{cell(option['pattern'])}`.")
    if option.get("fields_of"):
        notes.append(f"A mapping with the keys of `{option['fields_of']}`.")
    if option.get("wire"):
        notes.append("Changes the bytes on the wire.")
    if option.get("groups_requests"):
        notes.append("Records of one request share its value.")
    if option.get("path"):
        notes.append("Relative to the manifest.")
    if option.get("deprecated"):
        by = option.get("replaced_by")
        notes.append("**Deprecated**" + (f"; use `{by}`." if by else "."))
    examples = option.get("examples", [])
    if examples:
        notes.append("Examples: " + ", ".join(f"`{cell(plain(e))}`" for e in examples) + ".")
    if option.get("since"):
        notes.append(f"Since {option['since']}.")
    default = "**required**" if option.get("required") else \
        f"`{cell(plain(option['default']))}`" if "default" in option else ""
    return f"| `{key}` | {kind} | {default} | {' '.join(n for n in notes if n)} |"


def rule_line(rule):
    keys = ", ".join(f"`{key}`" for key in rule["keys"])
    when = f"`{rule.get('when', '').replace('=', ': ', 1)}`"
    line = {"requires": f"{when} requires {keys}", "conflicts": f"{when} excludes {keys}",
            "one_of": f"exactly one of {keys}"}[rule["kind"]]
    return f"- {line}" + (f": {rule['text']}" if rule.get("text") else "")


def component_page(component):
    lines = [f"## {component['kind']} `{component['name']}`", "", component["summary"] + ".", ""]
    facts = []
    if component.get("stability", "stable") != "stable":
        facts.append(f"Stability: {component['stability']}.")
    if component.get("guarantee"):
        facts.append(f"Strongest delivery: {component['guarantee'].replace('_', ' ')}.")
    if component.get("capabilities"):
        facts.append("Capabilities: " + ", ".join(component["capabilities"]).replace("_", " ") + ".")
    limits = [f"{key.replace('_', ' ')} {plain(value)}"
              for key, value in component.get("limits", {}).items() if value]
    if limits:
        facts.append("Limits of one request: " + ", ".join(limits) + ".")
    if component.get("default_framing"):
        facts.append(f"Framing: {component['default_framing']}.")
    if component.get("suffix"):
        facts.append(f"File suffix: `{component['suffix']}`.")
    if facts:
        lines += [" ".join(facts), ""]
    if component["kind"] == "reference":
        lines += [f"Written `${{{component['name']}:{component['form']}}}`. "
                  f"Pattern behind the colon: `{component['pattern']}`.", ""]
        return lines
    options = component.get("options", [])
    if not options and not component.get("prefixes"):
        lines += ["It has no options.", ""]
    groups = {}
    for option in options:
        groups.setdefault(option.get("group", ""), []).append(option)
    for group in sorted(groups, key=lambda g: (g != "", list(groups).index(g))):
        if group:
            lines += [f"### {group}", ""]
        lines += ["| option | type | default | meaning |", "|---|---|---|---|"]
        lines += [option_row(key, option) for key, option in dotted_keys(groups[group]).items()]
        lines.append("")
    for prefix in component.get("prefixes", []):
        lines += [f"Every key that begins with `{prefix}` is handed through unchecked.", ""]
    if component.get("rules"):
        lines += ["Rules:", ""] + [rule_line(rule) for rule in component["rules"]] + [""]
    return lines


def page(plugin):
    lines = [f"# Plugin `{plugin['name']}`", "", plugin["summary"] + ".", "",
             f"`{plugin['id']}` {plugin['version']}, {plugin['vendor']}, {plugin['license']}." +
             (f" {plugin['homepage']}" if plugin.get("homepage") else ""), ""]
    for component in plugin["components"]:
        lines += component_page(component)
    lines += ["This page is generated from the plugin's `plugin.json`.", ""]
    return "\n".join(lines)


# ---- commands ----------------------------------------------------------------------------------

def count_options(plugin):
    return sum(len(dotted_keys(c.get("options", []))) for c in plugin["components"])


def generate(args):
    plugin = read_json(args.manifest)
    checker = Checker(args.manifest)
    problems = checker.problems
    files = merge_groups(plugin, args.option_groups, problems) if isinstance(plugin, dict) else []
    checker.plugin(plugin)
    problems.stop_if_any()
    fill_abi(plugin, args.types_header, args.platform, problems)
    problems.stop_if_any()
    note = json.dumps(plugin, ensure_ascii=False, separators=(",", ":"))
    if len(note.encode("utf-8")) > NOTE_BYTES_MAX:
        problems.add("", f"the description takes {len(note.encode('utf-8'))} bytes; at most "
                         f"{NOTE_BYTES_MAX} are read")
    if count_options(plugin) > OPTIONS_MAX:
        problems.add("", f"{count_options(plugin)} options; at most {OPTIONS_MAX} are read")
    text = header(plugin, args.name, problems)
    problems.stop_if_any()
    write(os.path.join(args.out, f"{args.name}.note.json"), note)
    write(os.path.join(args.out, f"weir_note_{args.name}.c"), note_source(note))
    write(os.path.join(args.out, f"weir_options_{args.name}.h"), text)
    if args.docs:
        write(args.docs, page(plugin))
    if args.depfile:
        target = os.path.join(args.out, f"{args.name}.note.json")
        escaped = " ".join(f.replace(" ", "\\ ") for f in [args.manifest, args.types_header] + files)
        write(args.depfile, f"{target}: {escaped}\n")
    if args.stamp:
        with open(args.stamp, "w", encoding="utf-8"):
            pass


def sidecar(args):
    with open(args.note, encoding="utf-8") as file:
        plugin = json.load(file)
    with open(args.so, "rb") as file:
        plugin["sha256"] = hashlib.sha256(file.read()).hexdigest()
    write(args.out, json.dumps(plugin, ensure_ascii=False, indent=2) + "\n")


def read_lines(path):
    try:
        with open(path, encoding="utf-8") as file:
            return file.read().splitlines(keepends=True)
    except FileNotFoundError:
        return []


def compare(args):
    drift = False
    pages = set()
    for folder in (args.committed, args.generated):
        if os.path.isdir(folder):
            pages.update(n for n in os.listdir(folder) if n.endswith(".md"))
    for name in sorted(pages - {"README.md"}):
        was = read_lines(os.path.join(args.committed, name))
        now = read_lines(os.path.join(args.generated, name))
        difference = list(difflib.unified_diff(was, now, f"committed/{name}", f"generated/{name}"))
        if difference:
            drift = True
            sys.stdout.writelines(difference[:60])
    if drift:
        sys.exit("options pages differ from plugin.json: build the target docs_options and commit")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(dest="command", required=True)
    make = commands.add_parser("generate")
    make.add_argument("--manifest", required=True)
    make.add_argument("--name", required=True)
    make.add_argument("--out", required=True)
    make.add_argument("--types-header", required=True)
    make.add_argument("--platform", required=True)
    make.add_argument("--option-groups", action="append", default=[])
    make.add_argument("--docs")
    make.add_argument("--depfile")
    make.add_argument("--stamp")
    make.set_defaults(run=generate)
    side = commands.add_parser("sidecar")
    side.add_argument("--note", required=True)
    side.add_argument("--so", required=True)
    side.add_argument("--out", required=True)
    side.set_defaults(run=sidecar)
    check = commands.add_parser("compare")
    check.add_argument("--committed", required=True)
    check.add_argument("--generated", required=True)
    check.set_defaults(run=compare)
    args = parser.parse_args()
    args.run(args)


if __name__ == "__main__":
    main()
