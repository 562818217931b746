"""Any file gives settings or a ConfigError of one line, whatever stands in it."""

from collections.abc import Callable
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from smokemesh.errors import ConfigError
from smokemesh.settings import kinds
from smokemesh.settings.agent import load_agent
from smokemesh.settings.filetype import file_type
from smokemesh.settings.master import load_master
from smokemesh.settings.reference import SECTIONS, SETTINGS
from smokemesh.settings.yaml import parse

KEYS = st.sampled_from(
    sorted({key for section in SECTIONS.values() for key in section.settings}) + ["x", "/", "..", "<<", ""]
)
EXAMPLES = sorted({text for _, setting in SETTINGS for text in (setting.example, setting.default) if text})
SCALARS = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=20),
    st.sampled_from(EXAMPLES), st.sampled_from(["192.0.2.1", "fe80::1%", "::", "x.example", "9" * 400, "1e999", "nan", "/x", "local"]),
)  # fmt: skip
NODES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=6), max_leaves=20
)
FILES = st.dictionaries(KEYS, NODES, max_size=8)


def never_worse_than_one_line(load: Callable[..., Any], text: str) -> None:
    message = ""
    try:
        load("f.yaml", lambda path: text)
    except ConfigError as error:
        message = str(error)
        assert message.startswith("f.yaml:")  # no error at all is as good
    assert "\n" not in message
    assert message.isprintable()


@pytest.mark.parametrize("load", [load_master, load_agent])
@given(FILES)
@settings(deadline=None)
def test_any_yaml(load: Callable[..., Any], file: dict[str, Any]) -> None:
    never_worse_than_one_line(load, yaml.safe_dump(file, allow_unicode=True))


@given(NODES)
@settings(deadline=None)
def test_any_tree(node: Any) -> None:
    never_worse_than_one_line(load_master, yaml.safe_dump({"targets": {"a": {"host": "192.0.2.1"}, "b": node}}))


@given(st.dictionaries(st.sampled_from(sorted(SECTIONS["probe"].settings)), SCALARS))
@settings(deadline=None)
def test_any_probe(probe: dict[str, Any]) -> None:
    never_worse_than_one_line(load_master, yaml.safe_dump({"probes": {"p": probe}, "targets": {}}))


@given(st.text())
@settings(deadline=None)
def test_any_text(text: str) -> None:
    never_worse_than_one_line(load_master, text)
    never_worse_than_one_line(load_agent, text)


PARSERS = [
    kinds.parse_host, kinds.parse_listen, kinds.parse_master_url, kinds.parse_name, kinds.network().parse, kinds.address().parse,
    kinds.color().parse, kinds.code_point().parse, kinds.duration(0, 10).parse, kinds.size(0, 10).parse, kinds.whole(0, 10).parse,
    kinds.number(0, 10).parse, kinds.tree_path().parse, kinds.interface().parse, kinds.dsn("chdb").parse,
]  # fmt: skip


@pytest.mark.parametrize("parse_value", PARSERS)
@given(st.text() | st.text(alphabet="0123456789.:/[]%#@-fest \u0663\u2460", max_size=30))
@settings(deadline=None)
def test_any_value(parse_value: Callable[[str], Any], text: str) -> None:
    """Refusals say what to write."""
    message = "; write "
    try:
        parse_value(text)
    except ValueError as error:
        message = str(error)
    assert "; " in message


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("targets: {}", "master"),
        ("agents: {}\nlisten: x", "master"),
        ("name: x\nmasters: []", "agent"),
        ("labels: {}", "agent"),
        ("dcs: {}", "topology"),
        ("what: ever", ""),
        ("[]", ""),
    ],
)
def test_which_file_it_is(text: str, kind: str) -> None:
    assert file_type(parse(text, "f")) == kind
