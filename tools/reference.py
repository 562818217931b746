"""Write the parts of the documentation that the program itself knows best: commands, settings, API, errors, modules.

`tools/reference.py` writes them, `tools/reference.py --check` says which are out of date and ends with 1.
"""

import ast
import re
import sys
from collections.abc import Iterator
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any

import click

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
PACKAGE = ROOT / "src" / "smokemesh"


def main() -> int:
    """Compare or write every generated file."""
    check = "--check" in sys.argv
    stale = [path for path, text in generated().items() if not path.exists() or path.read_text() != text]
    for path in stale:
        if check:
            print(f"{path.relative_to(ROOT)} is out of date: run python tools/reference.py")
        else:
            path.write_text(generated()[path])
    return int(check and bool(stale))


def generated() -> dict[Path, str]:
    """Each generated file with the text it should have."""
    reference = DOCS / "reference"
    return {
        reference / "commands.md": commands(),
        reference / "settings.md": settings(),
        reference / "api.md": api(),
        reference / "errors.md": errors(),
        DOCS / "architecture.md": architecture(),
    }


# Commands


def commands() -> str:
    """Every command with its options, from click."""
    from smokemesh.cli.main import main as tree

    parts = [
        "# Commands\n",
        "Generated from the program. Every option can also be given by the environment variable beside it.\n",
        "Exit codes: 0 done, 1 failed, 2 usage or configuration, 3 this host (permission, port), 4 master not reached or "
        "refused, 70 an error of ours. `smokemesh ping` has fping's instead: 0 all reachable, 1 some not, 2 a name not "
        "found, 3 usage, 4 a system call failed.\n",
    ]
    with click.Context(tree, info_name="smokemesh") as context:
        for name in tree.list_commands(context):
            command = _quietly(tree, context, name)
            if command is not None:
                parts += _command(f"smokemesh {name}", f"SMOKEMESH_{name.upper()}", command, 2)
    return "\n".join(parts)


def _quietly(tree: click.Group, context: click.Context, name: str) -> click.Command | None:
    from smokemesh.errors import UsageError

    try:
        return tree.get_command(context, name)
    except UsageError:
        return None


def _command(path: str, prefix: str, command: click.Command, depth: int) -> Iterator[str]:
    with click.Context(command, info_name=path) as context:
        yield f"{'#' * depth} `{path}`\n"
        yield _paragraphs(command.help or "")
        usage = " ".join(command.collect_usage_pieces(context))
        yield f"    {path} {usage}\n"
        rows = [_option(p, prefix, context) for p in command.params if isinstance(p, click.Option) and not p.hidden]
        if rows:
            yield "\n".join(["| option | variable | meaning |", "| --- | --- | --- |", *rows]) + "\n"
        if isinstance(command, click.Group):
            for name in command.list_commands(context):
                child = command.get_command(context, name)
                if child is not None:
                    yield from _command(f"{path} {name}", f"{prefix}_{name.upper()}", child, depth + 1)


def _paragraphs(text: str) -> str:
    import inspect

    return inspect.cleandoc(text).replace("\b\n", "").replace("\f", "") + "\n"


def _option(option: click.Option, prefix: str, context: click.Context) -> str:
    record = option.get_help_record(context)
    names, meaning = record if record else (", ".join(option.opts), option.help or "")
    variables = [option.envvar] if isinstance(option.envvar, str) else option.envvar or ()
    shown = ", ".join(f"`{variable}`" for variable in variables)
    return f"| `{names}` | {shown} | {_cell(meaning)} |"


def _cell(text: str) -> str:
    return " ".join(text.replace("|", "\\|").split())


# Settings


def settings() -> str:
    """Every key of our files, from the table the reader itself uses."""
    from smokemesh.settings.reference import markdown

    return markdown()


# The API


def api() -> str:
    """Every route for people and programs, and every metric, asked of a master that is really there."""
    schema, exposition = _master()
    parts = [
        "# The API\n",
        "Generated from the program. The same as OpenAPI 3.1 at `/schema` of every master. Times are RFC 3339 or Unix "
        "seconds, durations and RTTs seconds, loss a share from 0 to 1. Errors are `{code, message}`.\n",
        "Agents talk to their master under `/api/agent/v1`; that protocol is described in `wire/messages.py`.\n",
    ]
    for path, methods in sorted(schema["paths"].items()):
        for method, operation in methods.items():
            if isinstance(operation, dict):
                parts += _route(path, method, operation)
    parts.append("# Metrics\n\nAt `/metrics`, for Prometheus.\n")
    parts.append("| metric | type | meaning |\n| --- | --- | --- |")
    parts += [f"| `{name}` | {kind} | {_cell(text)} |" for name, kind, text in _metrics(exposition)]
    return "\n".join(parts) + "\n"


def _master() -> tuple[dict[str, Any], str]:
    """OpenAPI and metrics of a master with one agent that was heard once."""
    import tempfile
    import time
    from contextlib import closing

    from smokemesh.master.app import create_app
    from smokemesh.master.gauges import gauges
    from smokemesh.master.metrics import Metrics
    from smokemesh.master.state import open_master
    from smokemesh.model.agent import Agent, Health
    from smokemesh.settings.shape import MasterSettings

    numbers: dict[str, Any] = {
        field.name: 0
        for field in fields(Health)
        if field.default is MISSING and field.type in ("int", int, "float", float)
    }
    with tempfile.TemporaryDirectory() as directory:
        settings = MasterSettings(agents={"a": Agent(name="a")})
        secret = Path(directory) / "secrets" / "a"
        secret.parent.mkdir(mode=0o700)
        secret.write_text("s" * 32 + "\n")
        secret.chmod(0o600)
        with closing(open_master(settings, directory, lambda: settings)) as master:
            schema = create_app(master).openapi_schema.to_schema()
            master.registry.saw("a", Health(version="", assignment="", **numbers), time.time_ns())
            return schema, Metrics().render(gauges(master, master.usage()), {}).decode()


def _metrics(exposition: str) -> Iterator[tuple[str, str, str]]:
    """Name, type and help of every metric of ours in a text exposition."""
    helps = dict(re.findall(r"^# HELP (smokemesh_\S+) (.*)$", exposition, re.MULTILINE))
    for name, kind in re.findall(r"^# TYPE (smokemesh_\S+) (\S+)$", exposition, re.MULTILINE):
        yield name, kind, helps[name]


def _route(path: str, method: str, operation: dict[str, Any]) -> Iterator[str]:
    yield f"## `{method.upper()} {path}`\n"
    yield (operation.get("description") or operation.get("summary") or "") + "\n"
    rows = [
        f"| `{p['name']}` | {p['in']} | {'yes' if p.get('required') else 'no'} | {_cell(p.get('description', ''))} |"
        for p in operation.get("parameters", [])
    ]
    if rows:
        yield "\n".join(["| parameter | in | required | meaning |", "| --- | --- | --- | --- |", *rows]) + "\n"


# Errors


def errors() -> str:
    """Every class of error with what other programs see of it."""
    from smokemesh import errors as module

    kinds = [k for k in vars(module).values() if isinstance(k, type) and issubclass(k, module.SmokemeshError)]
    rows = [f"| `{k.code}` | {k.exit_status} | {k.http_status} | {_cell(k.__doc__ or '')} |" for k in kinds]
    return "\n".join(
        [
            "# Errors\n",
            "Generated from the program. A message names the thing, the value and what to do, in one line.\n",
            "| code | exit status | HTTP status | meaning |",
            "| --- | --- | --- | --- |",
            *rows,
            "",
        ]
    )


# Modules


def architecture() -> str:
    """The architecture page with the table of modules renewed."""
    text = (DOCS / "architecture.md").read_text()
    head, rest = text.split("<!-- modules -->\n")
    _, tail = rest.split("<!-- /modules -->")
    return f"{head}<!-- modules -->\n{_modules()}<!-- /modules -->{tail}"


def _modules() -> str:
    rows = ["| module | what it knows |", "| --- | --- |"]
    for path in sorted(PACKAGE.rglob("*.py"), key=lambda p: (len(p.relative_to(PACKAGE).parts) > 1, str(p))):
        doc = ast.get_docstring(ast.parse(path.read_text())) or ""
        if "migrations/versions" not in str(path):
            rows.append(f"| `{path.relative_to(PACKAGE)}` | {_cell(doc.split(chr(10) * 2)[0])} |")
    return "\n".join(rows) + "\n"


if __name__ == "__main__":
    sys.exit(main())
