"""The documentation tells the truth: generated parts are current, links lead somewhere, examples are valid."""

import importlib.util
import re
import shlex
from pathlib import Path
from types import ModuleType

import pytest

from smokemesh.cli.main import COMMANDS
from smokemesh.settings.agent import load_agent
from smokemesh.settings.master import load_master

ROOT = Path(__file__).parent.parent
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
FENCE = re.compile(r"^```yaml\n(.*?)^```", re.DOTALL | re.MULTILINE)
LINK = re.compile(r"\]\((?!https?:|#|mailto:)([^)#\s]+)(#[^)\s]*)?\)")


def _reference() -> ModuleType:
    spec = importlib.util.spec_from_file_location("reference", ROOT / "tools" / "reference.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_generated_pages_are_current() -> None:
    stale = [path.name for path, text in _reference().generated().items() if path.read_text() != text]
    assert stale == [], "run python tools/reference.py"


@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(ROOT)))
def test_every_link_leads_somewhere(page: Path) -> None:
    targets = [match.group(1) for match in LINK.finditer(page.read_text())]
    assert [t for t in targets if not (page.parent / t).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(ROOT)))
def test_every_command_shown_exists(page: Path) -> None:
    shown = re.findall(r"^ {4}(?:\S*/)?smokemesh ([a-z-]+)", page.read_text(), re.MULTILINE)
    assert [name for name in shown if name not in COMMANDS] == []


def _examples() -> list[tuple[str, str]]:
    return [
        (f"{page.relative_to(ROOT)}#{i}", text)
        for page in PAGES
        for i, text in enumerate(FENCE.findall(page.read_text()))
    ]


@pytest.mark.parametrize(("place", "text"), _examples(), ids=[place for place, _ in _examples()])
def test_every_configuration_shown_is_accepted(place: str, text: str) -> None:
    if "masters:" in text:
        assert load_agent(place, lambda path: text).masters
    else:
        assert load_master(place, lambda path: text).files


def test_no_page_shows_traffic_to_a_real_host() -> None:
    """Examples are typed in by people: only loopback, documentation addresses (RFC 5737, RFC 3849) and example names."""
    allowed = re.compile(r"127\.|0\.0\.0\.0|192\.0\.2\.|198\.51\.100\.|203\.0\.113\.|224\.|255\.255\.255\.|300\.")
    found = [
        (page.name, address)
        for page in PAGES
        for address in re.findall(r"\b\d{1,3}\.\d{1,3}\.\d{1,3}\.\d{1,3}\b", page.read_text())
        if not allowed.match(address)
    ]
    assert found == []


def test_commands_shown_can_be_split_by_a_shell() -> None:
    for page in PAGES:
        for line in re.findall(r"^ {4}(\S*smokemesh .*)$", page.read_text(), re.MULTILINE):
            assert shlex.split(line.rstrip("\\"), comments=True)
