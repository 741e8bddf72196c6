"""Run the script of each finding's page, and compare what it prints with what the page says.

    python -m implementations.findings [--python PATH] PAGE…
    python -m implementations.findings --index docs/findings/*.md > docs/findings/README.md

A page has one block ```python or ```js, the script, and one block ```text, its standard output. A process that a signal
ends adds a line, such as "(ended by SIGABRT)"; so does one that does not end.
"""

from __future__ import annotations

import argparse
import re
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

#: Where npm installs the packages that the scripts in JavaScript import.
JAVASCRIPT = Path(__file__).parent / "javascript"

#: The seconds that a script may take: what compiles itself at its first import takes many minutes.
SECONDS = 1800

INDEX = """# Findings

What the suite, and reading beside it, found in software that people ship. Each page has a script that shows it without
the suite; `nox -s findings` runs them all. A backend's `expected_failures` name these pages. A finding's name stays.

| finding | what | class | severity |
|---|---|---|---|"""


def block(page: str, *languages: str) -> tuple[str, str]:
    """The language and the text of the only block in one of ``languages``; raises ``ValueError`` if it is not one."""
    found = re.findall(rf"^```({'|'.join(languages)})\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    if len(found) != 1:
        raise ValueError(f"expected one block of {' or '.join(languages)}, found {len(found)}")
    return found[0]


def printed(language: str, script: str, python: str, seconds: float = SECONDS) -> str:
    """What the script prints to standard output, and the signal that ended it, or that it did not end in time."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "finding.py")
        path.write_text(script)
        command = [python, str(path)]
        if language == "js":
            # What Node reads from standard input finds the packages of the folder in which it is started.
            command, folder = ["node", "--input-type=module"], str(JAVASCRIPT)
        options = {"cwd": folder, "input": script if language == "js" else "", "timeout": seconds}
        try:
            done = subprocess.run(command, **options, capture_output=True, text=True, check=False)
        except subprocess.TimeoutExpired as late:
            return f"{(late.stdout or b'').decode()}(did not end within {seconds:g} s)\n"
    if done.returncode > 0:
        return f"{done.stdout}{done.stderr}(exit status {done.returncode})\n"
    return done.stdout + (f"(ended by {signal.Signals(-done.returncode).name})\n" if done.returncode else "")


def header(page: str) -> dict[str, str]:
    """The page's title, and the facts below it: environment, versions, class, severity, properties."""
    title, _, rest = page.partition("\n")
    facts = rest.split("```", 2)[1].strip().splitlines()
    return {"title": title.removeprefix("# ").partition(": ")[2], **dict(fact.split(": ", 1) for fact in facts)}


def index(pages: list[Path]) -> str:
    """The table of all findings, as a page."""
    rows = []
    for path in pages:
        facts = header(path.read_text())
        severity = facts["severity"].partition(":")[0]
        rows.append(f"| [{path.stem}]({path.name}) | {facts['title']} | {facts['class']} | {severity} |")
    return "\n".join([INDEX, *rows, ""])


def main() -> int:
    """Say of each page whether it holds; 1 if one does not."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--python", default=sys.executable, help="the interpreter with the framework")
    parser.add_argument("--index", action="store_true", help="print the table of the pages instead")
    parser.add_argument("pages", nargs="+", type=Path, metavar="PAGE")
    arguments, wrong = parser.parse_args(), 0
    if arguments.index:
        print(index([path for path in arguments.pages if path.stem != "README"]), end="")
        return 0
    for path in arguments.pages:
        page = path.read_text()
        expected, found = block(page, "text")[1], printed(*block(page, "python", "js"), arguments.python)
        print(f"{'holds' if found == expected else 'CHANGED'}  {path.stem}", flush=True)
        if found != expected:
            wrong += 1
            print(f"  the page says\n{expected}\n  it printed\n{found}")
    return min(wrong, 1)


if __name__ == "__main__":
    sys.exit(main())
