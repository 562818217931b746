"""`smokemesh demo`: a made-up network, measured by real agents with real packets, shown by a real master.

Each agent runs in a network namespace of its own, whose packets go nowhere but to netlab. The master runs on this host
where the browser reaches it. The agents reach it through a relay: a socket listens on 127.0.0.1 inside the namespace,
and this process carries what connects there to the master. That needs neither a route nor root.
"""

import secrets
import sys
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import click

from smokemesh.cli.children import Child
from smokemesh.cli.demo_config import master_yaml
from smokemesh.cli.ending import Ending, begin, watch
from smokemesh.cli.master import parse_place
from smokemesh.cli.up import is_ready, make_folder, reachable, say
from smokemesh.errors import UsageError
from smokemesh.master.premises import listen, url_of
from smokemesh.netlab import world
from smokemesh.netlab.network import Network, Site
from smokemesh.netlab.relay import Relay
from smokemesh.settings.durations import parse_duration
from smokemesh.version import __version__

#: The port on which agents find the master inside their namespace.
INSIDE_PORT: Final = 8080


@click.command("demo")
@click.option("--listen", "listen_at", default="127.0.0.1:8080", help="Address of the pages.", metavar="HOST:PORT")
@click.option(
    "--data", default=None, help="Keep the data in DIR; without it they go when the demo ends.", metavar="DIR"
)
@click.option("--day", default="10m", help="How long a day of the made-up network lasts, its evening included.")
@click.option("--step", default="5s", help="A round begins every step.")
def command(listen_at: str, data: str | None, day: str, step: str) -> int:
    """A made-up network of three cities, so that every view has something true to show.

    Three agents measure one another and about twenty hosts: delays that follow day and night, a lossy path, a dead
    host, late, duplicated and reordered answers. The packets are real, and so is every number; none leaves this
    machine. Works as root, and as any user where the kernel allows user namespaces.
    """
    place, length, every = parse_place(listen_at), _seconds("--day", day, 10.0), _seconds("--step", step, 2.0)
    with ExitStack() as stack:
        ending = stack.enter_context(Ending())
        folder = Path(data or stack.enter_context(TemporaryDirectory(prefix="smokemesh-demo-"))).absolute()
        listener = stack.enter_context(listen(*place))
        files = _write(make_folder(folder), every)
        sites = {name: city.addresses for name, city in world.CITIES.items()}
        network = stack.enter_context(Network(sites, routes=world.routes(length), record=0, prompt=True))
        host, port = listener.getsockname()[:2]
        reached = (reachable(host), port)
        master = Child("master", _master(folder, listener.fileno()), say, keep=[listener.fileno()])
        stack.callback(master.stop)
        status = begin(master, lambda: is_ready(reached), ending)
        if status is not None:
            return status
        agents = _agents(network, files, folder, reached, stack)
        _greet(folder if data else None, url_of(*reached), length)
        return watch([master, *agents], ending)


def _master(folder: Path, descriptor: int) -> list[str]:
    return [
        *(sys.executable, "-m", "smokemesh", "master", "--config", str(folder / "smokemesh.yaml")),
        *("--data", str(folder / "master"), "--listen-fd", str(descriptor), "--logfile", str(folder / "master.log")),
    ]


def _agents(
    network: Network, secret_files: Mapping[str, Path], folder: Path, master: tuple[str, int], stack: ExitStack
) -> list[Child]:
    """Start an agent in each city, with a relay to the master; the stack ends them, agents first."""
    for name in secret_files:
        stack.enter_context(Relay(network[name].listen(INSIDE_PORT), master))
    agents = [_agent(network[name], file, folder) for name, file in secret_files.items()]
    for agent in agents:
        stack.callback(agent.stop)
        agent.start()
    return agents


def _agent(site: Site, secret: Path, folder: Path) -> Child:
    argv = [
        *(sys.executable, "-m", "smokemesh", "agent", "--name", site.name, "--shared-secret", str(secret)),
        *("--master-url", f"http://127.0.0.1:{INSIDE_PORT}", "--data", str(folder / "agents" / site.name)),
        *("--logfile", str(folder / f"{site.name}.log")),
    ]
    return Child(f"agent {site.name}", site.command(argv), say, keep=site.descriptors)


def _write(folder: Path, step: float) -> dict[str, Path]:
    """Write the configuration, and make the agents' secrets where there are none; returns their files."""
    (folder / "smokemesh.yaml").write_text(master_yaml(step), encoding="utf-8")
    (folder / "secrets").mkdir(mode=0o700, exist_ok=True)
    files = {name: folder / "secrets" / name for name in world.CITIES}
    for file in files.values():
        if not file.exists():
            file.touch(mode=0o600)
            file.write_text(secrets.token_urlsafe(32) + "\n")
    for name in files:
        (folder / "agents" / name).mkdir(parents=True, exist_ok=True)
    return files


def _greet(kept: Path | None, url: str, day: float) -> None:
    """Tell where the pages are."""
    cities = [city.title for city in world.CITIES.values()]
    click.echo(f"smokemesh {__version__} measures a made-up network from {', '.join(cities[:-1])} and {cities[-1]}")
    click.echo(f"Pages: {url}/")
    click.echo(f"A day lasts {day / 60:g} minutes there. {f'Data and logs: {kept}. ' if kept else ''}Ctrl-C stops.")
    sys.stdout.flush()


def _seconds(option: str, text: str, least: float) -> float:
    try:
        seconds = parse_duration(text)
    except ValueError as error:
        raise UsageError(f"{option} {text}: {error}") from None
    if seconds < least:
        raise UsageError(f"{option} {text}: too short; write {least:g}s or more")
    return seconds
