#!/usr/bin/env python3
"""Sizes and offsets of every struct of the plugin ABI.

    layout.py probe INCLUDE_DIR          C source of a program that prints them, on stdout
    layout.py complete VERSION_DIR       fails unless its list has exactly the structs and fields of
                                         its headers, and these say that they are of that version
    layout.py same VERSION_DIR DIR       fails if its headers and those of DIR differ in more than
                                         comments and layout

A VERSION_DIR (0.9) holds the frozen headers, include/weir, and layout.def: what the probe printed
when the version was frozen. That is C: a list of the macros STRUCT(name, size) and
FIELD(struct, field, offset, size), which test_layout.c asserts.
"""

import difflib
import os
import re
import sys

# In the order in which they include each other.
HEADERS = ("types", "value", "batch", "plugin", "instance", "source", "sink", "serde", "transform",
           "reference", "host")


def without_comments(text):
    return re.sub(r"/\*.*?\*/", " ", text, flags=re.S)


def field_names(body):
    """The names of the members of a struct. Nested unions count as one member."""
    body = re.sub(r"\{[^{}]*\}", " ", body)
    names = []
    for declaration in body.split(";"):
        declaration = declaration.strip()
        if not declaration:
            continue
        pointer = re.search(r"\(\s*\*\s*(\w+)\s*\)\s*\(", declaration)
        if pointer:
            names.append(pointer.group(1))
            continue
        for part in declaration.split(","):
            names.append(re.search(r"(\w+)\s*(\[[^\]]*\])?\s*$", part.strip()).group(1))
    return names


def structs(include_dir):
    """Name -> field names of every struct that has a body."""
    found = {}
    for name in HEADERS:
        path = os.path.join(include_dir, "weir", name + ".h")
        if not os.path.exists(path):  # reference.h came with 0.10
            continue
        with open(path, encoding="utf-8") as file:
            text = without_comments(file.read())
        for match in re.finditer(r"typedef\s+struct\s+(\w+)\s*\{(.*?)\n\}\s*\1\s*;", text, re.S):
            found[match.group(1)] = field_names(match.group(2))
    return found


def probe(include_dir):
    print("#include <stddef.h>\n#include <stdio.h>\n#include <weir/abi.h>\nint main(void) {")
    for name, fields in structs(include_dir).items():
        print(f'    printf("STRUCT({name}, %zu)\\n", sizeof({name}));')
        for field in fields:
            print(f'    printf("FIELD({name}, {field}, %zu, %zu)\\n", offsetof({name}, {field}), '
                  f"sizeof((({name} *)0)->{field}));")
    print("    return 0;\n}")


def complete(version_dir):
    include_dir = os.path.join(version_dir, "include")
    golden = os.path.join(version_dir, "layout.def")
    version = os.path.basename(os.path.normpath(version_dir))
    with open(os.path.join(include_dir, "weir", "types.h"), encoding="utf-8") as file:
        text = re.search(r'#define WEIR_ABI_TEXT "([^"]+)"', file.read()).group(1)
    if text != version:
        sys.exit(f"the headers in {version_dir} say that they are of version {text}")
    here = [(name, field) for name, fields in structs(include_dir).items()
            for field in [None] + fields]
    with open(golden, encoding="utf-8") as file:
        text = without_comments(file.read())
    there = [(m.group(2), m.group(3) if m.group(1) == "FIELD" else None)
             for m in re.finditer(r"(STRUCT|FIELD)\((\w+), (\w+)", text)]
    problems = [f"{golden} lacks {s}{'.' + f if f else ''}" for s, f in here if (s, f) not in there]
    problems += [f"{s}{'.' + f if f else ''} is gone" for s, f in there if (s, f) not in here]
    if problems:
        sys.exit("\n".join(problems))
    print(f"{len(structs(include_dir))} structs, {len(here)} lines")


def tokens(include_dir, name):
    """One declaration a line, however it was broken and commented."""
    with open(os.path.join(include_dir, "weir", name + ".h"), encoding="utf-8") as file:
        text = without_comments(file.read())
    text = re.sub(r"\\\n", " ", text)
    lines = []
    for line in text.splitlines():
        if line.lstrip().startswith("#"):
            lines.append(line.strip() + "\n")
        else:
            lines.append(line)
    text = re.sub(r"[ \t]+", " ", " ".join(lines))
    return [part.strip() + "\n" for part in re.split(r"(?<=[;{}\n])", text) if part.strip()]


def same(version_dir, current):
    if not os.path.isdir(version_dir):
        sys.exit(f"today's version has no {version_dir}: freeze it as README.md says")
    frozen = os.path.join(version_dir, "include")
    difference = []
    for name in HEADERS:
        difference += difflib.unified_diff(tokens(frozen, name), tokens(current, name),
                                           f"frozen/{name}.h", f"current/{name}.h")
    if difference:
        sys.stdout.writelines(difference)
        sys.exit("the ABI changed without a new version: raise WEIR_ABI_MINOR, or, while the draft "
                 "has not been\ngiven out, copy the headers to tests/abi/ and make layout.def anew")


if __name__ == "__main__":
    if sys.argv[1:2] == ["probe"] and len(sys.argv) == 3:
        probe(sys.argv[2])
    elif sys.argv[1:2] == ["complete"] and len(sys.argv) == 3:
        complete(sys.argv[2])
    elif sys.argv[1:2] == ["same"] and len(sys.argv) == 4:
        same(sys.argv[2], sys.argv[3])
    else:
        sys.exit(__doc__)
