"""Ours and SmokePing's own parser on the same files: the same verdict, and the same tree."""

import os
import random
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from tests.data.smokeping.cases import BESIDE, CASES, Case
from tests.data.smokeping.real import Tree, as_real, ask_real, read_ours

from smokemesh.errors import ConfigError

pytestmark = [pytest.mark.peer("smokeping"), pytest.mark.privileged]


def write_beside(directory: Path) -> None:
    for name, data in BESIDE.items():
        path = directory / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(data)
        path.chmod(0o640)


@pytest.fixture(scope="module")
def verdicts(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Path, Tree]]:
    """All cases through the real parser at once: it starts slowly."""
    directory = tmp_path_factory.mktemp("smokeping")
    write_beside(directory)
    files = []
    for number, case in enumerate(CASES):
        files.append(directory / f"case{number}")
        files[-1].write_bytes(case.data.replace(b"DIR", str(directory).encode()))
    return {case.name: (file, answer) for case, file, answer in zip(CASES, files, ask_real(files), strict=True)}


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_verdict_and_tree(case: Case, verdicts: dict[str, tuple[Path, Tree]]) -> None:
    file, real = verdicts[case.name]
    if case.accepted and "Can't locate" in real.get("error", ""):
        pytest.skip("this host lacks a library of that probe")
    assert ("tree" in real) == case.accepted, real
    if case.accepted:
        assert as_real(read_ours(file)) == real["tree"]
    elif case.ours_only:
        read_ours(file)
    else:
        with pytest.raises(ConfigError):
            read_ours(file)


@pytest.mark.parametrize(
    "name", ["plain", "cr lf", "include in quotes", "second Targets", "slaves", "host at the root"]
)
def test_the_program_says_the_same(name: str, verdicts: dict[str, tuple[Path, Tree]]) -> None:
    """`smokeping --check` itself, for some: the others went through its parser only."""
    command = ["unshare", "-n", "smokeping", "--check", f"--config={verdicts[name][0]}"]
    run = subprocess.run(command, check=False, capture_output=True, text=True, timeout=30)
    assert (run.returncode == 0 and "syntax OK" in run.stdout) == ("tree" in verdicts[name][1]), run


PIECES = [*"=\\\"'#+ \t\n,/@|:10x*%.-_\r", " = ", "++", "***", "\\\n", "host", "probe", "FPing"]


def broken(data: bytes, choose: random.Random) -> bytes:
    """A file with one line changed, taken out, doubled, moved or borrowed from another case."""
    lines = data.split(b"\n")
    at = choose.randrange(max(0, len(lines) - choose.choice([8, 30])), len(lines))
    deed = choose.random()
    if deed < 0.1:
        lines.insert(at, choose.choice(choose.choice(CASES).data.split(b"\n")))
    elif deed < 0.2:
        lines[at : at + 1] = choose.choice([[], [lines[at]] * 2])
    else:
        where = choose.randint(0, len(lines[at]))
        lines[at] = (
            lines[at][:where] + choose.choice(PIECES).encode() + lines[at][where + choose.choice([0, 0, 1, 4]) :]
        )
    return b"\n".join(lines)


def test_broken_files(tmp_path: Path) -> None:
    """Cases that somebody mistyped; the same ones each time."""
    choose = random.Random(2)
    write_beside(tmp_path)
    cases = [case for case in CASES if case.accepted and case.data.isascii()]  # half a character is no text
    files = []
    for number in range(int(os.environ.get("SMOKEMESH_TEST_EXAMPLES", "600"))):
        files.append(tmp_path / f"broken{number}")
        files[-1].write_bytes(broken(choose.choice(cases).data, choose).replace(b"DIR", str(tmp_path).encode()))
    accepted = 0
    for file, real in zip(files, ask_real(files, limit=1200), strict=True):
        accepted += "tree" in real
        if "tree" in real:
            assert as_real(read_ours(file)) == real["tree"], file
        elif not WHAT_ONLY_2_7_3_REFUSES.search(real["error"]):
            with pytest.raises(ConfigError):
                read_ours(file)
    assert accepted > len(files) // 10


#: Files that we need not, newer variables, libraries this host lacks, and an answer of the system's about them.
WHAT_ONLY_2_7_3_REFUSES = re.compile(
    r"does not exist|executable|not readable|require \S+ failed|InfluxDB"
    r"|unknown variable '(literalsearch|color|influx_|interface|fwmark|require_nx|expect_text|ssh_af|init_host)|'keytype'"
)

DEBIAN = Path("/etc/smokeping/config")
EXAMPLES = sorted(Path("/usr/share/doc/smokeping/examples").glob("config.*"))


def test_debians_own_and_the_examples(tmp_path: Path) -> None:
    """With all paths of SmokePing's leading somewhere, so that only the grammar is judged."""
    assert len(EXAMPLES) == 6
    write_beside(tmp_path)
    texts = {file.name: file.read_text() for file in EXAMPLES}
    texts["debian"] = "\n".join(
        Path(line.split()[1]).read_text() for line in DEBIAN.read_text().splitlines() if line.startswith("@include")
    ).replace("@include /etc/smokeping/config.d/pathnames", Path("/etc/smokeping/config.d/pathnames").read_text())
    files = []
    for name, text in texts.items():
        files.append(tmp_path / name)
        files[-1].write_text(_at_home(text, tmp_path))
    for file, real in zip(files, ask_real(files), strict=True):
        assert "tree" in real, (file.name, real)
        assert as_real(read_ours(file)) == real["tree"], file.name
    assert read_ours(DEBIAN).targets.sections["Local"].sections["LocalMachine"].get("host") == "localhost"


def _at_home(text: str, directory: Path) -> str:
    """The directories and files that SmokePing insists on, put into one that exists."""
    lines = []
    for line in text.splitlines():
        name, equals, _ = line.partition("=")
        name = name.strip()
        if equals and name in ("imgcache", "datadir", "dyndir", "piddir", "pagedir"):
            line = f"{name} = {directory}"
        elif equals and name in ("smokemail", "sendmail", "tmail", "template"):
            line = f"{name} = {directory / 'mail'}"
        elif equals and name == "secrets":
            line = f"{name} = {directory / 'secrets'}"
        elif equals and name == "binary":
            line = f"{name} = {shutil.which('true')}"
        lines.append(line)
    return "\n".join(lines) + "\n"


@pytest.mark.parametrize(
    ("codec", "charset", "text"),
    [
        ("latin-1", "", "Zürich"),
        ("gb2312", "gb2312", "本机 网络"),
        ("koi8-r", "koi8-r", "Привет"),
        ("utf-8", "gb2312", "本机"),
    ],
)
def test_encodings(tmp_path: Path, codec: str, charset: str, text: str) -> None:
    """Whatever the encoding, the same bytes stand in the real tree; ours are characters."""
    write_beside(tmp_path)
    case = CASES[0].data.replace(b"DIR", str(tmp_path).encode())
    data = case + f"title = {text}\n".encode(codec)
    if charset:
        data = data.replace(b"+ overview", f"charset = {charset}\n+ overview".encode())
    file = tmp_path / "config"
    file.write_bytes(data)
    ours = read_ours(file)
    assert ours.targets.sections["A"].get("title") == text
    assert as_real(ours, codec) == ask_real([file])[0]["tree"]
