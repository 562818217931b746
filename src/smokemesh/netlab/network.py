"""Network: a made-up network with real packets, for tests, benchmarks and the demo.

    with Network({"here": ("10.0.0.1", "fd00::1")}, {"192.0.2.0/24": Path(delay=0.01, faults=(Lose(every=10),))}) as net:
        net["here"].run(["ping", "-c", "3", "192.0.2.7"])
        net.truth().to("192.0.2.7")

Each site is a network namespace; nothing it sends leaves this machine. Works as root, and as any user where the kernel
allows user namespaces. When the `with` ends, or its process dies in whatever way, all of it is gone.
"""

import os
import socket
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack
from types import TracebackType
from typing import Any, Self

import numpy as np

from smokemesh.errors import HostError
from smokemesh.netlab import control, inside, namespace
from smokemesh.netlab.build import WIRE
from smokemesh.netlab.path import Path, Route
from smokemesh.netlab.truth import RECORD, Truth

_PATIENCE = 10.0


class Site:
    """A host of the network."""

    #: The link of a site that has a wire, for captures.
    wire = WIRE

    def __init__(self, network: "Network", index: int, plan: control.SitePlan, space: int, user: int) -> None:
        self.name, self.addresses = plan.name, plan.addresses
        self._network, self._index, self._space, self._user = network, index, space, user
        self._children: list[subprocess.Popen[Any]] = []

    def command(self, argv: Sequence[str]) -> list[str]:
        """The command line by which this process runs a program inside; it must inherit `descriptors`."""
        numbers = [str(number) for number in (os.getpid(), self._space, self._user)]
        return [sys.executable, "-I", "-S", inside.__file__, *numbers, *argv]

    @property
    def descriptors(self) -> tuple[int, ...]:
        """What the `command` inherits (`pass_fds`)."""
        return (self._space,) if self._user < 0 else (self._space, self._user)

    def run(self, argv: Sequence[str], **options: Any) -> "subprocess.CompletedProcess[str]":
        """Run a program inside to its end; its output as text."""
        options = {"capture_output": True, "text": True, **options}
        return subprocess.run(self.command(argv), check=False, pass_fds=self.descriptors, **options)

    def start(self, argv: Sequence[str], **options: Any) -> "subprocess.Popen[Any]":
        """Start a program inside; it is ended with the network if it is still there."""
        child = subprocess.Popen(self.command(argv), pass_fds=self.descriptors, **options)
        self._children.append(child)
        return child

    def entered(self) -> AbstractContextManager[None]:
        """Inside the `with`, sockets this thread opens belong to the site. Needs root."""
        return namespace.entered(self._space)

    def listen(self, port: int) -> socket.socket:
        """A socket that listens on 127.0.0.1 inside, and can be accepted from outside."""
        _, descriptors = self._network._ask(control.Listen(site=self._index, port=port))
        return socket.socket(fileno=descriptors[0])

    def end(self) -> None:
        """End the programs started inside."""
        for child in self._children:
            if child.poll() is None:
                child.terminate()
        for child in self._children:
            try:
                child.wait(_PATIENCE)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()
        self._children.clear()


class Network:
    """Sites, and the paths between all addresses; a context manager."""

    def __init__(
        self,
        sites: Mapping[str, Sequence[str]],
        paths: Mapping[str, Path] | None = None,
        *,
        routes: Iterable[Route] = (),
        seed: int = 1,
        record: int = 1_000_000,
        wires: bool = False,
        unprivileged: bool | None = None,
        prompt: bool = False,
    ) -> None:
        """`wires`: real links lead to the sites; `prompt`: a busy machine does not slow the network (needs root)."""
        plain = tuple(Route(destination=to, path=path) for to, path in (paths or {}).items())
        self._plan = control.Plan(
            sites=tuple(control.SitePlan(name=name, addresses=tuple(own), wire=wires) for name, own in sites.items()),
            routes=(*plain, *routes),
            seed=seed,
            record=record,
            unprivileged=not namespace.may_make_namespaces() if unprivileged is None else unprivileged,
            prompt=prompt,
        )
        self._sites: dict[str, Site] = {}
        self._open = ExitStack()

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            ours, theirs = socket.socketpair()
            self._socket = stack.enter_context(ours)
            with theirs:
                argv = [sys.executable, "-m", "smokemesh.netlab", str(theirs.fileno())]
                self._player = subprocess.Popen(argv, pass_fds=(theirs.fileno(),))
            stack.callback(_reap, self._player)
            stack.callback(ours.shutdown, socket.SHUT_RDWR)
            _, descriptors = self._ask(self._plan)
            for descriptor in descriptors:
                stack.callback(os.close, descriptor)
            self._settle(descriptors)
            stack.callback(self._end)
            self._open = stack.pop_all()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._open.close()

    def __getitem__(self, name: str) -> Site:
        return self._sites[name]

    def set(self, paths: Mapping[str, Path] | None = None, routes: Iterable[Route] = ()) -> None:
        """Add or replace paths while packets flow; pairs whose path changes count their packets anew."""
        plain = (Route(destination=to, path=path) for to, path in (paths or {}).items())
        self._ask(control.Change(routes=(*plain, *routes)))

    def truth(self, *, forget: bool = False) -> Truth:
        """What became of every packet so far (since the last `forget`)."""
        told, _ = self._ask(control.Tell(forget=forget))
        assert isinstance(told, control.Told)
        return Truth(np.frombuffer(told.records, RECORD), told.pairs, told.unrecorded)

    def _settle(self, descriptors: list[int]) -> None:
        count = len(self._plan.sites)
        user = descriptors[count] if len(descriptors) > count else -1
        for index, plan in enumerate(self._plan.sites):
            self._sites[plan.name] = Site(self, index, plan, descriptors[index], user)

    def _end(self) -> None:
        for site in self._sites.values():
            site.end()

    def _ask(self, question: control.Question) -> tuple[control.Answer, list[int]]:
        try:
            control.send(self._socket, question)
            answer, descriptors = control.receive_answer(self._socket)
        except (EOFError, ConnectionError) as error:
            raise HostError("the made-up network's process is gone; what it printed says why") from error
        if isinstance(answer, control.Failed):
            raise HostError(answer.message)
        return answer, descriptors


def _reap(player: "subprocess.Popen[bytes]") -> None:
    try:
        player.wait(_PATIENCE)
    except subprocess.TimeoutExpired:
        player.kill()
        player.wait()
