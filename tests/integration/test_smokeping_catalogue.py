"""Our table of probes and SmokePing's own modules: the same probes, variables, defaults, and what is mandatory."""

import json
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from smokemesh.smokeping.catalogue import PROBES
from smokemesh.smokeping.variables import Variable

SCRIPT = Path(__file__).parent.parent / "data" / "smokeping" / "modules.pl"


def described(variables: Mapping[str, Variable], mandatory: tuple[str, ...], newer: frozenset[str]) -> dict[str, Any]:
    known = {name: variable for name, variable in variables.items() if name not in newer}
    return {
        "names": sorted(known),
        "mandatory": sorted(mandatory),
        "defaults": {name: variable.default for name, variable in known.items() if variable.default is not None},
    }


@pytest.mark.peer("smokeping")
def test_every_module() -> None:
    run = subprocess.run(["perl", str(SCRIPT)], capture_output=True, text=True, timeout=60, check=True)
    modules = json.loads(run.stdout)
    assert len(modules) > 30
    assert set(modules) <= set(PROBES)
    for name, real in modules.items():
        probe = PROBES[name]
        assert described(probe.probe, probe.mandatory, probe.newer) == real["probevars"], name
        assert described(probe.target, probe.target_mandatory, probe.newer) == real["targetvars"], name
        assert probe.description


@pytest.mark.peer("smokeping")
def test_no_module_is_left_out() -> None:
    shipped = {file.stem for file in Path("/usr/share/perl5/Smokeping/probes").glob("[A-Z]*.pm")}
    assert shipped == set(PROBES)


def test_defaults_are_taken_by_their_own_rules() -> None:
    for probe in PROBES.values():
        for name, variable in {**probe.probe, **probe.target}.items():
            if variable.rule is not None and variable.default is not None:
                assert variable.rule(variable.default) == "", f"{probe.name}.{name}"
