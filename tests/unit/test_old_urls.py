"""SmokePing's addresses, each with the page here that shows the same."""

from datetime import datetime, timedelta, timezone

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from smokemesh.master.web.old_urls import moment, old_url, parameters

NOW = datetime(2026, 11, 21, 15, 30, tzinfo=timezone(timedelta(hours=8)))

TABLE = [
    ("", "/"),
    ("target=", "/"),
    ("target=A.B", "/targets/A/B"),
    ("target=A.B~slave1", "/targets/A/B?agent=slave1"),
    ("target=A..B", "/"),
    ("target=A.B;displaymode=s;start=-3h;end=now", "/targets/A/B?from=now-10800s&to=now"),
    ("displaymode=n;start=now-3h;end=now;target=A.B", "/targets/A/B?from=now-10800s&to=now"),
    ("displaymode=n&start=1795240000&end=1795250000&target=A.B~x",
     "/targets/A/B?agent=x&from=2026-11-21T05:46:40Z&to=2026-11-21T08:33:20Z"),
    ("displaymode=n;start=2026-11-20%2010:00;end=2026-11-20+12:30;target=A",
     "/targets/A?from=2026-11-20T02:00:00Z&to=2026-11-20T04:30:00Z"),
    ("displaymode=n;epoch_start=1795240000;epoch_end=1795250000;start=-3h;end=now;target=A",
     "/targets/A?from=2026-11-21T05:46:40Z&to=2026-11-21T08:33:20Z"),
    ("displaymode=n;start=-2d5h;end=99999999999;target=A", "/targets/A?from=now-190800s&to=now"),
    ("displaymode=n;start=rubbish;end=now;target=A", "/targets/A"),
    ("displaymode=n;start=now;end=now;target=A", "/targets/A"),
    ("displaymode=a;start=-3h;end=now;target=A.B~x",
     "/api/v1/graph.png?target=/A/B&agent=x&begin=now-10800s&end=now"),
    ("displaymode=c;target=A.B;start=-1h", "/targets/A/B?from=now-3600s&to=now"),
    ("target=_charts", "/charts"),
    ("target=_charts.stddev", "/charts/stddev"),
    ("target=_charts.Standard_Deviation;hierarchy=0", "/charts/Standard_Deviation"),
    ("hierarchy=owner", "/hierarchies/owner"),
    ("target=A.B;hierarchy=owner", "/hierarchies/owner/A/B"),
    ("target=A.B;hierarchy=0", "/targets/A/B"),
    ("target=A.B;hierarchy=", "/targets/A/B"),
    ("hierarchy=//evil.example/", "/"),
    ("filter=tok%7Czur", "/search?filter=tok%7Czur"),
    ("filter=a;hierarchy=owner", "/search?filter=a&hierarchy=owner"),
]  # fmt: skip


@pytest.mark.parametrize(("query", "address"), TABLE)
def test_an_address_leads_to_the_page_that_shows_it(query: str, address: str) -> None:
    assert old_url(parameters(query), NOW) == address


@pytest.mark.parametrize(
    ("text", "ours"),
    [
        ("now", "now"), ("-3h", "now-10800s"), ("now-3h", "now-10800s"), ("now - 1day", "now-86400s"),
        ("-1week", "now-604800s"), ("-1mon", "now-2592000s"), ("-1y", "now-31536000s"), ("end-1w", "now-604800s"),
        ("-90", "now-90s"), ("-1h+30min", "now-1800s"), ("+3h", "now"), ("n-5m", "now-300s"),
        ("midnight", "2026-11-20T16:00:00Z"), ("noon yesterday", "2026-11-20T04:00:00Z"),
        ("midnight-2h", "2026-11-20T14:00:00Z"), ("2026-11-21", "2026-11-20T16:00:00Z"),
        ("2026-11-21 15:00:05", "2026-11-21T07:00:05Z"), ("2026-02-31", ""), ("3 o'clock", ""), ("", ""),
        ("now-3parsec", ""), ("-", ""), ("0001-01-01", ""),
    ],
)  # fmt: skip
def test_times(text: str, ours: str) -> None:
    assert moment(text, NOW) == ours


@given(st.dictionaries(st.sampled_from(["target", "start", "end", "displaymode", "hierarchy", "filter"]), st.text()))
@settings(max_examples=200)
def test_whatever_it_says_it_leads_to_a_page_of_ours(params: dict[str, str]) -> None:
    address = old_url(params, NOW)
    assert address.startswith("/")
    assert not address.startswith(("//", "/\\"))
    assert address.isascii()
    assert not any(c in address for c in '\r\n "<>\\')


@given(st.text())
@settings(max_examples=100)
def test_any_query_string_is_read(query: str) -> None:
    old_url(parameters(query), NOW)
