"""The pages of docs/findings: each can be run, belongs to an environment, and stands in the index."""

from __future__ import annotations

import shutil
import sys
import tomllib
from pathlib import Path

import pytest

from conformance.targets.registry import installed
from implementations.findings import block, header, index, printed

HERE = Path(__file__).parents[1]
PAGES = sorted(path for path in (HERE / "docs/findings").glob("*.md") if path.stem != "README")
ENVIRONMENTS = tomllib.loads((HERE / "implementations/environments.toml").read_text())


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_page_has_a_script_and_what_it_prints(page: Path) -> None:
    text = page.read_text()
    language, script = block(text, "python", "js")
    if language == "python":
        compile(script, page.name, "exec")
    assert block(text, "text")[1]
    facts = header(text)
    assert facts["environment"] in ENVIRONMENTS
    assert facts["severity"].partition(":")[0] in ("high", "medium", "low")
    assert "import conformance" not in script, "it shows the finding without the suite"


def test_the_index_has_every_page() -> None:
    assert (HERE / "docs/findings/README.md").read_text() == index(PAGES), "write it again: --index"


def test_what_adapters_call_known_has_a_page() -> None:
    sources = [path.read_text() for path in (HERE / "implementations").glob("*/*.py")]
    named = {part.split('"')[0] for source in sources for part in source.split('finding("')[1:]}
    named |= {part.split('"')[1] for source in sources for part in source.split("finding(\n")[1:]}
    assert named
    assert named <= {page.stem for page in PAGES}


def test_every_backend_of_an_environment_is_registered() -> None:
    named = [own for name, e in ENVIRONMENTS.items() if name != "subset" for own in e["backends"]]
    assert len(named) == len(set(named))
    assert set(named) <= set(installed())
    assert set(ENVIRONMENTS["subset"]["backends"]) <= set(named), "what CI judges has another environment too"


def test_a_signal_shows_in_what_a_script_prints() -> None:
    assert printed("python", "print(1)\n", sys.executable) == "1\n"
    assert printed("python", "import os\nos.abort()\n", sys.executable) == "(ended by SIGABRT)\n"


def test_a_script_that_does_not_end_is_told_and_stops_no_other() -> None:
    told = printed("python", "import time\ntime.sleep(600)\n", sys.executable, seconds=1)
    assert told == "(did not end within 1 s)\n"


@pytest.mark.skipif(shutil.which("node") is None, reason="node is not installed")
def test_a_script_in_javascript_runs_where_npm_installs_its_packages() -> None:
    script = "import { basename } from 'node:path';\nconsole.log(basename(process.cwd()));\n"
    assert printed("js", script, sys.executable) == "javascript\n"
