"""The README and the docs say what is so: their code is the examples' code, their commands and tables the real ones."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from runstream.cli.exit_codes import WORST_FIRST
from runstream.cli.parser import EXIT_CODES, build_parser

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
CLI = (ROOT / "docs" / "cli.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"<!-- (\S+) -->\n\n```python\n(.*?)```", README, re.DOTALL)


def test_there_are_examples() -> None:
    """A run with a tool comes first, then an async one and a callback one, and the Rx one after them."""
    assert [name for name, _ in BLOCKS] == [
        "examples/23_first_run.py",
        "examples/01_watch.py",
        "examples/02_callbacks.py",
        "examples/04_plain_rx.py",
    ]
    assert README.count("```python") == len(BLOCKS)


@pytest.mark.parametrize(("name", "code"), BLOCKS, ids=[name for name, _ in BLOCKS])
def test_code_is_the_examples(name: str, code: str) -> None:
    """Each line of a Python block stands in its example, which another test runs."""
    # The example may have the line in a function, indented.
    example = [line.strip() for line in (ROOT / name).read_text(encoding="utf-8").splitlines()]
    for line in code.splitlines():
        if line.startswith(("import ", "from ")):
            exec(line, {})  # fewer names than in the example, but names that are there
        else:
            assert line.strip() in example
    assert len(code.splitlines()) <= 24


def test_the_first_program_runs_as_printed(tmp_path: Path) -> None:
    """It is the same in the quickstart, is whole, and prints the result of a run whose call was answered."""
    code = BLOCKS[0][1]
    quickstart = (ROOT / "docs" / "quickstart.md").read_text(encoding="utf-8")
    assert re.findall(r"^```python.*?\n(.*?)```", quickstart, re.DOTALL | re.MULTILINE)[0] == code
    program = tmp_path / "program.py"
    program.write_text(code, encoding="utf-8")
    done = subprocess.run([sys.executable, program], capture_output=True, text=True, timeout=60, check=False)
    assert (done.stdout, done.stderr) == ("completed It is sunny in Oslo.\n", "")
    assert f"It prints `{done.stdout.strip()}`" in README


def test_python_blocks_compile() -> None:
    """What is shown can be pasted."""
    for name, code in BLOCKS:
        compile(code, name, "exec")


def test_commands_of_a_clone() -> None:
    """The two commands that do all their own set-up name extras that exist."""
    commands = re.findall(r"^python3 -m venv \.venv && .*$", README, re.MULTILINE)
    assert len(commands) == 2
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    for command in commands:
        assert set(re.findall(r"\.\[(\w+)\]", command)) <= set(project["optional-dependencies"])
    assert commands[0].endswith("runstream demo")
    assert commands[1].endswith("pytest")


def test_each_command_is_listed_once() -> None:
    """The list of commands has no line twice, and names commands that exist."""
    (listed,) = re.findall(r"^```\n(runstream demo .*?)```$", README, re.DOTALL | re.MULTILINE)
    lines = listed.splitlines()
    assert len(set(lines)) == len(lines)
    (commands,) = (action.choices for action in build_parser()._actions if action.dest == "command")
    assert {line.split()[1] for line in lines} <= set(commands or ())


@pytest.mark.parametrize("text", [README, CLI], ids=["README", "docs/cli.md"])
def test_exit_codes(text: str) -> None:
    """The table of exit codes is the help's, in the order of worst first."""
    documented = re.findall(r"^\| (\d) \| (.*?) \|$", text, re.MULTILINE)
    helped = re.findall(r"^  (\d)    (.*)$", EXIT_CODES, re.MULTILINE)
    assert [int(code) for code, _ in documented[:6]] == [int(code) for code in WORST_FIRST]
    for (code, told), (helped_code, helped_told) in zip(documented[:6], helped, strict=True):
        assert code == helped_code
        assert helped_told.startswith(told)


def test_every_command_and_option_is_documented() -> None:
    """docs/cli.md knows each command and each of its options."""
    (commands,) = (action for action in build_parser()._actions if action.dest == "command")
    assert commands.choices is not None
    for name, parser in commands.choices.items():  # type: ignore[attr-defined]
        assert f"runstream {name}" in CLI
        for action in parser._actions:
            if action.dest not in {"help", "files", "url", "source", "sources", "action"}:
                assert any(option in CLI for option in action.option_strings), (name, action.option_strings)


def test_ten_promises() -> None:
    """The README states all ten, and docs/why.md has a section on each."""
    assert re.findall(r"^\| (\d+) \| \*\*", README, re.MULTILINE) == [str(n) for n in range(1, 11)]
    why = (ROOT / "docs" / "why.md").read_text(encoding="utf-8")
    assert re.findall(r"^## (\d+)\. ", why, re.MULTILINE) == [str(n) for n in range(1, 11)]
