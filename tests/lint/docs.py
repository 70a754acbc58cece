#!/usr/bin/env python3
"""What the documents name must exist. usage: docs.py

Checks files and folders, tests (`Suite.Name`), tasks of ./dev, and flags of our programs in the
documents for readers. Prints one line a breach, as compilers do, and exits with 1 when there is
any.
"""
import pathlib
import re
import subprocess
import sys

DOCS = ["README.md", "CHANGELOG.md", "server/README.md", "client/README.md", "tests/README.md",
        "docker/README.md", "migrations/README.md", "migrations/AUDIT.md", "docker/Dockerfile", "docker/compose.yaml"]
# Made by a build, or not files of this tree.
NOT_OURS = re.compile(r"^(build|google)/|/stubs$|^proto/postrider/v1$")
# Of protoc, docker, apt-get and the like.
OTHERS_FLAGS = {"build", "detach", "gtest_filter", "grpc_python_out", "help", "no-create-home",
                "no-install-recommends", "plugin", "preset", "python_out", "rm", "strip-unneeded",
                "system", "target", "uid"}

PATH = re.compile(r"(?<![\w/.-])((?:server|client|proto|migrations|tests|docker)/[\w./-]*[\w-])")
IN_SERVER = re.compile(r"`((?:app|api|store|dispatch|http|json|provider|webhook|fanout|policy|sandbox"
                       r"|model|base)/\w+(?:\.\w+)?)`")
TEST_NAME = re.compile(r"`([A-Z]\w*)\.([A-Z]\w+)`")
TASK = re.compile(r"\./dev ([a-z]\w*)")
FLAG = re.compile(r"(?<![\w-])--([a-z][\w-]*)")


def text_of(patterns):
    files = [p for pattern in patterns for p in pathlib.Path().glob(pattern)]
    return "\n".join(p.read_text(encoding="utf-8") for p in sorted(files))


def main():
    tests = set(re.findall(r"^TEST(?:_F|_P)?\(\s*(\w+),\s*(\w+)\)", text_of(["tests/**/*.cc"]), re.M))
    suites = {suite for suite, _ in tests}
    tasks = set(re.findall(r"^  ([a-z]+) ", subprocess.check_output(["./dev", "help"], text=True), re.M))
    flags = set(re.findall(r"--([a-z][\w-]*)", text_of(["server/app/*.cc", "client/cli/*.cc", "tests/bench/main.cc", "dev"])))
    flags |= set(re.findall(r'\.name = "([\w-]+)"', text_of(["server/app/option_table.cc", "server/app/option_table_running.cc"])))
    breaches = []

    def breach(doc, number, text):
        breaches.append(f"{doc}:{number}: {text}")

    for doc in filter(lambda d: pathlib.Path(d).exists(), DOCS):
        for number, line in enumerate(pathlib.Path(doc).read_text(encoding="utf-8").splitlines(), 1):
            paths = PATH.findall(line)
            if doc == "server/README.md":
                paths += ["server/" + path for path in IN_SERVER.findall(line)]
            for path in paths:
                if not pathlib.Path(path).exists() and not NOT_OURS.search(path):
                    breach(doc, number, f"there is no {path}")
            for suite, name in TEST_NAME.findall(line):
                if (suite, name) not in tests and (suite in suites or suite.endswith("Test")):
                    breach(doc, number, f"there is no test {suite}.{name}")
            for task in TASK.findall(line):
                if task not in tasks:
                    breach(doc, number, f"./dev has no task {task}")
            for flag in FLAG.findall(line):
                if flag not in flags | OTHERS_FLAGS:
                    breach(doc, number, f"no program of ours has --{flag}")
    print("\n".join(breaches), end="\n" if breaches else "")
    return 1 if breaches else 0


if __name__ == "__main__":
    sys.exit(main())
