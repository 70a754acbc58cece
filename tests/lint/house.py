#!/usr/bin/env python3
"""The rules of server/README.md that a machine can check. usage: house.py FILE...

Prints one line a breach, as compilers do, and exits with 1 when there is any. Works on lines, not
on syntax: it relies on the formatting that lint.format guarantees.
"""
import re
import sys

MAX_HEADER_LINES = 150
MAX_SOURCE_LINES = 400
MAX_FUNCTION_LINES = 70

# Longer than that, and why.
LONGER = {
    "server/store/group_commit.h": 240,  # a template: its body stands in its header
    "server/store/pg_store.h": 180,  # the same operations
    "server/store/store.h": 200,  # every operation of the store, in the order of a message's life
}

# (what must not occur, where it may, why). Comments and string literals do not count.
BANNED = [
    (r"\b(u|nano)?sleep\s*\(|\bsleep_(for|until)\b", r"^$",
     "nothing sleeps: wait on a condition, with a deadline"),
    (r"\bstd::j?thread\b(?!::)", r"^(server/base/worker\.|tests/)", "workers start in base/worker.h only"),
    (r"\b(steady|system)_clock::now\b", r"^(server/base/clock\.|tests/|bench/|client/)", "time comes from Clock"),
    (r"\bstd::(random_device|mt19937)|\brand\(\)", r"^(server/base/random\.|tests/|bench/)",
     "chance comes from Random"),
    (r"\b(class|struct)\s+\w*(Manager|Helper|Util|Utils|Impl)\b", r"^$", "a name that says nothing"),
    (r"\b(TODO|FIXME|XXX)\b", r"^$", "finish it or write it down where it is tracked"),
    (r"#include <httplib", r"^server/http/", "only http/ may see cpp-httplib"),
    (r"#include <nlohmann", r"^server/json/", "only json/ may see nlohmann-json"),
    (r"#include <(yaml-cpp|CLI)/", r"^(server/app|client|bench)/", "only app/ and client/ may see it"),
    (r"#include <(spdlog|prometheus)/", r"^server/base/", "only base/ may see it"),
    (r"#include <(pqxx|libpq-fe)", r"^(server/store|tests|bench)/", "only store/ may see it"),
]

STRING = re.compile(r'"(\\.|[^"\\])*"')
# A definition: something with an argument list that opens a block, and is no statement.
FUNCTION = re.compile(r"^( *)(?!(if|for|while|switch|do|else|return|case|namespace|class|struct|enum|union)\b)\S")


def code_of(line):
    """The line without string literals and comment; an #include and a TODO stay what they are."""
    if line.startswith("#include"):
        return line
    return STRING.sub('""', line).split("//")[0]


def check_bans(path, lines):
    for number, line in enumerate(lines, 1):
        for pattern, allowed, why in BANNED:
            text = line if "TODO" in pattern else code_of(line)
            if re.search(pattern, text) and not re.match(allowed, path):
                yield number, f"{re.search(pattern, text).group(0)}: {why}"


def check_length(path, lines):
    limit = LONGER.get(path) or (MAX_HEADER_LINES if path.endswith(".h") else MAX_SOURCE_LINES)
    if len(lines) > limit:
        yield limit + 1, f"{len(lines)} lines, {limit} at most: look for the second concern"


def check_functions(lines):
    """A block ends at the first line that closes it at the column where it began. A signature that
    goes over several lines is seen when it begins at the first column."""
    opened = {}
    for number, line in enumerate(lines, 1):
        indent = len(line) - len(line.lstrip(" "))
        if line.strip().startswith("}"):
            start = opened.pop(indent, None)
            length = number - start + 1 if start and line.strip() == "}" else 0
            if length > MAX_FUNCTION_LINES:
                yield start, f"a function of {length} lines, {MAX_FUNCTION_LINES} at most"
        elif "(" in line and FUNCTION.match(line) and "= {" not in line:
            if line.endswith("{") or (indent == 0 and not line.endswith(";")):
                opened[indent] = number


def check_header(lines):
    if lines[:1] != ["#pragma once"]:
        yield 1, "a header begins with #pragma once"
    if not any(line.startswith("///") for line in lines):
        yield 1, "a header explains its main type in a /// docstring"
    for number, line in enumerate(lines, 1):
        if not re.match(r"(class|struct|enum class) .*[{:]", line) or line.endswith(";"):
            continue
        before = number - 2
        while before >= 0 and re.match(r"template|\s+requires", lines[before]):
            before -= 1
        if before < 0 or not lines[before].startswith("///"):
            if line.startswith("class"):
                yield number, "a class without a /// docstring: " + line.rstrip(" {")


def check(path):
    with open(path, encoding="utf-8") as file:
        lines = file.read().splitlines()
    yield from check_bans(path, lines)
    if not path.startswith("tests/"):
        yield from check_length(path, lines)
        yield from check_functions(lines)
        if path.endswith(".h"):
            yield from check_header(lines)


def main(paths):
    breaches = 0
    for path in paths:
        for line, text in check(path):
            print(f"{path}:{line}: {text}")
            breaches += 1
    return 1 if breaches else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
