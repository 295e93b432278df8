#!/usr/bin/env python3
"""Checks what a formatter does not: calls that have a better replacement here, the length of lines and files, and text
that should not stay in the tree. Prints every finding as `file:line: what, and what to do`; exit 1 when there is one.
"""

import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
COLUMNS = 120
# A file has one reason to change, and rarely more lines than this.
LINES = 400
# Files that are longer, with the length that they may have. It is a ratchet: lower it when a file shrinks.
LONGER = {
    "Sources/PluginAPI/ABI/include/sluice/plugin.h": 1080,  # the specification is one self-contained file
    "Tests/PluginTests/ABILayout.swift": 800,  # generated: a row for each field of the header
}
# Data, licences in their own words, and what protoc makes.
UNCHECKED_SUFFIXES = {".csv", ".png", ".svg", ".bin"}
UNCHECKED = {
    "LICENSE",
    "Plugins/ModelService/Example/health_pb2.py",
    "Plugins/ModelService/Example/sluice/v1/model_service_pb2.py",
}
UNCHECKED_DIRECTORIES = ("Tests/Fuzz/Corpus/", "Tests/ConfigurationTests/Corpus/")

SWIFT = r"\.swift$"
# (files, pattern, what to do). Patterns are matched against lines without their strings and comments.
BANNED = [
    (SWIFT, r"\btry!", "a failure is a value until the border: use try, try? or do/catch"),
    (SWIFT, r"\bas!", "use as? and say what happens otherwise"),
    (r"^(Sources|Plugins)/.*" + SWIFT, r"\bfatalError\(",
     "use precondition for an invariant, an error for outside input"),
    (r"^(Sources|Plugins)/.*" + SWIFT, r"\bprint\(", "use the log; a command writes through its output"),
    (r"^(Sources|Plugins)/.*" + SWIFT, r"\bimport Foundation\b", "Foundation is not linked: use Glibc or CLinux"),
    (SWIFT, r"\bDispatchQueue\b", "a worker has a mailbox, the control thread a queue"),
    (SWIFT, r"\b(sleep|usleep|nanosleep)\(", "wait for a condition with a deadline"),
    (SWIFT, r"\bThread\.sleep\b", "wait for a condition with a deadline"),
    (r"^Tests/.*" + SWIFT, r"Task\.sleep", "wait for a condition with a deadline"),
    (SWIFT, r"\bdlclose\(", "an image is never unmapped: see abi.md, step 7"),
    (SWIFT, r"\bstrcpy\(|\bsprintf\(", "use a (pointer, length) view"),
    (SWIFT, r"\b(rand|random|srand)\(\)", "use a seeded generator, so that a failure can be replayed"),
    (r"\.(c|h)$", r"\b(strcpy|strcat|sprintf|gets|alloca)\(", "use a bounded call with an explicit length"),
    (r"\.(swift|c|h)$", r"\b(class|struct|enum|protocol|actor|typealias|func) \w*(Manager|Helper|Utils?|Impl)\b",
     "say what it is: Manager, Helper and Util tell nothing"),
]
# (pattern, what to do), matched against whole lines of every file.
UNWANTED = [
    (r"\b(TODO|FIXME|XXX|HACK)\b", "do it, or file an issue"),
    (r"[ \t]+$", "trailing white space"),
    (r"^(<{7}|>{7}|={7})( |$)", "a merge conflict"),
    (r"(?<![\w./-])/(root|work|home/\w+)/", "a path of somebody's machine"),
]
# Where a banned call is the thing itself: path -> patterns that are allowed there.
ALLOWED = {
    "Tests/EndToEndTests/Harness/Deadline.swift": [r"usleep"],
    "Tests/EndToEndTests/Harness/ChildProcess.swift": [r"usleep"],
}


def tracked_files():
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT, check=True, capture_output=True, text=True)
    return sorted(name for name in set(listed.stdout.split("\0")) if name and (ROOT / name).is_file())


def code_of(line):
    """The line without the text of string literals and comments."""
    line = re.sub(r'"(\\.|[^"\\])*"', '""', line)
    return re.sub(r"//.*$|/\*.*?(\*/|$)|^\s*\*( .*)?$", "", line)


def check(name):
    path = ROOT / name
    if path.suffix in UNCHECKED_SUFFIXES or name in UNCHECKED or name.startswith(UNCHECKED_DIRECTORIES):
        return
    try:
        content = path.read_text()
    except UnicodeDecodeError:
        yield 1, "not UTF-8"
        return
    lines = content.split("\n")
    if content and not content.endswith("\n"):
        yield len(lines), "no newline at the end"
    is_code = path.suffix in (".swift", ".c", ".h", ".py", ".sh")
    limit = LONGER.get(name, LINES)
    if is_code and len(lines) - 1 > limit:
        yield limit, f"{len(lines) - 1} lines, {limit} are allowed: one reason to change a file"
    banned = [(re.compile(pattern), what) for files, pattern, what in BANNED if re.search(files, name)]
    for number, line in enumerate(lines, 1):
        if is_code and len(line) > COLUMNS:
            yield number, f"{len(line)} columns, {COLUMNS} are allowed"
        # This file has to name what it looks for.
        if name == "Scripts/tidy.py":
            continue
        for pattern, what in UNWANTED:
            if re.search(pattern, line):
                yield number, what
        code = code_of(line)
        for pattern, what in banned:
            found = pattern.search(code)
            if found and not any(re.search(allowed, found.group()) for allowed in ALLOWED.get(name, [])):
                yield number, f"{found.group().strip()} is banned: {what}"


def main():
    findings = 0
    for name in tracked_files():
        for number, what in check(name):
            print(f"{name}:{number}: {what}")
            findings += 1
    for name in LONGER:
        if not (ROOT / name).exists():
            print(f"Scripts/tidy.py: {name} is allowed to be long but is gone")
            findings += 1
    sys.exit(1 if findings else 0)


if __name__ == "__main__":
    main()
