"""SmokePing's files as they are: each runs, and what `config convert` prints of it means the same."""

import json
import re
import time
from dataclasses import replace
from pathlib import Path

import jsonschema  # type: ignore[import-untyped]
import pytest
import yaml
from click.testing import CliRunner, Result
from tests.data.smokeping.cases import BESIDE, CASES, Case

from smokemesh.cli.loading import load_for_master
from smokemesh.cli.main import main
from smokemesh.errors import ConfigError
from smokemesh.settings.shape import MasterSettings
from smokemesh.smokeping.mapping import markdown

DEBIAN = [Path("/etc/smokeping/config"), *sorted(Path("/usr/share/doc/smokeping/examples").glob("config.*"))]
#: `smokeping --check` takes these, and it refuses them when it starts.
REFUSED_AT_START = {
    "an inherited value may be set": "there is no slave s1; define it in *** Slaves *** or remove it",
    "sorter nobody knows": "there is no sorter x; write one of Median, Loss, Max, StdDev",
    "inherited and not": "there is no slave s",
    "inherited over two": "there is no slave s1",
    "inherited from the root": "there is no slave s1",
    "an empty value ends inheritance": "there is no slave s",
    "two alerts": "there is no alert a; define it in *** Alerts *** or remove it",
    "blank after the comma at the root": "there is no alert a",
    "slaves with many blanks": "there is no slave a",
    "all of the root": "there is no alert a",
    "parents": "there is no hierarchy owner; define it below Presentation, + hierarchies",
    "probe behind menu and alerts": "there is no alert x",
    "probe at the root behind other variables": "there is no alert a",
    "patterns are checked at start": "pattern entry 'what' is invalid",
}
DEBIAN_WITH_SLAVE = """\
@include /etc/smokeping/config.d/General
@include /etc/smokeping/config.d/Database
@include /etc/smokeping/config.d/Presentation
@include /etc/smokeping/config.d/Probes
*** Targets ***
probe = FPing
menu = Top
title = Top
slaves = far
*** Slaves ***
secrets = SECRETS
+ far
display_name = far
color = 0000ff
"""
TAKEN = [case for case in CASES if case.accepted or case.ours_only]


def config(*arguments: str | Path) -> Result:
    return CliRunner().invoke(main, ["config", *map(str, arguments)])


def meaning(settings: MasterSettings) -> MasterSettings:
    return replace(settings, files=(), warnings=(), not_needed=())


def write(case: Case, folder: Path) -> Path:
    for name, data in BESIDE.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(data)
    (folder / "secrets").chmod(0o600)
    file = folder / "config"
    file.write_bytes(case.data.replace(b"DIR", str(folder).encode()))
    return file


def assert_converts(file: Path, folder: Path) -> None:
    settings = load_for_master(str(file))
    printed = config("convert", file)
    assert printed.exit_code == 0, printed.stderr
    again = folder / "converted.yaml"
    again.write_text(printed.stdout)
    assert meaning(load_for_master(str(again))) == meaning(settings)
    assert config("show", file).exit_code == 0


@pytest.mark.parametrize("file", DEBIAN, ids=lambda path: path.name)
def test_debian_s_own_files(file: Path, tmp_path: Path) -> None:
    assert len(DEBIAN) == 7
    assert config("check", file).exit_code == 0
    assert_converts(file, tmp_path)
    schema = json.loads(config("schema").stdout)
    assert (
        list(jsonschema.Draft202012Validator(schema).iter_errors(yaml.safe_load(config("convert", file).stdout))) == []
    )


@pytest.mark.parametrize(
    "case", [case for case in TAKEN if case.name not in REFUSED_AT_START], ids=lambda case: case.name
)
def test_what_smokeping_takes_runs_and_converts(case: Case, tmp_path: Path) -> None:
    assert_converts(write(case, tmp_path), tmp_path)


@pytest.mark.parametrize("case", [case for case in TAKEN if case.name in REFUSED_AT_START], ids=lambda case: case.name)
def test_what_smokeping_would_not_start_with(case: Case, tmp_path: Path) -> None:
    file = write(case, tmp_path)
    with pytest.raises(ConfigError, match=re.escape(REFUSED_AT_START[case.name])) as caught:
        load_for_master(str(file))
    assert caught.value.file == str(file)
    assert caught.value.line > 1


@pytest.mark.parametrize("case", [c for c in CASES if not (c.accepted or c.ours_only)], ids=lambda case: case.name)
def test_what_smokeping_refuses_is_one_line(case: Case, tmp_path: Path) -> None:
    file = write(case, tmp_path)
    result = config("check", file)
    if case.name == "secrets not there":  # the file names no slaves, so nothing is missed
        assert result.exit_code == 0
        assert f"{tmp_path}/nothing: is not there" in result.stderr
        return
    assert result.exit_code == 2
    assert [
        line for line in result.stderr.splitlines() if line.startswith("smokemesh: ")
    ] == result.stderr.splitlines()[-1:]


def test_the_page_of_probes_is_the_mapping() -> None:
    page = Path(__file__).parent.parent.parent / "docs" / "reference" / "probes.md"
    assert page.read_text().endswith(f"\n\n{markdown()}")


@pytest.mark.parametrize("before", ["", "# who\n\n", "  ", "@define QQQ y\n"])
def test_a_file_of_smokeping_s_is_known_by_its_first_line(before: str, tmp_path: Path) -> None:
    (tmp_path / "config").write_text(f"{before}@include /etc/smokeping/config\n", encoding="utf-8")
    result = config("check", tmp_path / "config")
    assert (result.exit_code, "a SmokePing configuration" in result.stdout) == (0, True), result.stderr


def test_the_kind_of_file_and_what_is_not_needed_are_told() -> None:
    result = config("check", DEBIAN[0])
    verdict, *rest = result.stdout.splitlines()
    assert verdict.startswith(f"{DEBIAN[0]}: ")
    (pathnames,) = (line for line in rest if "pathnames: " in line)
    assert pathnames.startswith("not needed: /etc/smokeping/config.d/pathnames: General.imgcache (2), General.")
    assert len(rest) == len({re.sub(r"^(\S+ \S+ \S+ \w+).*", r"\1", line) for line in rest})
    (found,) = json.loads(config("check", "--json", DEBIAN[0]).stdout)
    assert "/etc/smokeping/config.d/pathnames:2: General.imgcache" in found["not_needed"]
    assert len(found["not_needed"]) == sum(line.count(" (") for line in rest)
    assert "a SmokePing configuration: 1 target, 1 agent, 1 probe, at most 0.06667 pings per second" in result.stdout


def test_without_the_secrets_file_no_slave_is_served(tmp_path: Path) -> None:
    (tmp_path / "config").write_text(DEBIAN_WITH_SLAVE.replace("SECRETS", f"{tmp_path}/none"))
    result = config("check", tmp_path / "config")
    assert result.exit_code == 2
    assert result.stderr.splitlines()[-1].startswith(
        f"smokemesh: {tmp_path}/config:11: secrets = {tmp_path}/none: is no file on this host, without it no slave is served"
    )
    (found,) = json.loads(config("check", "--json", tmp_path / "config").stdout)
    assert found["line"] == 11
    (tmp_path / "none").write_text("far:secret\n")
    (tmp_path / "none").chmod(0o640)
    assert config("check", tmp_path / "config").exit_code == 0


def test_ten_thousand_targets_are_read_within_seconds(tmp_path: Path) -> None:
    case = next(case for case in TAKEN if case.name == "mail template")
    groups = [
        f"+ G{g}\n" + "".join(f"++ h{i}\nmenu = host {i}\nhost = 10.{g}.{i}.1\nalerts = lossy\n" for i in range(100))
        for g in range(100)
    ]
    file = write(replace(case, data=case.data + "".join(groups).encode()), tmp_path)
    begun = time.process_time()
    assert len(load_for_master(str(file)).targets) > 10_000
    assert time.process_time() - begun < 6.0  # 1.2 s here


def test_a_program_that_is_missing_is_told(tmp_path: Path) -> None:
    file = tmp_path / "smokemesh.yaml"
    file.write_text(
        "probes:\n  a: {kind: command, argv: /nowhere/x}\n  b: {kind: command, argv: 'sh -c true'}\n"
        "targets: {x: {host: 192.0.2.1, probe: a}, y: {host: 192.0.2.2, probe: b}}\n"
    )
    told = config("check", file).stderr
    assert told == "warning: probe a runs /nowhere/x, which is not on this host; install it where its agents run\n"
