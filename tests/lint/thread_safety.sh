#!/usr/bin/env bash
# Clang's thread-safety analysis of every source file of ours that locks, as errors. Compiles
# nothing; takes files (which include several of ours each) and flags from a build, and leaves out
# what has not changed since it was found right (BUILD_DIR/thread_safety has a stamp a file).
# usage: thread_safety.sh BUILD_DIR
set -euo pipefail
cd "$(dirname "$0")/../.."
python3 - "$1" <<'PYTHON' | xargs -d '\n' -I{} bash -c '{}'
import json, os, re, shlex, sys

LOCKS = re.compile(r"base/mutex\.h|store/group_commit\.h")

build = sys.argv[1]
stamps = os.path.join(build, "thread_safety")
os.makedirs(stamps, exist_ok=True)

def time_of(path):
    return os.path.getmtime(path) if os.path.exists(path) else 0

headers = max(time_of(os.path.join(where, name)) for top in ("server", "client")
              for where, _, names in os.walk(top) for name in names if name.endswith(".h"))

def text_of(path):
    return open(path, encoding="utf-8").read() if os.path.exists(path) else ""

INCLUDED = re.compile(r'^#include "(/.*\.cc)"$', re.M)
seen = 0

for entry in json.load(open(os.path.join(build, "compile_commands.json"))):
    file = entry["file"]
    sources = [os.path.relpath(path) for path in INCLUDED.findall(text_of(file)) or [file]]
    if not re.match("(server|client)/", sources[0]):
        continue
    seen += len(sources)
    # A file that only calls a class does not see its locks: its own includes are enough to ask.
    if not any(LOCKS.search(text_of(source) + text_of(re.sub(r"\.cc$", ".h", source)))
               for source in sources):
        continue
    words = shlex.split(entry["command"])
    flags = [word for before, word in zip(words, words[1:])
             if re.match("-[DI]|-isystem|-std=", word) or before == "-isystem"]
    stamp = os.path.join(stamps, os.path.relpath(file).replace("/", "."))
    if time_of(stamp) > max(headers, *map(time_of, sources)):
        continue
    print(shlex.join(["clang++-19", *flags, "-Wno-everything", "-fsyntax-only", "-Wthread-safety",
                      "-Werror=thread-safety", file]) + " && touch " + shlex.quote(stamp))

if seen < 50:
    sys.exit(f"only {seen} of our files in {build}/compile_commands.json")
PYTHON
