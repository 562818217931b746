"""The command tree: every mistake is one line and an exit status, and starting is quick."""

import os
import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from smokemesh.cli import main as module
from smokemesh.cli.main import COMMANDS, Entry, main
from smokemesh.errors import AuthError, ConfigError, HostError, SmokemeshError
from smokemesh.version import __version__


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "smokemesh", *arguments],
        capture_output=True, text=True, timeout=60, check=False, env={**os.environ, **environment},
    )  # fmt: skip


def failing(error: BaseException) -> click.Command:
    @click.command()
    def command() -> None:
        raise error

    return command


@pytest.fixture
def as_doctor(monkeypatch: pytest.MonkeyPatch) -> object:
    """Puts a command of the test's in the place of one of ours."""

    def put(command: click.Command) -> None:
        monkeypatch.setattr(module, "load", lambda name, entry: command)

    return put


def test_version() -> None:
    done = run("--version")
    assert (done.returncode, done.stdout, done.stderr) == (0, f"smokemesh {__version__}\n", "")


def test_help_lists_every_command_without_loading_one() -> None:
    code = (
        "import sys\nfrom smokemesh.cli.main import main\n"
        "try: main(['--help'])\n"
        "except SystemExit: print(sorted(m for m in sys.modules if m.startswith('smokemesh.') or m in ('numpy', 'rich', 'yaml')))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    *shown, loaded = done.stdout.splitlines()
    assert all(any(line.startswith(f"  {name} ") for line in shown) for name in main.list_commands(click.Context(main)))
    assert loaded == "['smokemesh.cli', 'smokemesh.cli.main', 'smokemesh.errors', 'smokemesh.version']"


def test_every_command_loads_and_explains_itself() -> None:
    for name in main.list_commands(click.Context(main)):
        result = CliRunner().invoke(main, [name, "--help"])
        assert result.exit_code == 0, (name, result.output)
        assert result.stdout.startswith(f"Usage: smokemesh {name}")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["confg"], "smokemesh: no such command: confg, did you mean config?; see `smokemesh --help`\n"),
        (["xyzzy"], "smokemesh: no such command: xyzzy; see `smokemesh --help`\n"),
        (["--colour"], "smokemesh: no such option '--colour'; see `smokemesh --help`\n"),
        (["doctor", "now"], "smokemesh: got unexpected extra argument (now); see `smokemesh doctor --help`\n"),
        (["config", "check"], "smokemesh: missing argument 'FILE...'; see `smokemesh config check --help`\n"),
    ],
)
def test_usage_errors_are_one_line(arguments: list[str], message: str) -> None:
    result = CliRunner().invoke(main, arguments)
    assert (result.exit_code, result.stdout, result.stderr) == (2, "", message)


@pytest.mark.parametrize(
    ("error", "status", "message"),
    [
        (SmokemeshError("the thing: 3 is wrong, write 4"), 1, "smokemesh: the thing: 3 is wrong, write 4\n"),
        (ConfigError("a is wrong; write b", file="f.yaml", line=7), 2, "smokemesh: f.yaml:7: a is wrong; write b\n"),
        (HostError("no"), 3, "smokemesh: no\n"),
        (AuthError("no"), 4, "smokemesh: no\n"),
        (PermissionError(13, "Permission denied", "/nowhere/x"), 3, "smokemesh: /nowhere/x: Permission denied\n"),
        (ModuleNotFoundError("No module named 'litestar'", name="litestar"), 3,
         "smokemesh: Python package litestar is not installed: pip install 'smokemesh[master]'\n"),
        (KeyboardInterrupt(), 130, "\n"),
        (SmokemeshError("two\nlines"), 1, "smokemesh: two lines\n"),
    ],
)  # fmt: skip
def test_errors_are_one_line(as_doctor, error: BaseException, status: int, message: str) -> None:  # type: ignore[no-untyped-def]
    as_doctor(failing(error))
    result = CliRunner().invoke(main, ["doctor"])
    assert (result.exit_code, result.stdout, result.stderr) == (status, "", message)


def test_our_own_fault_is_one_line_and_a_file(as_doctor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:  # type: ignore[no-untyped-def]
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    as_doctor(failing(KeyError("boom")))
    result = CliRunner().invoke(main, ["doctor"])
    (kept,) = tmp_path.iterdir()
    assert result.exit_code == 70
    assert result.stderr == f"smokemesh: internal error: KeyError: 'boom'; details in {kept}\n"
    assert "Traceback (most recent call last)" in kept.read_text()
    assert kept.stat().st_mode & 0o077 == 0


@pytest.mark.parametrize(
    ("arguments", "environment"), [(["--debug", "doctor"], {}), (["doctor"], {"SMOKEMESH_DEBUG": "1"})]
)
def test_debug_shows_where(as_doctor, arguments: list[str], environment: dict[str, str]) -> None:  # type: ignore[no-untyped-def]
    as_doctor(failing(KeyError("boom")))
    result = CliRunner().invoke(main, arguments, env=environment)
    assert result.exit_code == 70
    assert "Traceback (most recent call last)" in result.stderr
    assert result.stderr.endswith("smokemesh: internal error: KeyError: 'boom'\n")


def test_a_command_may_end_with_its_own_status(as_doctor) -> None:  # type: ignore[no-untyped-def]
    @click.command()
    @click.pass_context
    def command(context: click.Context) -> None:
        context.exit(5)

    as_doctor(command)
    assert CliRunner().invoke(main, ["doctor"]).exit_code == 5


def test_a_command_this_build_lacks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(COMMANDS, "query", Entry("smokemesh.cli.nowhere", ""))
    result = CliRunner().invoke(main, ["query"])
    assert result.exit_code == 2
    assert result.stderr == f"smokemesh: query: this build of smokemesh {__version__} comes without it\n"


def test_a_package_this_host_lacks(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "needy.py").write_text("import no_such_package_anywhere\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setitem(COMMANDS, "query", Entry("needy", ""))
    result = CliRunner().invoke(main, ["query"])
    assert result.exit_code == 3
    assert result.stderr == (
        "smokemesh: Python package no_such_package_anywhere is not installed: pip install 'smokemesh[master]'\n"
    )


@pytest.mark.parametrize(
    ("variable", "cure"),
    [
        ("SMOKEMESH_DOCTOR_LISTN", "write SMOKEMESH_DOCTOR_LISTEN"),
        ("SMOKEMESH_DEBGU", "write SMOKEMESH_DEBUG"),
        ("SMOKEMESH_XYZZY", "remove it"),
    ],
)
def test_a_variable_nothing_reads_is_refused(variable: str, cure: str) -> None:
    result = CliRunner().invoke(main, ["doctor"], env={variable: "1"})
    assert result.exit_code == 2
    assert result.stderr == f"smokemesh: environment variable {variable}: nothing reads it; {cure}\n"


@pytest.mark.parametrize(
    "variable",
    ["SMOKEMESH_MASTER_LISTEN", "SMOKEMESH_SERVICE_HOST", "SMOKEMESH_PORT", "SMOKEMESH_PORT_8080_TCP_ADDR", "SMOKEMESH_DOCTOR_SERVICE_PORT_HTTP"],
)  # fmt: skip
def test_variables_of_other_commands_and_of_kubernetes_are_left_alone(variable: str) -> None:
    assert CliRunner().invoke(main, ["doctor", "--help"], env={variable: "tcp://192.0.2.1:80"}).exit_code == 0


def test_options_are_read_from_the_environment() -> None:
    result = CliRunner().invoke(main, ["doctor"], env={"SMOKEMESH_DOCTOR_LISTEN": "nowhere"})
    assert result.exit_code == 2
    assert result.stderr.startswith('smokemesh: --listen "nowhere" is not an address to listen on')


def test_variables_are_named_as_the_options_are() -> None:
    for name in main.list_commands(click.Context(main)):
        command = main.get_command(click.Context(main), name)
        assert command is not None
        for option in (param for param in command.params if isinstance(param, click.Option) and param.opts[-1] != "-h"):
            long = [opt for opt in option.opts if opt.startswith("--")]
            assert option.envvar == [f"SMOKEMESH_{name}_{opt[2:]}".replace("-", "_").upper() for opt in long]


def test_a_reader_that_goes_away_is_no_error() -> None:
    """`smokemesh config schema | head -1`."""
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run(
        [sys.executable, "-m", "smokemesh", "config", "schema"],
        stdout=write,
        stderr=subprocess.PIPE,
        timeout=60,
        check=False,
    )
    os.close(write)
    assert (done.returncode, done.stderr) == (1, b"")
