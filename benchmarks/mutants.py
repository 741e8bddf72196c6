"""Which small changes to a correct LSTM does nobody see? ``python -m benchmarks.mutants``, resumable.

A mutant is the source of an implementation with one small change: an operator, a number, a condition, a statement left
out, two arguments or results that change places. Each is judged in a process of its own until the first property does
not hold. A mutant that survives is equivalent to the original, or a gap of this suite: ``EQUIVALENT`` gives the reason
for each that was read, and the command ends with 1 if one has none. Mutants that do not compile, or compile to the
original's machine code, are left out; so are annotations, docstrings and what a decorator declares.

Every mutant that was judged is a line of JSON in ``results/mutants.jsonl``; those already there are not run again.
"""

from __future__ import annotations

import argparse
import ast
import hashlib
import json
import random
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from tabulate import tabulate
from tqdm import tqdm

from benchmarks.mutants_equivalent import EQUIVALENT
from conformance.drivers.target import Isolation, judge_target
from conformance.engine.plan import Settings
from conformance.processes.supervisor import Limits
from conformance.report.model import BackendReport

RESULTS = Path("results/mutants.jsonl")

#: A mutant may loop for ever: a call has so many seconds.
_SECONDS = 20.0

#: What each operator is replaced by.
_BINARY = {
    **{ast.Add: ["-"], ast.Sub: ["+"], ast.Mult: ["/", "+"], ast.Div: ["*"], ast.FloorDiv: ["*"], ast.Mod: ["*"]},
    **{ast.Pow: ["*"], ast.MatMult: ["*"], ast.BitAnd: ["|"], ast.BitOr: ["&"]},
}
_COMPARE = {
    **{ast.Lt: ["<=", ">"], ast.LtE: ["<", ">="], ast.Gt: [">=", "<"], ast.GtE: [">", "<="]},
    **{ast.Eq: ["!="], ast.NotEq: ["=="], ast.Is: ["is not"], ast.IsNot: ["is"], ast.In: ["not in"]},
    ast.NotIn: ["in"],
}

#: The same for C, as patterns of text outside of comments; a pattern's first group is replaced.
_C: dict[str, list[str]] = {
    r" (\+) ": ["-"],
    r" (-) ": ["+"],
    r" (\*) (?!\w+[,;)=]|const)": ["/", "+"],
    r"(\+=) ": ["=", "-="],
    r" (<) ": ["<=", ">"],
    r" (\?) [^:]*:": ["&& 0 ?", "|| 1 ?"],
    r"(?<![\w.>])(\d+)(?![\w.])": ["(@ + 1)", "(@ - 1)"],
    r"(\|\|)": ["&&"],
    r"(&&)": ["||"],
    r"(!)(?!=)": [""],
    r"(!=)": ["=="],
    r"(\+\+)": ["--"],
    r"\b(true)\b": ["false"],
    r"\b(false)\b": ["true"],
    r"\b(tanh|exp|NAME\(sigmoid\))\(": ["", "-"],
    r"^ +((?:\w+ )?[\w\[\]*>. -]+ [-+]?= [^;{}]+;)$": [";"],
    r"^ +((?:mem|NAME)\w+\([^{}]*\);)$": [";"],
    r"\((\w+), (?=\w+\))": ["@ + 1, "],
}


@dataclass(frozen=True)
class Subject:
    """An implementation whose mutants are judged."""

    #: The file that is mutated, and the one that is judged, which is another where the first must be compiled.
    source: str
    target: str
    #: The command that compiles it, in its folder, into ``library``.
    compile: tuple[str, ...] = ()
    library: str = ""


SUBJECTS = {
    "numpy": Subject("implementations/numpy_lstm.py", "numpy_lstm.py"),
    "torch-loop": Subject("implementations/torch_loop.py", "torch_loop.py"),
    "c": Subject(
        "implementations/c_lstm/lstm.inc",
        "c_lstm.py",
        ("cc", "-std=c99", "-O2", "-shared", "-fPIC", "-o", "liblstm.so", "lstm.c", "-lm"),
        "liblstm.so",
    ),
}


@dataclass(frozen=True)
class Mutant:
    """One change: the text from ``start`` to ``end`` of the source becomes ``after``."""

    start: int
    end: int
    after: str

    def applied(self, source: str) -> str:
        """The mutant's source."""
        return source[: self.start] + self.after + source[self.end :]

    def key(self, source: str) -> str:
        """The change in a line: the line of the source as it was, and as it is."""
        first = source.rfind("\n", 0, self.start) + 1
        last = source.find("\n", self.end)
        before, after = source[first:last], self.applied(source)[first : last + len(self.after) - self.end + self.start]
        return f"{' '.join(before.split())}  →  {' '.join(after.split())}"


def of_python(source: str) -> Iterator[Mutant]:
    """Every mutant of Python source."""
    tree = ast.parse(source)
    lines = source.encode().splitlines(keepends=True)
    starts = [0]
    for line in lines:
        starts.append(starts[-1] + len(line.decode()))

    def at(line: int, column: int) -> int:
        return starts[line - 1] + len(lines[line - 1][:column].decode())

    def span(node: Any) -> tuple[int, int]:
        return at(node.lineno, node.col_offset), at(node.end_lineno, node.end_col_offset)

    def text(node: ast.AST) -> str:
        start, end = span(node)
        return source[start:end]

    for node in _mutable(tree):
        for changed in _changes(node, text):
            # Two arguments that change places may be the same.
            if changed != text(node):
                yield Mutant(*span(node), changed)


def _mutable(node: ast.AST) -> Iterator[ast.AST]:
    """The nodes that do something: no annotation, docstring, import or decorator."""
    for name, value in ast.iter_fields(node):
        if name in ("annotation", "returns", "decorator_list", "type_params"):
            continue
        for child in value if isinstance(value, list) else [value]:
            documents = isinstance(child, ast.Expr) and isinstance(child.value, ast.Constant)
            if isinstance(child, ast.AST) and not documents and not isinstance(child, ast.Import | ast.ImportFrom):
                yield child
                yield from _mutable(child)


def _changes(node: ast.AST, text: Any) -> Iterator[str]:
    """What a node's text may become."""
    match node:
        case ast.BinOp(left, op, right):
            yield from (f"(({text(left)}) {other} ({text(right)}))" for other in _BINARY.get(type(op), []))
        case ast.Compare(left, [op], [right]):
            yield from (f"({text(left)} {other} {text(right)})" for other in _COMPARE.get(type(op), []))
        case ast.BoolOp(op, values):
            yield "(" + (" and " if isinstance(op, ast.Or) else " or ").join(f"({text(v)})" for v in values) + ")"
        case ast.UnaryOp(_, operand):
            yield f"({text(operand)})"
        case ast.Constant(bool() as value):
            yield str(not value)
        case ast.Constant(int() | float() as value):
            yield from (f"({value} + 1)", f"({value} - 1)")
        case ast.IfExp(test, body, orelse):
            yield from (f"({text(body)})", f"({text(orelse)})", f"({text(orelse)} if {text(test)} else {text(body)})")
        case ast.Call(function, arguments, keywords):
            yield from _calls(text(function), [text(a) for a in arguments], [text(k) for k in keywords])
        case ast.Tuple([first, second, *others], ast.Load()):
            swapped = ", ".join([text(second), text(first), *map(text, others)])
            # Without brackets where there were none: slices of a subscript may have none.
            yield f"({swapped})" if text(node).startswith("(") else swapped
        case ast.Assign() | ast.AugAssign() | ast.Expr() | ast.Raise():
            yield "pass"
            if isinstance(node, ast.AugAssign):
                yield f"{text(node.target)} = {text(node.value)}"
        case _:
            return


def _calls(function: str, arguments: list[str], keywords: list[str]) -> Iterator[str]:
    """A call with two arguments in each other's place, without one of its keywords, and its argument alone."""
    if len(arguments) > 1:
        yield f"{function}({', '.join([arguments[1], arguments[0], *arguments[2:], *keywords])})"
    if arguments:
        yield f"({arguments[0].removeprefix('*')})"
    for k in range(len(keywords)):
        yield f"{function}({', '.join([*arguments, *keywords[:k], *keywords[k + 1 :]])})"


def of_c(source: str) -> Iterator[Mutant]:
    """Every mutant of C source."""
    comments = [match.span() for match in re.finditer(r"/\*.*?\*/", source, re.DOTALL)]
    for pattern, replacements in _C.items():
        for match in re.finditer(pattern, source, re.MULTILINE):
            start, end = match.span(1)
            if not any(first <= start < last for first, last in comments):
                yield from (Mutant(start, end, new.replace("@", match[1])) for new in replacements)


def mutants(subject: Subject, source: str) -> dict[str, Mutant]:
    """Every mutant of a subject, by what identifies it."""
    made = of_python(source) if subject.source.endswith(".py") else of_c(source)
    keys: dict[str, Mutant] = {}
    for mutant in made:
        key, number = mutant.key(source), 1
        while (name := key if number == 1 else f"{key} ({number})") in keys:
            number += 1
        keys[name] = mutant
    return keys


def judge(subject: Subject, source: str, settings: Settings) -> str | None:
    """The property that a source does not satisfy, "" if all hold; None if it does not compile, or to the same code."""
    original = Path(subject.source)
    if not subject.compile:
        try:
            compile(source, original.name, "exec")
        except SyntaxError:
            return None
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / "mutant"
        if subject.compile:
            shutil.copytree(original.parent, folder, ignore=shutil.ignore_patterns("*.so", "__pycache__"))
            wanted = _compiled(subject, folder)
        else:
            folder.mkdir()
            wanted = None
        (folder / original.name).write_text(source)
        if subject.compile and source != original.read_text():
            built = _compiled(subject, folder)
            if built is None or built == wanted:
                return None
        judged = judge_target(str(folder / subject.target), settings, Isolation(Limits(_SECONDS)))
    if not isinstance(judged, BackendReport):
        return f"{type(judged).__name__}: {judged}"
    return next((f"{verdict.property} ({verdict.outcome})" for verdict in judged.bad), "")


def _compiled(subject: Subject, folder: Path) -> str | None:
    """A digest of the machine code that a folder's source gives; None if it does not compile."""
    done = subprocess.run(subject.compile, cwd=folder, capture_output=True, check=False)
    return None if done.returncode else hashlib.sha256((folder / subject.library).read_bytes()).hexdigest()


def _known(path: Path) -> dict[tuple[str, str], str | None]:
    """The verdicts in a file, by subject and mutant."""
    if not path.exists():
        return {}
    entries = [json.loads(line) for line in path.read_text().splitlines()]
    return {(entry["subject"], entry["mutant"]): entry["caught"] for entry in entries}


def main() -> int:
    """Judge the mutants that are not in the record yet, then say which survived and why."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("subjects", nargs="*", default=list(SUBJECTS), choices=[*SUBJECTS, []], help="default: all")
    parser.add_argument("--sample", type=int, help="so many mutants of each, drawn at random")
    parser.add_argument("--again", action="store_true", help="judge the survivors in the record once more")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--results", type=Path, default=RESULTS)
    options = parser.parse_args()

    settings = Settings(100, options.seed, stop=True, shrink=False)
    rows, unexplained = [], []
    for name in options.subjects:
        subject = SUBJECTS[name]
        source = Path(subject.source).read_text()
        if wrong := judge(subject, source, settings):
            sys.exit(f"{name} itself is not conformant: {wrong}")
        all_mutants = mutants(subject, source)
        chosen = list(all_mutants)
        if options.sample is not None:
            chosen = random.Random(options.seed).sample(chosen, min(options.sample, len(chosen)))
        known = _known(options.results)
        left = [m for m in chosen if (name, m) not in known or (options.again and known[name, m] == "")]
        sources = [all_mutants[key].applied(source) for key in left]
        with ThreadPoolExecutor(options.jobs) as pool, options.results.open("a") as file:
            caught = pool.map(partial(judge, subject, settings=settings), sources)
            for key, by in zip(left, tqdm(caught, desc=name, total=len(left)), strict=True):
                file.write(json.dumps({"subject": name, "mutant": key, "caught": by}, ensure_ascii=False) + "\n")
                file.flush()
        known = _known(options.results)
        judged = {key: known[name, key] for key in chosen if known[name, key] is not None}
        survivors = [key for key, by in judged.items() if by == ""]
        missing = [key for key in survivors if (name, key) not in EQUIVALENT]
        unexplained += [f"{name}: {key}" for key in missing]
        rows.append([name, len(all_mutants), len(judged), len(survivors), len(survivors) - len(missing)])
    print(tabulate(rows, ["subject", "mutants", "judged", "survived", "equivalent"]))
    print("\n".join(["", "survivors without a reason:", *unexplained] if unexplained else []))
    return 1 if unexplained else 0


if __name__ == "__main__":
    sys.exit(main())
