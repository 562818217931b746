"""The build of the front end: what the pages need is there, and what goes wrong is one line."""

import importlib.util
import os
import shutil
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[2]


def load() -> ModuleType:
    spec = importlib.util.spec_from_file_location("hatch_build", ROOT / "hatch_build.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The build, in a copy that may be spoilt."""
    build = load()
    build.build()
    copy = tmp_path / "frontend"
    shutil.copytree(ROOT / "frontend", copy, ignore=shutil.ignore_patterns("node_modules"))
    (copy / "node_modules").symlink_to(ROOT / "frontend/node_modules")
    monkeypatch.setattr(build, "FRONTEND", copy)
    monkeypatch.setattr(build, "BUILT", tmp_path / "built")
    return build


def test_the_built_files_are_current() -> None:
    build = load()
    build.build()
    assert build.is_current()
    assert all((build.BUILT / name).stat().st_size > 0 for name in build.OUTPUTS)


def test_a_mistake_in_the_source_is_one_line_with_its_place(elsewhere: ModuleType) -> None:
    if not (ROOT / "frontend/node_modules").is_dir():
        pytest.skip("built elsewhere: no node_modules here")
    with (elsewhere.FRONTEND / "src/main.ts").open("a") as file:
        file.write("const broken = = 1;\n")
    with pytest.raises(elsewhere.FrontendError) as caught:
        elsewhere.check()
    assert "src/main.ts" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_change_of_the_source_is_noticed(elsewhere: ModuleType) -> None:
    elsewhere.BUILT.mkdir()
    for name in elsewhere.OUTPUTS:
        (elsewhere.BUILT / name).touch()
    assert elsewhere.is_current()
    newest = max(path.stat().st_mtime for path in elsewhere.inputs()) + 10_000
    os.utime(elsewhere.FRONTEND / "src/main.ts", (newest, newest))
    assert not elsewhere.is_current()


def test_the_lock_file_names_no_registry() -> None:
    text = (ROOT / "frontend/package-lock.json").read_text()
    assert "resolved" not in text
    assert "registry" not in text
    assert '"integrity": "sha512-' in text
