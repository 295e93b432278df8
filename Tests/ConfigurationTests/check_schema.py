"""Holds Docs/plugins.schema.json to the reader's verdicts over the corpus.

Swift tests hold the reader to the corpus (CorpusTests.swift); this holds the schema to it: all of `good` is accepted,
each of `structure` refused. Of `meaning` a schema sees nothing wrong, which is what keeps files in the right folder.
Needs jsonschema and PyYAML; exits 1 when a verdict differs.
"""

import json
import pathlib
import re
import sys

import jsonschema
import yaml

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
NUMBER = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?")
CORE = "tag:yaml.org,2002:"


def value(node):
    """A node typed by the rules of Docs/configuration.md, which are those of editors' YAML 1.2 but for yes and no."""
    if isinstance(node, yaml.MappingNode):
        return {key.value: value(item) for key, item in node.value}
    if isinstance(node, yaml.SequenceNode):
        return [value(item) for item in node.value]
    text = node.value
    # compose() resolves a plain scalar's tag by YAML 1.1, so a tag counts only where the author's style shows one.
    if node.style is not None and node.tag == CORE + "str":
        return text
    if text in ("", "~", "null"):
        return None
    if text in ("true", "false"):
        return text == "true"
    if NUMBER.fullmatch(text):
        return float(text) if re.search(r"[.eE]", text) else int(text)
    return text


def main():
    schema = json.loads((ROOT / "Docs" / "plugins.schema.json").read_text())
    jsonschema.Draft202012Validator.check_schema(schema)
    validator = jsonschema.Draft202012Validator(schema)
    wrong = 0
    count = 0
    for folder, accepts in (("good", True), ("structure", False), ("meaning", True)):
        for path in sorted((HERE / "Corpus" / folder).glob("*.yaml")):
            count += 1
            tree = value(yaml.compose(path.read_text(), Loader=yaml.SafeLoader))
            complaint = next(iter(validator.iter_errors(tree)), None)
            if (complaint is None) != accepts:
                wrong += 1
                why = complaint.message[:200] if complaint else "nothing is wrong"
                print(f"{path.relative_to(ROOT)}: the schema says: {why}", file=sys.stderr)
    if count < 20:
        print(f"only {count} files in the corpus", file=sys.stderr)
        wrong += 1
    print(f"{count} files, {wrong} verdicts of the schema differ from the reader's")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
