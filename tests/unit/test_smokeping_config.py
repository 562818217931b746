"""SmokePing's configuration by our parser alone: verdicts, values, places, warnings."""

import pytest
from tests.data.smokeping.cases import (
    ALERTS,
    BESIDE,
    CASES,
    DATABASE,
    GENERAL,
    LOSSY,
    PRESENTATION,
    PROBES,
    SLAVE,
    TARGETS,
    TWO,
    Case,
)

from smokemesh.errors import ConfigError
from smokemesh.smokeping.config import parse
from smokemesh.smokeping.shape import Configuration, Section

WHOLE = GENERAL + DATABASE + PRESENTATION + PROBES + TARGETS


def disk(data: bytes) -> dict[str, bytes]:
    return {"/d/" + name: content for name, content in BESIDE.items()} | {"/d/config": data}


def look(path: str, kind: str) -> str:
    """All is there but secrets of another name, and programs nobody has."""
    if kind == "secrets" and not path.endswith("secrets"):
        return "no such file"
    return "no such file" if "no-such" in path else ""


def load(data: bytes | str) -> Configuration:
    files = disk((data.encode() if isinstance(data, str) else data).replace(b"DIR", b"/d"))

    def read(path: str) -> bytes:
        if path not in files:
            raise FileNotFoundError(2, "No such file or directory")
        return files[path]

    return parse("/d/config", read, look)


def refusal(data: bytes | str) -> str:
    with pytest.raises(ConfigError) as caught:
        load(data)
    return str(caught.value)


def at(configuration: Configuration, path: str) -> Section:
    area, *below = path.split("/")
    section = getattr(configuration, area.lower())
    for name in below:
        section = section.sections[name]
    assert isinstance(section, Section)
    return section


@pytest.mark.parametrize("case", [c for c in CASES if c.accepted or c.ours_only], ids=lambda case: case.name)
def test_takes(case: Case) -> None:
    configuration = load(case.data)
    for path, values in case.values.items():
        section = at(configuration, path)
        assert {name: section.variables[name] for name in values} == values


@pytest.mark.parametrize("case", [c for c in CASES if not c.accepted and not c.ours_only], ids=lambda case: case.name)
def test_refuses_on_one_line(case: Case) -> None:
    message = refusal(case.data)
    assert case.says in message
    assert message.startswith("/d/")
    assert message.isprintable()


def test_messages_name_file_and_line() -> None:
    line = WHOLE.count("\n") + 1
    assert refusal(WHOLE + "hide = maybe\n") == f"/d/config:{line}: hide = maybe in Targets/A: write yes or no"
    assert refusal(WHOLE + "remark = a \\\n b\nhide = no\nmenu = B\n").startswith(
        f"/d/config:{line + 3}: menu is set already"
    )
    message = refusal(WHOLE + "@include nothing\n")
    assert message.startswith(f"/d/config:{line}: @include /d/nothing cannot be read: No such file or directory; ")
    assert refusal(WHOLE + "@include more\n@include more\n").startswith("/d/more:1: section 'M': ")
    assert refusal(DATABASE) == "/d/config: *** General *** is missing; write this section"
    with pytest.raises(ConfigError, match="^x: the file cannot be read: No such file"):
        parse("x", lambda path: (_ for _ in ()).throw(FileNotFoundError(2, "No such file or directory")))


def test_a_variable_of_the_probe_in_a_target_says_where_it_belongs() -> None:
    assert "belongs to probe FPing, not to a target; move it below + FPing" in refusal(WHOLE + "packetsize = 100\n")
    text = WHOLE.replace(PROBES, TWO).replace("probe = FPing", "probe = FPingSmall")
    assert "move it below + FPingSmall" in refusal(text + "packetsize = 100\n")


def test_a_file_that_includes_itself() -> None:
    assert (
        refusal(WHOLE + "@include again\n")
        == "/d/again:1: @include /d/again: the file includes itself; take one @include out"
    )


def test_a_file_may_be_included_in_two_places() -> None:
    configuration = load(WHOLE + "@include empty\n+ B\n@include empty\n")
    assert configuration.files == ("/d/config", "/d/empty")


def test_where_things_stand() -> None:
    a = load(WHOLE + "@include more\nslaves = s\n++ D\n").targets.sections["M"]
    assert (a.file, a.line) == ("/d/more", 1)
    assert a.lines == {"host": ("/d/more", 2), "slaves": ("/d/config", WHOLE.count("\n") + 2)}
    assert a.explicit == ("host", "slaves")
    d = a.sections["D"]
    assert (d.explicit, d.lines) == ((), {})
    assert d.get("slaves") == "s"
    assert d.line == WHOLE.count("\n") + 3


def test_sections_left_out_are_none_and_order_is_kept() -> None:
    configuration = load(WHOLE + "+ z\n+ b\n++ y\n++ a\n")
    assert (configuration.alerts, configuration.slaves, configuration.influxdb) == (None, None, None)
    assert [path for path, _ in configuration.targets.walk()] == ["/", "/A", "/z", "/b", "/b/y", "/b/a"]


def test_tables() -> None:
    configuration = load(WHOLE)
    assert configuration.database.table == (("AVERAGE", "0.5", "1", "1008"), ("MIN", "0.5", "12", "4320"))
    assert configuration.presentation.sections["detail"].table == (("Last 3 Hours", "3h"), ("Last 10 Days", "10d"))


def test_newer_sections() -> None:
    influx = load(WHOLE + "*** InfluxDB ***\nhost = h\ndatabase = d\n").influxdb
    assert influx is not None
    assert (influx.get("port"), influx.get("timeout")) == ("8086", "15")


def test_what_smokeping_alone_needs_is_a_warning() -> None:
    configuration = load(WHOLE.replace("imgcache = DIR", "imgcache = /no-such-place"))
    assert configuration.warnings == (
        "/d/config:5: imgcache = /no-such-place: no such file; SmokePing itself refuses that, here it is not needed",
    )


def test_numbers_that_are_more_than_numbers_are_warned_of() -> None:
    warnings = load(WHOLE.replace("step = 300", "step = 300s")).warnings
    assert len(warnings) == 1
    assert "step = 300s counts as 300" in warnings[0]


def test_two_probes_of_one_name_are_warned_of() -> None:
    probes = TWO + "+ FPing6\nbinary = /usr/bin/fping\n++ FPingLarge\n"
    warnings = load(WHOLE.replace(PROBES, probes).replace("probe = FPing", "probe = FPingLarge")).warnings
    assert ["used by two probes" in one for one in warnings] == [True]


@pytest.mark.parametrize(
    ("codec", "charset", "text"),
    [
        ("utf-8", "", "本机 Zürich"),
        ("latin-1", "", "Zürich"),
        ("gb2312", "gb2312", "本机 网络"),
        ("gbk", "GBK", "朱镕基"),
        ("big5", "big5", "網路"),
        ("utf-8", "gb2312", "本机"),
        ("latin-1", "no-such-charset", "Zürich"),
        ("latin-1", "rot13", "Zürich"),
        ("latin-1", "../../x\0y", "Zürich"),
    ],
)
def test_encodings(codec: str, charset: str, text: str) -> None:
    whole = WHOLE.replace("+ overview", f"charset = {charset}\n+ overview", 1) if charset else WHOLE
    configuration = load(whole.encode() + f"title = {text}\n+ B\nremark = {text}\n".encode(codec))
    assert configuration.targets.sections["A"].get("title") == text
    assert configuration.targets.sections["B"].get("remark") == text


def test_each_file_has_its_own_encoding() -> None:
    files = disk((WHOLE + "title = 本机\n@include latin\n").encode()) | {
        "/d/latin": "+ B\ntitle = Zürich\n".encode("latin-1")
    }
    targets = parse("/d/config", files.__getitem__).targets
    assert (targets.sections["A"].get("title"), targets.sections["B"].get("title")) == ("本机", "Zürich")


def test_a_file_of_two_encodings() -> None:
    targets = load(WHOLE.encode() + "title = 本机\n+ B\ntitle = ".encode() + "Zürich\n".encode("latin-1")).targets
    assert (targets.sections["A"].get("title"), targets.sections["B"].get("title")) == ("本机", "Zürich")


def test_names_of_files_beyond_ascii() -> None:
    files = {"Größe/config": (WHOLE + "@include mähr\n").encode(), "Größe/mähr": b"+ B\nhost = 192.0.2.3\n"}
    configuration = parse("Größe/config", files.__getitem__)
    assert configuration.files == ("Größe/config", "Größe/mähr")
    assert configuration.targets.sections["B"].file == "Größe/mähr"


def test_a_directory_is_included_as_nothing() -> None:
    def read(path: str) -> bytes:
        if path == "/d/d":
            raise IsADirectoryError(21, "Is a directory")
        return disk((WHOLE + "@include d\n").encode())[path]

    assert "is a directory" in parse("/d/config", read).warnings[0]


def test_alerts_and_slaves() -> None:
    configuration = load(
        GENERAL + DATABASE + PRESENTATION + ALERTS + LOSSY + SLAVE + "++ override\nA.b = c\n" + PROBES + TARGETS
    )
    assert configuration.alerts is not None
    assert configuration.slaves is not None
    assert configuration.alerts.sections["lossy"].variables == {
        "type": "loss", "pattern": ">0%,*12*,>0%", "comment": "lossy", "edgetrigger": "no",
    }  # fmt: skip
    assert configuration.slaves.sections["s1"].sections["override"].variables == {"A.b": "c"}
