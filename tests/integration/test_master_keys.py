"""`smokemesh keys generate`: a secret the master takes, and takes only from a file that is closed to others."""

from pathlib import Path

import pytest
from click.testing import CliRunner

from smokemesh.cli.keys import command, write_secret
from smokemesh.errors import HostError, SmokemeshError, UsageError
from smokemesh.master.registry import read_secret, read_secrets
from smokemesh.model.agent import Agent
from smokemesh.settings.shape import MasterSettings


def test_a_generated_secret_is_found_by_its_name(tmp_path: Path) -> None:
    result = CliRunner().invoke(command, ["generate", "boomer", "--data", str(tmp_path)])
    file = tmp_path / "secrets" / "boomer"
    assert result.output.strip() == str(file)
    assert file.stat().st_mode & 0o777 == 0o600
    settings = MasterSettings(agents={"boomer": Agent(name="boomer"), "other": Agent(name="other")})
    found = read_secrets(settings, str(tmp_path))
    assert found == {"boomer": file.read_bytes().strip()}
    assert len(found["boomer"]) == 43


def test_a_secret_is_never_overwritten(tmp_path: Path) -> None:
    before = write_secret(tmp_path, "boomer").read_bytes()
    with pytest.raises(HostError, match="holds a secret already"):
        write_secret(tmp_path, "boomer")
    assert (tmp_path / "secrets" / "boomer").read_bytes() == before


@pytest.mark.parametrize("name", ["../boomer", "a b", ""])
def test_names_are_names(tmp_path: Path, name: str) -> None:
    result = CliRunner().invoke(command, ["generate", name, "--data", str(tmp_path)])
    assert isinstance(result.exception, UsageError)


@pytest.mark.parametrize(
    ("mode", "content", "message"),
    [
        (0o640, b"correct-horse", "run: chmod 600"),
        (0o600, b"", "holds no secret"),
        (0o600, b"short", "write 8 or more"),
        (0o600, b"one-secret\nanother-secret\n", "more than one line"),
    ],
)
def test_files_that_hold_no_good_secret(tmp_path: Path, mode: int, content: bytes, message: str) -> None:
    file = tmp_path / "secret"
    file.write_bytes(content)
    file.chmod(mode)
    with pytest.raises(SmokemeshError, match=message) as error:
        read_secret(str(file))
    assert str(file) in str(error.value)


def test_a_file_that_is_named_but_missing(tmp_path: Path) -> None:
    settings = MasterSettings(agents={"a": Agent(name="a", secret_file=str(tmp_path / "none"))})
    with pytest.raises(HostError, match="none: No such file or directory"):
        read_secrets(settings, str(tmp_path))
