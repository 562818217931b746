"""Dumps of Perl data: written as Data::Dumper writes them, read without running anything."""

import os
import subprocess
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from smokemesh.errors import WireError
from smokemesh.smokeping import perl

#: More than the usual number of examples, for a nightly run.
EXAMPLES = int(os.environ.get("SMOKEMESH_TEST_EXAMPLES", "0"))

#: The smallest configuration that real slaves of both versions work with.
SMALLEST = (
    b"$VAR1={'__last'=>1700000000,'General'=>{'datadir'=>'/d'},'Database'=>{'step'=>300,'pings'=>3},'Probes'=>{'FPing'=>"
    b"{'binary'=>'/usr/bin/fping','mininterval'=>'0.01','protocol'=>'4'}},'Targets'=>{'probe'=>'FPing','nomasterpoll'=>"
    b"'no','A'=>{'probe'=>'FPing','nomasterpoll'=>'no','host'=>'127.0.0.1'},'B'=>{'probe'=>'FPing','host'=>'::1'},"
    b"'U'=>undef}};\n"
)
DUMP = b"""\
$VAR1 = {
          'Database' => {
                          '_table' => [
                                        [
                                          'AVERAGE',
                                          '0.5'
                                        ]
                                      ],
                          'step' => '20'
                        },
          'Targets' => {
                         'A' => {
                                  '_order' => 0,
                                  'menu' => 'it\\'s \\\\ here',
                                  'none' => {}
                                },
                         'B' => undef,
                         'alerts' => []
                       },
          '__last' => 1795212641,
          'far' => '12345678901',
          'less' => -5
        };
"""
MEANT: perl.Value = {
    "Targets": {"B": None, "A": {"menu": "it's \\ here", "none": {}, "_order": 0}, "alerts": []},
    "Database": {"step": "20", "_table": [["AVERAGE", "0.5"]]},
    "less": -5,
    "far": "12345678901",
    "__last": 1795212641,
}

SCALARS = (
    st.none()
    | st.integers(-(10**8), 10**9)
    | st.binary(max_size=12).map(lambda b: b.decode("utf-8", "surrogateescape"))
)
KEYS = st.binary(max_size=6).map(lambda b: b.decode("utf-8", "surrogateescape"))
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=4), max_leaves=25
)


def test_written_as_data_dumper_does() -> None:
    assert perl.write(MEANT) == DUMP
    assert perl.read(DUMP) == MEANT


def test_the_smallest_configuration() -> None:
    read: Any = perl.read(SMALLEST)
    assert read["Targets"]["A"] == {"probe": "FPing", "nomasterpoll": "no", "host": "127.0.0.1"}
    assert read["Targets"]["U"] is None
    assert (read["__last"], read["Database"]["step"], read["Probes"]["FPing"]["protocol"]) == (1700000000, 300, "4")


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        (rb"'a\nb'", r"a\nb"),
        (rb'"a\n\x{e9}\303\251\$\@\e"', "a\n\udce9\u00e9$@\x1b"),
        (rb'"\x{4e2d}\x{e9}"', "\u4e2d\u00e9"),
        (b"'\xff\xc3\xa9'", "\udcff\u00e9"),
        (b"[1, -2, 3.5, 1e3, +4, '5',]", [1, -2, 3.5, 1000.0, 4, "5"]),
        (b"{ a => 1, -b => undef, 3 => 'c', \"d e\" => [] , }", {"a": 1, "-b": None, "3": "c", "d e": []}),
        (b"{ 'a' => { 'b' => [ 7 ] }, 'c' => $VAR1->{'a'}{'b'} }", {"a": {"b": [7]}, "c": [7]}),
        (b"[ [ 7 ], $VAR1->[0]->[0] ]", [[7], 7]),
    ],
)
def test_every_form(text: bytes, meant: perl.Value) -> None:
    assert perl.read(b"$VAR1 = " + text + b";\n") == meant


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (b"", "line 1: a dump begins with `$VAR1 = `, found the end"),
        (b"$VAR1 = {\n'a' => 1\n", "line 3: expected `,` or `}`, found the end"),
        (b"$VAR1 = {\n a => 1,\n a => 2};", "the key 'a' is there twice"),
        (b"$VAR1 = {\n'a' => system('x')};", "line 2: expected a value, found \"system('x')};\""),
        (b"$VAR1 = 'a';\nsystem('x');", "expected `;` and the end"),
        (b"$VAR1 = [ `id` ];", "expected a value, found '`id` ];'"),
        (b"$VAR1 = [ \"a@{[ `id` ]}\" ];", "expected a value"),
        (b"$VAR1 = bless( {}, 'X' );", "expected a value"),
        (b"$VAR1 = { 'a' => $VAR1 };", "expected a value"),
        (b"$VAR1 = { 'a' => { 'b' => $VAR1->{'a'} } };", "a reference to what is not there"),
        (b"$VAR1 = [ [ $VAR1->[0] ] ];", "a reference to what is not there"),
        (b"$VAR1 = { 'a' => $OTHER->{'b'} };", "expected a value"),
        (b"$VAR1 = 01;", "expected a value"),
        (b"$VAR1 = " + b"9" * 50 + b";", "a number has more than 40 characters"),
        (b"$VAR1 = 1 + 1;", "expected `;` and the end"),
        (b"$VAR1 = \"\\x{d800}\";", "a character that does not exist"),
        (b"$VAR1 = " + b"[" * 100_000, "nested more than 128 deep"),
    ],
)  # fmt: skip
def test_anything_else_is_refused_in_one_line(text: bytes, why: str) -> None:
    with pytest.raises(WireError) as refused:
        perl.read(text)
    assert why in str(refused.value)
    assert str(refused.value).isprintable()


def test_references_do_not_multiply() -> None:
    """Each level holds the one before twice: a few bytes that would unfold to 2**60 values."""
    levels = "".join(f"'k{i}' => [ $VAR1->{{'k{i - 1}'}}, $VAR1->{{'k{i - 1}'}} ],\n" for i in range(1, 60))
    with pytest.raises(WireError, match="more than 4000000 values"):
        perl.read(b"$VAR1 = { 'k0' => [],\n" + levels.encode() + b"};")


@given(VALUES)
@settings(max_examples=EXAMPLES or 100)
def test_what_is_written_is_read(value: perl.Value) -> None:
    assert perl.read(perl.write(value)) == value


@given(st.binary(max_size=60) | st.text("$VAR1 ={}[]'\"\\,;>undef0.-e@x\n").map(str.encode))
@settings(max_examples=EXAMPLES or 150)
def test_any_bytes(data: bytes) -> None:
    for text in (data, b"$VAR1 = " + data, b"$VAR1 = { 'a' => " + data):
        said = ""
        try:
            perl.read(text)
        except WireError as error:
            said = str(error)
        assert said.isprintable()


@pytest.mark.peer("perl")
@given(st.lists(VALUES, min_size=15, max_size=15))
@settings(max_examples=2)
def test_perl_reads_the_same_and_writes_the_same(values: list[perl.Value]) -> None:
    dump = perl.write(values)
    program = "use Data::Dumper; $Data::Dumper::Sortkeys = 1; undef $/; my $VAR1; eval <STDIN>; die $@ if $@; print Dumper($VAR1);"
    answer = subprocess.run(["perl", "-e", program], input=dump, capture_output=True, check=True, timeout=20)
    assert answer.stdout == dump
