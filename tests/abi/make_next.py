#!/usr/bin/env python3
"""Makes the headers of a minor version that does not exist yet.

    make_next.py INCLUDE_DIR OUTPUT_DIR

Every struct that begins with struct_size, be it a table or arguments, grows by a field and by a
slot, as a later version could make it grow; the version becomes the next minor. Plugins and hosts
built with these headers then meet those of today in the tests.
"""

import os
import re
import sys

HEADERS = ("abi", "types", "value", "batch", "plugin", "instance", "source", "sink", "serde",
           "transform", "reference", "host")
GROWTH = "    uint64_t next_field;\n    uint64_t (*next_slot)(uint64_t value);\n"


def grow(text):
    count = 0

    def append(match):
        nonlocal count
        if not re.match(r"\s*uint32_t struct_size;", match.group(2)):
            return match.group(0)
        count += 1
        return f"{match.group(1)}{match.group(2)}\n{GROWTH}}} {match.group(3)};"

    text = re.sub(r"(typedef struct (?:\w+) \{)((?:(?!\n\}).)*)\n\} (\w+);", append, text,
                  flags=re.S)
    return text, count


def main():
    source, target = sys.argv[1:3]
    os.makedirs(os.path.join(target, "weir"), exist_ok=True)
    total = 0
    for name in HEADERS:
        with open(os.path.join(source, "weir", name + ".h"), encoding="utf-8") as file:
            text = file.read()
        text, count = grow(text)
        total += count
        if name == "types":
            minor = int(re.search(r"#define WEIR_ABI_MINOR (\d+)u", text).group(1)) + 1
            text = re.sub(r"#define WEIR_ABI_MINOR \d+u", f"#define WEIR_ABI_MINOR {minor}u", text)
            text = re.sub(r'#define WEIR_ABI_TEXT "0\.\d+"', f'#define WEIR_ABI_TEXT "0.{minor}"',
                          text)
        path = os.path.join(target, "weir", name + ".h")
        try:
            with open(path, encoding="utf-8") as file:
                if file.read() == text:
                    continue
        except FileNotFoundError:
            pass
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
    print(f"{total} structs grow")


main()
