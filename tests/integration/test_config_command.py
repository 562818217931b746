"""`smokemesh config` on real files."""

import json
import os
from pathlib import Path

import jsonschema  # type: ignore[import-untyped]
import pytest
import yaml
from click.testing import CliRunner, Result

from smokemesh.cli.main import main
from smokemesh.settings.reference import SECTIONS, SETTINGS, markdown

EXAMPLES = Path(__file__).parent.parent.parent / "examples"
WRONG = Path(__file__).parent.parent / "data" / "wrong"


def config(*arguments: str | Path) -> Result:
    return CliRunner().invoke(main, ["config", *map(str, arguments)])


@pytest.mark.parametrize(
    ("name", "summary"),
    [
        ("minimal.yaml", "a master's configuration (smokemesh.yaml): 2 targets, 1 agent, 1 probe, at most 0.6667 pings per second from one agent"),
        ("smokemesh.yaml", "a master's configuration (smokemesh.yaml): 7 targets, 2 agents, 6 probes, at most 2.65 pings per second from one agent"),
        ("agent.yaml", "an agent's configuration (agent.yaml): agent boomer, master https://master.example.net:8080"),
    ],
)  # fmt: skip
def test_the_examples_are_right(name: str, summary: str) -> None:
    result = config("check", EXAMPLES / name)
    verdict = "can be used, see the warnings" if result.stderr else "ok"  # secrets are not where examples say
    assert (result.exit_code, result.stdout) == (0, f"{EXAMPLES / name}: {verdict}, {summary}\n")
    assert all(line.startswith("warning: secret file ") for line in result.stderr.splitlines()), result.stderr


def test_check_tells_every_file_and_fails_for_one() -> None:
    result = config("check", EXAMPLES / "minimal.yaml", WRONG / "pings_zero.yaml")
    assert result.exit_code == 2
    assert result.stdout.startswith(f"{EXAMPLES / 'minimal.yaml'}: ok, ")
    assert (
        result.stderr
        == f'smokemesh: {WRONG / "pings_zero.yaml"}:2: probes.ping.pings: "0" is too small; write 1 to 65535\n'
    )


def test_check_as_json() -> None:
    result = config("check", "--json", WRONG / "pings_zero.yaml")
    (found,) = json.loads(result.stdout)
    assert result.exit_code == 2
    assert (found["line"], found["warnings"]) == (2, [])
    assert found["error"].endswith('probes.ping.pings: "0" is too small; write 1 to 65535')


@pytest.mark.parametrize("path", sorted(WRONG.glob("*.yaml")), ids=lambda path: path.stem)
def test_no_mistake_is_more_than_one_line(path: Path) -> None:
    """Whichever type the file is taken for. Two of them are right when they are asked what they are."""
    result = config("show", path)
    assert result.exit_code == (0 if path.stem in ("agent_file", "agent_master_file") else 2)
    assert result.exit_code == 0 or (result.stdout == "" and result.stderr.count("\n") == 1)
    assert result.exit_code == 0 or result.stderr.startswith(f"smokemesh: {path}:")


def test_a_secret_others_can_read_is_a_warning(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("correct-horse\n")
    os.chmod(tmp_path / "secret", 0o644)
    file = tmp_path / "smokemesh.yaml"
    file.write_text("agents: {boomer: {secret_file: secret}}\ntargets: {a: {host: 192.0.2.1, agents: [boomer]}}\n")
    result = config("check", file)
    assert result.exit_code == 0
    assert (
        result.stderr
        == f"warning: {tmp_path}/secret: mode 0644 lets others read the secret; run: chmod 600 {tmp_path}/secret\n"
    )
    assert config("check", "--strict", file).exit_code == 2
    os.chmod(tmp_path / "secret", 0o600)
    assert config("check", "--strict", file).exit_code == 0


@pytest.mark.parametrize("name", ["minimal.yaml", "smokemesh.yaml", "agent.yaml"])
@pytest.mark.parametrize("verb", ["show", "convert"])
def test_what_is_printed_is_a_file_that_means_the_same(name: str, verb: str, tmp_path: Path) -> None:
    printed = config(verb, EXAMPLES / name)
    assert printed.exit_code == 0
    again = tmp_path / name
    again.write_text(printed.stdout)
    shown = [config("show", "--json", file).stdout for file in (EXAMPLES / name, again)]
    assert shown[0] == shown[1]


def test_convert_joins_conf_d(tmp_path: Path) -> None:
    file = tmp_path / "smokemesh.yaml"
    file.write_text("targets: {a: {host: 192.0.2.1}}\n")
    (tmp_path / "conf.d").mkdir()
    (tmp_path / "conf.d" / "b.yaml").write_text("targets: {b: {host: 192.0.2.2, step: 10s}}\n")
    (tmp_path / "conf.d" / "notes.txt").write_text("not read")
    assert yaml.safe_load(config("convert", file).stdout) == {
        "targets": {"a": {"host": "192.0.2.1"}, "b": {"host": "192.0.2.2", "step": "10s"}}
    }


@pytest.mark.parametrize(
    ("kind", "examples"), [("master", ["minimal.yaml", "smokemesh.yaml"]), ("agent", ["agent.yaml"])]
)
def test_the_schema_takes_the_examples(kind: str, examples: list[str]) -> None:
    schema = json.loads(config("schema", kind).stdout)
    jsonschema.Draft202012Validator.check_schema(schema)
    validator = jsonschema.Draft202012Validator(schema)
    for name in examples:
        assert list(validator.iter_errors(yaml.safe_load((EXAMPLES / name).read_text()))) == []
    assert not validator.is_valid({"listn": "127.0.0.1:8080"})


@pytest.mark.parametrize(("section", "setting"), [(s, setting) for s, setting in SETTINGS if setting.kind])
def test_the_schema_takes_each_default_and_example(section: str, setting) -> None:  # type: ignore[no-untyped-def]
    for written in filter(None, (setting.default, setting.example)):
        jsonschema.validate(yaml.safe_load(written), setting.kind.schema)


@pytest.mark.parametrize(
    "wrong", ["defaults: {step: 1 minute}", "defaults: {pings: 0}", "probes: {a: {kind: pigeon}}", "agents: {a: {color: red}}", "targets: {a b: {}}"]
)  # fmt: skip
def test_the_schema_refuses_mistakes(wrong: str) -> None:
    assert not jsonschema.Draft202012Validator(json.loads(config("schema").stdout)).is_valid(yaml.safe_load(wrong))


@pytest.mark.parametrize(("section", "setting"), [(s, setting) for s, setting in SETTINGS if setting.kind])
def test_each_default_and_example_is_what_may_be_written(section: str, setting) -> None:  # type: ignore[no-untyped-def]
    from smokemesh.settings.sections import read_value
    from smokemesh.settings.yaml import Mapping, parse

    for written in filter(None, (setting.default, setting.example)):
        root = parse(f"key: {written}", f"{section}.{setting.key}")
        assert isinstance(root, Mapping)
        read_value(root.entries["key"], setting.kind, setting.key, setting.example)
    assert setting.help.endswith(".")
    assert setting.example


def test_the_defaults_of_the_table_are_those_of_the_program() -> None:
    """A file that spells every default means the same as one that spells none."""
    from smokemesh.settings.agent import load_agent
    from smokemesh.settings.master import load_master

    def spelt(section: str) -> str:
        return "{" + ", ".join(f"{s.key}: {s.default}" for s in SECTIONS[section].settings.values() if s.default) + "}"

    def master(text: str) -> object:
        return load_master("f", lambda path: text + "\ntargets: {a: {host: 192.0.2.1}}")

    top = "\n".join(f"{s.key}: {s.default}" for s in SECTIONS["master"].settings.values() if s.default)
    full = f"{top}\ndefaults: {spelt('defaults')}\nprobes: {{ping: {spelt('probe')}}}\nstorage: {{retention: {spelt('retention')}}}"
    assert master(full) == master("")

    least = "name: a\nmasters: [http://127.0.0.1:1]\nshared_secret: /s\n"
    top = "\n".join(f"{s.key}: {s.default}" for s in SECTIONS["agent"].settings.values() if s.default)
    full = f"{least}{top}\nlimits: {spelt('limits')}\nspool: {spelt('spool')}"
    assert load_agent("f", lambda path: full) == load_agent("f", lambda path: least)


def test_the_table_for_people_has_every_setting() -> None:
    text = markdown()
    assert all(f"| `{setting.key}` |" in text for _, setting in SETTINGS)
    assert all(f"## {name}\n" in text for name in SECTIONS)
