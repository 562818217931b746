"""Any bytes give a configuration or a ConfigError of one line; a grammar of plausible lines finds the deeper corners."""

import os

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.data.smokeping.cases import BESIDE, CASES

from smokemesh.errors import ConfigError
from smokemesh.smokeping.catalogue import PROBES
from smokemesh.smokeping.config import parse
from smokemesh.smokeping.variables import FIXED, TARGET

EXAMPLES = int(os.environ.get("SMOKEMESH_TEST_EXAMPLES", "400"))

WHOLE = [case.data for case in CASES if len(case.data) < 1500]
NAMES = sorted(
    {name for form in FIXED.values() for name in form.variables} | set(TARGET) | {"binary", "urlformat", "x"}
)
SECTIONS = [
    *FIXED,
    "Probes",
    "Targets",
    "overview",
    "detail",
    "charts",
    "override",
    *sorted(PROBES),
    "A",
    "B",
    "_order",
    "",
]
VALUES = st.one_of(
    st.sampled_from(["", "1", "300", "20", "yes", "/A /B", "DYNAMIC", "FPing", "a,b", "a@b", "|x", "ff0000", "\\", '"', "9" * 400]),
    st.text(max_size=12),
)  # fmt: skip
LINES = st.one_of(
    st.builds("*** {} ***".format, st.sampled_from(SECTIONS)),
    st.builds("{} {}".format, st.sampled_from(["+", "++", "+++", "++++"]), st.sampled_from(SECTIONS)),
    st.builds("{} = {}".format, st.sampled_from(NAMES), VALUES),
    st.builds("@include {}".format, st.sampled_from([*BESIDE, "config", "", "\0", ".."])),
    st.builds("@define {} {}".format, st.text("abAx.*+?()[]|{}\\^$", min_size=1, max_size=8), VALUES),
    st.builds("{} {} {}".format, VALUES, VALUES, VALUES),
    VALUES,
)


def never_worse_than_one_line(data: bytes) -> None:
    files = {"config": data, **BESIDE}

    def read(path: str) -> bytes:
        if path not in files:
            raise FileNotFoundError(2, "No such file or directory")
        return files[path]

    message = ""
    try:
        configuration = parse("config", read)
        assert dict(configuration.targets.walk())["/"] is configuration.targets
        assert all(warning.isprintable() for warning in configuration.warnings)
    except ConfigError as error:
        message = str(error)
    assert message.isprintable()
    assert not message or "; " in message or ": write " in message


@given(st.binary(max_size=300))
@settings(max_examples=EXAMPLES)
def test_any_bytes(data: bytes) -> None:
    never_worse_than_one_line(data)


@given(st.sampled_from(WHOLE), st.integers(0, 1500), st.integers(0, 40), st.binary(max_size=30))
@settings(max_examples=EXAMPLES)
def test_a_good_file_broken(data: bytes, at: int, gone: int, put: bytes) -> None:
    never_worse_than_one_line(data[:at] + put + data[at + gone :])


@given(st.lists(LINES, max_size=30))
@settings(max_examples=EXAMPLES)
def test_plausible_lines(lines: list[str]) -> None:
    never_worse_than_one_line("\n".join(lines).encode("utf-8", "surrogatepass"))


@given(st.sampled_from(WHOLE), st.lists(LINES, max_size=12))
@settings(max_examples=EXAMPLES)
def test_plausible_lines_behind_a_good_file(data: bytes, lines: list[str]) -> None:
    never_worse_than_one_line(data + "\n".join(lines).encode("utf-8", "surrogatepass"))


def test_deep_and_wide_files_end() -> None:
    root = CASES[0].data
    never_worse_than_one_line(root + b"".join(b"+" * level + b" n\n" for level in range(1, 3000)))
    never_worse_than_one_line(root + b"".join(b"+ t%d\nhost = h\n" % number for number in range(5_000)))
    never_worse_than_one_line(root + b"+" * 100_000 + b" n\n")
    never_worse_than_one_line(root + b"alertee = " + b"a@b, " * 20_000 + b"\n")
    never_worse_than_one_line(root + b"alerts = " + b"a," * 50_000 + b"\n")
    never_worse_than_one_line(root + b"email = " + b"< @" * 40_000 + b"\n")
    never_worse_than_one_line(root + b"parents = " + b"a:/b " * 20_000 + b"\n")
    never_worse_than_one_line(root + b'*** Database ***\n"' + b"\\" * 100_000 + b"\n")
