"""The action for GitHub and the job for GitLab are what these ask for, and their scripts do what docs/ci.md says.

Linters judge them and every example of the page. A stand-in for GitHub or GitLab runs the scripts: it sets the
environment that they would set, with a stand-in for pip, and either the suite or a recorder of its arguments.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from programs import ROOT, SAMPLES

from conformance.drivers.commands import commands
from conformance.drivers.options import parser

yaml = pytest.importorskip("ruamel.yaml", reason="the extra 'workflows' is not installed: no ruamel.yaml")

ACTION = ROOT / ".ci/action/action.yml"
JOB = ROOT / ".ci/gitlab/lstm-conformance.yml"
PAGE = (ROOT / "docs/ci.md").read_text(encoding="utf-8")

#: How the examples of the page name the action.
REMOTE = "OWNER/lstm-conformance/.ci/action@v1"

#: Text that would run, expand or end a quotation if it became a part of a script.
HOSTILE = """'"; touch owned; $(touch owned) `touch owned` ${HOME} * \\ %s --only && touch owned #\ntouch owned\nEND"""


def _documents(text: str) -> list[Any]:
    return list(yaml.YAML(typ="safe").load_all(text))


def _tool(name: str) -> str:
    """The path of a linter; the test is skipped where there is none."""
    path = shutil.which(name, path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    if path is None:
        pytest.skip(f"the extra 'workflows' is not installed: no {name}")
    return path


def _examples(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


WORKFLOWS = [text for text in _examples("yaml") if "runs-on" in text]
PIPELINES = [text for text in _examples("yaml") if "runs-on" not in text]


def _action() -> dict[str, Any]:
    [action] = _documents(ACTION.read_text(encoding="utf-8"))
    return action


def _job(**given: str) -> dict[str, Any]:
    """GitLab's job, for inputs."""
    header, body = _documents(JOB.read_text(encoding="utf-8"))
    inputs: dict[str, str] = {name: about.get("default", "") for name, about in header["spec"]["inputs"].items()}
    assert set(given) <= set(inputs)
    inputs |= given

    def filled(value: Any) -> Any:
        if isinstance(value, dict):
            return {name: filled(each) for name, each in value.items()}
        if isinstance(value, list):
            return [filled(each) for each in value]
        if isinstance(value, str):
            return re.sub(r"\$\[\[ inputs\.([\w-]+) \]\]", lambda found: inputs[found[1]], value)
        return value

    return filled(body)


# Linters


def _fits(schema: str, *texts: str, folder: Path) -> None:
    files = [folder / f"{at}.yml" for at in range(len(texts))]
    for file, text in zip(files, texts, strict=True):
        file.write_text(text, encoding="utf-8")
    pytest.importorskip("check_jsonschema", reason="the extra 'workflows' is not installed: no check-jsonschema")
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", schema, *map(str, files)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def _linted(folder: Path, *workflows: str) -> str:
    """What actionlint, with shellcheck, says of workflows in a repository that has the action."""
    _tool("shellcheck")
    for path in (".git", ".github/workflows", ".ci/action"):
        (folder / path).mkdir(parents=True, exist_ok=True)
    (folder / ".ci/action/action.yml").write_bytes(ACTION.read_bytes())
    for at, text in enumerate(workflows):
        local = text.replace(REMOTE, "./.ci/action")
        (folder / f".github/workflows/{at}.yml").write_text(local, encoding="utf-8")
    command = [_tool("actionlint"), "-no-color", "-shellcheck", _tool("shellcheck")]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True).stdout


def _as_workflow(action: dict[str, Any]) -> str:
    """A workflow that is called with the action's inputs and has its steps: linters read the scripts of no action."""
    inputs = {name: {"type": "string", "default": about["default"]} for name, about in action["inputs"].items()}
    steps = [{key: value for key, value in step.items() if key != "shell"} for step in action["runs"]["steps"]]
    job = {"runs-on": "ubuntu-latest", "defaults": {"run": {"shell": "bash"}}, "steps": steps}
    return json.dumps({"on": {"workflow_call": {"inputs": inputs}}, "jobs": {"steps": job}})


def test_the_action_is_one(tmp_path: Path) -> None:
    _fits("vendor.github-actions", ACTION.read_text(encoding="utf-8"), folder=tmp_path)


def test_the_actions_steps_are_sound(tmp_path: Path) -> None:
    """Its expressions, the inputs of the actions that it uses, and its scripts; no script has an expression in it."""
    assert _linted(tmp_path, _as_workflow(_action())) == ""
    assert not [step for step in _action()["runs"]["steps"] if "${{" in step.get("run", "")]


def test_a_workflow_of_the_page_uses_the_action_as_it_is(tmp_path: Path) -> None:
    assert len(WORKFLOWS) == PAGE.count(REMOTE) > 1
    _fits("vendor.github-workflows", *WORKFLOWS, folder=tmp_path)
    assert _linted(tmp_path, *WORKFLOWS) == ""


def test_the_linters_bite(tmp_path: Path) -> None:
    """An input that the action has not, and an expression in a script."""
    text = WORKFLOWS[0].replace("targets:", "target:") + "      - run: echo ${{ github.head_ref }} $HOME\n"
    said = _linted(tmp_path, text)
    assert 'input "target" is not defined in action "LSTM conformance"' in said
    assert '"github.head_ref" is potentially untrusted' in said
    assert "SC2086" in said


def test_the_pipelines_of_the_page_and_the_job_are_gitlabs(tmp_path: Path) -> None:
    header, _ = JOB.read_text(encoding="utf-8").split("---\n")
    _fits("vendor.gitlab-ci", *PIPELINES, header, json.dumps(_job(suite="suite")), folder=tmp_path)


def test_a_pipeline_of_the_page_gives_inputs_that_the_job_has() -> None:
    header, body = _documents(JOB.read_text(encoding="utf-8"))
    known = header["spec"]["inputs"]
    assert len(PIPELINES) > 1
    for [pipeline] in map(_documents, PIPELINES):
        [included] = pipeline["include"]
        assert included["remote"].endswith(JOB.relative_to(ROOT).as_posix())
        assert (
            {name for name, about in known.items() if "default" not in about} <= set(included["inputs"]) <= set(known)
        )
        assert all(isinstance(value, str) for value in included["inputs"].values())
        assert set(pipeline) - {"include"} <= set(body)


def test_the_jobs_script_is_sound() -> None:
    """For every shell that GitLab may take."""
    script = "\n".join(_job(suite="suite")["lstm-conformance"]["script"])
    done = subprocess.run([_tool("shellcheck"), "--shell=sh", "-"], input=script, capture_output=True, text=True)
    assert done.stdout == ""
    assert "$[[" not in "".join(_documents(JOB.read_text(encoding="utf-8"))[1]["lstm-conformance"]["script"])


def test_both_judge_in_the_same_way() -> None:
    """The options are made by the same lines, and the inputs have the same names and usual values."""
    [header, _] = _documents(JOB.read_text(encoding="utf-8"))
    [_, _, judge, _] = _action()["runs"]["steps"]
    options = re.compile(r"^set -- --json.*?(?=^while)", re.MULTILINE | re.DOTALL)
    assert options.findall(judge["run"]) == options.findall(_job(suite="suite")["lstm-conformance"]["script"][-1]) != []
    action = {name: about["default"] for name, about in _action()["inputs"].items() if name != "artifact"}
    job = {name: about.get("default") for name, about in header["spec"]["inputs"].items()}
    assert action == {name: value for name, value in job.items() if name not in ("suite", "stage")}


def test_the_page_tells_every_input_and_output() -> None:
    told = re.findall(r"^\| `([\w-]+)` \|", PAGE, re.MULTILINE)
    assert told == [*_action()["inputs"], *_action()["outputs"]]


@pytest.mark.parametrize("line", [line for text in _examples("sh") for line in text.splitlines()])
def test_a_command_of_the_page_is_understood(line: str) -> None:
    """Every option that it has."""
    program, *arguments = shlex.split(line)
    if program == "lstm-conformance":
        parser({}, commands()).parse_args(arguments)
    else:
        assert line.startswith("pip install ")


# Runs

#: Stands for ``python``: what it would install it only notes.
PYTHON = f"""#!/bin/sh
[ "$1 $2 $3" != "-m pip install" ] || {{ printf '%s\\n' "$4" >> "$INSTALLED"; exit; }}
exec {shlex.quote(sys.executable)} "$@"
"""

#: Stands for ``lstm-conformance``, as it is installed here.
SUITE = f"""#!/bin/sh
exec {shlex.quote(sys.executable)} -m conformance "$@"
"""

#: Stands for ``lstm-conformance``, and notes its arguments.
RECORDER = f"""#!{sys.executable}
import json, sys
json.dump(sys.argv[1:], open("arguments.json", "w"))
"""


@dataclass
class Machine:
    """A machine of GitHub's or GitLab's: the folder of the project, and the environment of its scripts."""

    folder: Path
    environ: dict[str, str]

    @property
    def arguments(self) -> list[str]:
        """Those of ``lstm-conformance run``, of which the files are left out."""
        run, *words = json.loads((self.folder / "arguments.json").read_text(encoding="utf-8"))
        files = {"--json", "--html", "--markdown", "--junit", "--badge"}
        assert run == "run"
        assert set(words[0:10:2]) == files
        return words[10:]

    @property
    def installed(self) -> list[str]:
        """What pip was asked for."""
        return Path(self.environ["INSTALLED"]).read_text(encoding="utf-8").splitlines()

    def shell(self, *command: str, **environ: str) -> int:
        """Run a command as the machine would, and return its exit code."""
        done = subprocess.run(command, cwd=self.folder, env=self.environ | environ, capture_output=True, text=True)
        sys.stdout.write(done.stdout)
        sys.stderr.write(done.stderr)
        return done.returncode

    def github(self, **given: str) -> tuple[int, dict[str, str], str]:
        """Take the action's steps: the exit code of the last script, the action's outputs, and the job's summary."""
        action = _action()
        inputs = {name: about["default"] for name, about in action["inputs"].items()}
        assert set(given) <= set(inputs)
        outputs, summary = (self.folder.parent / name for name in ("outputs.txt", "summary.md"))
        runner = {"GITHUB_OUTPUT": outputs, "GITHUB_STEP_SUMMARY": summary, "RUNNER_TEMP": self.folder.parent}
        code = 0
        for step in action["runs"]["steps"]:
            if "run" not in step or code:
                continue
            script = self.folder.parent / "script.sh"
            script.write_text(step["run"], encoding="utf-8")
            environ = {name: _value(text, inputs | given) for name, text in step.get("env", {}).items()}
            environ |= {name: str(path) for name, path in runner.items()} | {"GITHUB_ACTION_PATH": str(ACTION.parent)}
            # What GitHub means by `shell: bash`.
            assert step["shell"] == "bash"
            code = self.shell("bash", "--noprofile", "--norc", "-eo", "pipefail", str(script), **environ)
        written = dict(line.split("=", 1) for line in outputs.read_text().splitlines()) if outputs.exists() else {}
        return code, written, summary.read_text(encoding="utf-8") if summary.exists() else ""

    def gitlab(self, **given: str) -> int:
        """Run the job's script, and return its exit code."""
        job = _job(suite="suite", **given)["lstm-conformance"]
        environ = {name: variable["value"] for name, variable in job["variables"].items()}
        assert not any(variable["expand"] for variable in job["variables"].values())
        return self.shell("sh", "-ec", "\n".join(job["script"]), **environ)


def _value(text: str, inputs: dict[str, str]) -> str:
    """The value of an expression that names an input."""
    return re.sub(r"\$\{\{ inputs\.([\w-]+) \}\}", lambda found: inputs[found[1]], text)


def _machine(folder: Path, suite: str) -> Machine:
    programs = folder / "programs"
    programs.mkdir()
    for name, text in (("python", PYTHON), ("lstm-conformance", suite)):
        (programs / name).write_text(text, encoding="utf-8")
        (programs / name).chmod(0o755)
    project = folder / "a project"
    project.mkdir()
    path = f"{programs}{os.pathsep}{os.environ['PATH']}"
    return Machine(project, {**os.environ, "PATH": path, "INSTALLED": str(folder / "installed.txt")})


@pytest.fixture
def recorded(tmp_path: Path) -> Machine:
    """A machine with a recorder in the place of the suite."""
    return _machine(tmp_path, RECORDER)


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    """A machine with the suite."""
    return _machine(tmp_path, SUITE)


def test_every_input_becomes_an_option(recorded: Machine) -> None:
    given = {"targets": "a.py:A\nexec:node b.mjs\n", "cases": "5", "seed": "7", "quick": "true", "strict": "true"}
    given |= {"arguments": "--timeout 120\n--only values", "install": "echo one\necho two > two.txt"}
    options = ["--cases=5", "--seed=7", "--quick", "--strict", "--timeout", "120", "--only", "values"]
    recorded.github(**given)
    assert recorded.arguments == [*options, "--", "a.py:A", "exec:node b.mjs"]
    assert (recorded.folder / "two.txt").exists()
    recorded.gitlab(**given)
    assert recorded.arguments == [*options, "--", "a.py:A", "exec:node b.mjs"]
    assert [Path(name).resolve() for name in recorded.installed] == [ROOT, ROOT.cwd() / "suite"]


def test_without_inputs_the_settings_of_the_project_hold(recorded: Machine) -> None:
    recorded.github()
    assert recorded.arguments == ["--"]
    recorded.gitlab()
    assert recorded.arguments == ["--"]


def test_no_input_becomes_a_part_of_a_script(recorded: Machine) -> None:
    """Whatever is in it arrives as one word, or as its lines or words where the input has several."""
    expected = {
        "targets": ["--", *HOSTILE.splitlines()],
        "cases": [f"--cases={HOSTILE}", "--"],
        "seed": [f"--seed={HOSTILE}", "--"],
        "arguments": [*HOSTILE.split(), "--"],
    }
    for name, words in expected.items():
        recorded.github(**{name: HOSTILE})
        assert recorded.arguments == words
        recorded.gitlab(**{name: HOSTILE})
        assert recorded.arguments == words
    assert recorded.github(quick=HOSTILE)[0] == 2
    assert not list(recorded.folder.parent.rglob("owned"))


def test_a_target_that_looks_like_an_option_is_none(machine: Machine) -> None:
    assert machine.github(targets="--help")[0] == 2


def test_a_project_that_cannot_be_installed_ends_the_job(recorded: Machine) -> None:
    code, outputs, _ = recorded.github(install="false\ntrue")
    assert (code, outputs) == (1, {})
    assert recorded.gitlab(install="false\ntrue") == 1
    assert not (recorded.folder / "arguments.json").exists()


KEPT = {"report.html", "report.json", "junit.xml", "summary.md", "badge.svg"}
FEW = "--in-process --diagnose 0 --only layout.shapes values.output"


@pytest.mark.parametrize(("name", "code"), [("right", 0), ("swapped", 1), ("missing", 2)])
def test_the_action_ends_as_the_suite_and_keeps_what_it_wrote(name: str, code: int, machine: Machine) -> None:
    ended, outputs, summary = machine.github(targets=f"{SAMPLES}:{name}", cases="0", arguments=FEW)
    assert ended == code == int(outputs["exit-code"])
    assert outputs["conformant"] == str(code == 0).lower()
    report = Path(outputs["report"])
    assert {path.name for path in report.iterdir()} == KEPT
    assert summary == (report / "summary.md").read_text(encoding="utf-8")


@pytest.mark.parametrize(("name", "code"), [("right", 0), ("swapped", 1)])
def test_the_job_ends_as_the_suite_and_keeps_what_it_wrote(name: str, code: int, machine: Machine) -> None:
    assert machine.gitlab(targets=f"{SAMPLES}:{name}", cases="0", arguments=FEW) == code
    kept = _job(suite="suite")["lstm-conformance"]["artifacts"]
    assert {path.name for path in (machine.folder / kept["paths"][0]).iterdir()} == KEPT
    assert (machine.folder / kept["reports"]["junit"]).is_file()


def test_the_summary_of_a_run_that_wrote_none_says_so(recorded: Machine) -> None:
    """As of a usage error, or of a summary that GitHub would not show."""
    code, outputs, summary = recorded.github()
    assert (code, outputs["conformant"]) == (0, "false")
    assert "no summary" in summary
