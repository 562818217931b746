"""The command tree, loaded as it is used, and the one place where an error becomes a line and an exit status.

`smokemesh ping` must start fast, so nothing but click is imported here and a command's module only when the command
is typed. Exit status: 0 done, 1 failed, 2 usage or configuration, 3 this host, 4 master, 70 our own fault, 130 Ctrl-C.
"""

import os
import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from typing import Any, Final, NoReturn

import click

from smokemesh.errors import HostError, SmokemeshError, UsageError
from smokemesh.version import __version__

PREFIX: Final = "SMOKEMESH"
INTERNAL_ERROR: Final = 70  # EX_SOFTWARE of sysexits.h
INTERRUPTED: Final = 130  # 128 + SIGINT, as shells count it


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of the table: where a command is defined (attribute `command`) and what `--help` says of it."""

    module: str
    help: str


COMMANDS: Final[dict[str, Entry]] = {
    "up": Entry("smokemesh.cli.up", "Master and a local agent in one go."),
    "demo": Entry(
        "smokemesh.cli.demo", "A made-up network with delay, loss and a dead host, so every view shows something."
    ),
    "master": Entry("smokemesh.cli.master", "The program that collects and shows."),
    "agent": Entry("smokemesh.cli.agent", "The program that measures."),
    "ping": Entry("smokemesh.cli.ping", "Measure from this terminal, with fping's options."),
    "config": Entry("smokemesh.cli.config", "Check, show or convert a configuration file."),
    "keys": Entry("smokemesh.cli.keys", "The agents' keys on this master."),
    "agents": Entry("smokemesh.cli.agents", "The agents a master knows, and how they are."),
    "alerts": Entry("smokemesh.cli.alerts", "What is raised, and what an alert would have said."),
    "incidents": Entry("smokemesh.cli.incidents", "What alerts have raised."),
    "silences": Entry("smokemesh.cli.silences", "Tell nobody of alerts for a while."),
    "query": Entry("smokemesh.cli.query", "Ask a master for measurements."),
    "import-rrd": Entry("smokemesh.cli.import_rrd", "Bring in the history of a SmokePing: its RRD files."),
    "doctor": Entry("smokemesh.cli.doctor", "What this host lacks, and the exact fix."),
}

#: Kubernetes puts these into every container beside a service called `smokemesh` or `smokemesh-…`; they are not ours.
_KUBERNETES = re.compile(r"_SERVICE_(HOST|PORT)(_\w+)?$|_PORT(_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)?$")


class LazyGroup(click.Group):
    """A click group whose commands are imported when they are used and whose errors are one line."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [name for name, entry in COMMANDS.items() if find_spec(entry.module)]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        entry = COMMANDS.get(cmd_name)
        return None if entry is None else load(cmd_name, entry)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args[0] not in COMMANDS and not args[0].startswith("-"):
            near = _nearest(args[0], COMMANDS)
            ctx.fail(f"no such command: {args[0]}" + (f", did you mean {near}?" if near else ""))
        name, command, rest = super().resolve_command(ctx, args)
        if name and command:
            check_environment(name, command)
        return name, command, rest

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, COMMANDS[name].help) for name in self.list_commands(ctx)])

    def main(  # type: ignore[override]  # click spells out options nobody here uses
        self, args: Sequence[str] | None = None, prog_name: str | None = None, **extra: Any
    ) -> NoReturn:
        """Run the command line and leave the process with its exit status."""
        extra |= {"standalone_mode": False}
        words = list(sys.argv[1:] if args is None else args)
        try:
            status = super().main(words, prog_name or "smokemesh", **extra)
            sys.stdout.flush()  # a closed pipe shows here, not while the interpreter shuts down
        except BrokenPipeError:
            _discard_stdout()
            sys.exit(1)
        except Exception as error:  # noqa: BLE001  # nobody above could report it
            sys.exit(report(error, debug="--debug" in words or bool(os.environ.get(f"{PREFIX}_DEBUG"))))
        except KeyboardInterrupt:
            sys.exit(INTERRUPTED)
        sys.exit(status if isinstance(status, int) else 0)


def load(name: str, entry: Entry) -> click.Command:
    """The command behind a line of the table."""
    try:
        command: click.Command = import_module(entry.module).command
    except ModuleNotFoundError as error:
        if error.name == entry.module:
            raise UsageError(f"{name}: this build of smokemesh {__version__} comes without it") from error
        raise HostError(_missing_package(error)) from error
    _name_variables(f"{PREFIX}_{_spell(name)}", command)
    return command


def report(error: Exception, debug: bool) -> int:
    """Say on stderr what went wrong, in one line, and return the exit status for it."""
    if debug and not isinstance(error, click.ClickException | click.Abort):
        _print_traceback(error)
    match error:
        case SmokemeshError():
            return _say(str(error), error.exit_status)
        case click.UsageError() if type(error).__name__ == "NoArgsIsHelpError":  # click 8.2 and later, not exported
            click.echo(error.format_message(), err=True)
            return error.exit_code
        case click.UsageError():
            return _say(_usage(error), error.exit_code)
        case click.ClickException():
            return _say(error.format_message(), error.exit_code)
        case click.Abort():
            return INTERRUPTED
        case ModuleNotFoundError() if not (error.name or "").startswith("smokemesh"):
            return _say(_missing_package(error), HostError.exit_status)
        case OSError(filename=str() as path, strerror=str() as reason):
            return _say(f"{path}: {reason}", HostError.exit_status)
    where = "" if debug else f"; details in {_keep_traceback(error)}"
    return _say(f"internal error: {type(error).__name__}: {error}{where}", INTERNAL_ERROR)


def check_environment(name: str, command: click.Command) -> None:
    """Refuse a variable that looks like ours and nothing reads: a mistyped one would be ignored in silence.

    Variables of other commands are left alone, because one command starts another (`up` starts `master`).
    """
    own = f"{PREFIX}_{_spell(name)}_"
    known = {*_variables(command), f"{PREFIX}_DEBUG"}
    others = tuple(f"{PREFIX}_{_spell(other)}_" for other in COMMANDS if other != name)
    for variable in sorted(os.environ):
        if not variable.startswith(f"{PREFIX}_") or variable in known or _KUBERNETES.search(variable):
            continue
        if variable.startswith(own) or not variable.startswith(others):
            raise UsageError(_unknown_variable(variable, known))


def _name_variables(prefix: str, command: click.Command) -> None:
    """Let `--listen` of `up` be SMOKEMESH_UP_LISTEN, whatever the program calls it within; every spelling counts."""
    for param in command.params:
        long = [name for name in param.opts if name.startswith("--")]
        if long and param.envvar is None:
            param.envvar = [f"{prefix}_{_spell(name.removeprefix('--'))}" for name in long]
    if isinstance(command, click.Group):
        for name, child in command.commands.items():
            _name_variables(f"{prefix}_{_spell(name)}", child)


def _variables(command: click.Command) -> Iterator[str]:
    """Every environment variable a command and those below it read."""
    for param in command.params:
        yield from [param.envvar] if isinstance(param.envvar, str) else param.envvar or ()
    if isinstance(command, click.Group):
        for child in command.commands.values():
            yield from _variables(child)


def _unknown_variable(variable: str, known: set[str]) -> str:
    cure = f"write {near}" if (near := _nearest(variable, known)) else "remove it"
    return f"environment variable {variable}: nothing reads it; {cure}"


def _nearest(word: str, known: Iterable[str]) -> str:
    from difflib import get_close_matches  # only a mistake needs it

    return next(iter(get_close_matches(word, known, n=1, cutoff=0.7)), "")


def _spell(name: str) -> str:
    return name.replace("-", "_").upper()


def _say(message: str, status: int) -> int:
    one_line = " ".join(message.split("\n")).strip()
    click.echo(f"smokemesh: {one_line}", err=True)
    return status


def _usage(error: click.UsageError) -> str:
    message = error.format_message().rstrip(".")
    path = error.ctx.command_path if error.ctx else "smokemesh"
    return f"{message[:1].lower()}{message[1:]}; see `{path} --help`"


def _missing_package(error: ModuleNotFoundError) -> str:
    return f"Python package {error.name} is not installed: pip install 'smokemesh[master]'"


def _print_traceback(error: Exception) -> None:
    import traceback

    traceback.print_exception(error)


def _keep_traceback(error: Exception) -> str:
    import tempfile
    import traceback

    with tempfile.NamedTemporaryFile("w", prefix="smokemesh-error-", suffix=".txt", delete=False) as file:
        traceback.print_exception(error, file=file)
    return file.name


def _discard_stdout() -> None:
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


@click.group(
    name="smokemesh",
    cls=LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"], "show_default": True},
    epilog="Every option can be set by an environment variable: SMOKEMESH_<COMMAND>_<OPTION>.",
)
@click.version_option(__version__, prog_name="smokemesh", message="%(prog)s %(version)s")
@click.option("--debug", is_flag=True, envvar=f"{PREFIX}_DEBUG", help="Show where in the program an error arose.")
def main(debug: bool) -> None:
    """Latency and loss, measured from many places at once, and shown."""
