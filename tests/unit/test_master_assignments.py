"""Assignments: made from the settings, equal for equal content, and told to those who wait."""

import asyncio
from dataclasses import replace

import pytest

from smokemesh.master.assignments import Assignments, make_assignments
from smokemesh.model.agent import Agent
from smokemesh.model.assignment import task_id
from smokemesh.model.probe import Probe
from smokemesh.model.target import Node, Target
from smokemesh.settings.shape import MasterSettings


def settings(*targets: Target, **more: object) -> MasterSettings:
    children = tuple(Node(path=t.path, menu=t.path, title=t.path, target=t) for t in targets)
    tree = Node(path="/", menu="", title="", children=children)
    probes = {"ping": Probe(name="ping"), "fast": Probe(name="fast", step=10.0), "idle": Probe(name="idle")}
    agents = {"a": Agent(name="a"), "b": Agent(name="b")}
    return MasterSettings(**({"probes": probes, "agents": agents, "tree": tree} | more))  # type: ignore[arg-type]


X = Target(path="/x", host="192.0.2.1", probe="ping", agents=("a", "b"))
Y = Target(path="/y", host="192.0.2.2", probe="fast", agents=("b",), addresses="all")


def test_each_agent_gets_its_targets_and_their_probes() -> None:
    made = make_assignments(settings(X, Y))
    assert [task.target for task in made["a"].tasks] == ["/x"]
    assert {task.target for task in made["b"].tasks} == {"/x", "/y"}
    assert set(made["a"].probes) == {"ping"}
    assert set(made["b"].probes) == {"ping", "fast"}
    (task,) = made["a"].tasks
    assert (task.id, task.host, task.addresses) == (task_id("/x", "ping"), "192.0.2.1", "first")


def test_an_agent_named_only_by_a_target() -> None:
    assert len(make_assignments(settings(replace(X, agents=("local",))))["local"].tasks) == 1


def test_an_agent_without_targets_has_an_assignment_all_the_same() -> None:
    made = make_assignments(settings(Y))["a"]
    assert made.tasks == ()
    assert made.version


def test_the_version_is_that_of_the_content() -> None:
    first = make_assignments(settings(X, Y))
    assert make_assignments(settings(Y, X)) == first, "the order in the file means nothing"
    changed = make_assignments(settings(X, replace(Y, host="192.0.2.3")))
    assert changed["a"].version == first["a"].version
    assert changed["b"].version != first["b"].version
    assert first["a"].version == "7b098bd4f42641d1a94c8b46", (
        "a restart or another master must not make agents begin anew"
    )


def test_uploads_become_rarer_with_many_agents() -> None:
    many = {f"a{i}": Agent(name=f"a{i}") for i in range(50)}
    assert make_assignments(settings(X))["a"].upload_interval == 1.0
    assert make_assignments(settings(agents=many))["a7"].upload_interval == pytest.approx(5.0)


class TestWaiting:
    def test_a_change_wakes_only_those_it_concerns(self) -> None:
        async def scenario() -> None:
            before, after = make_assignments(settings(X)), make_assignments(settings(X, Y))
            current = Assignments(before)
            a = asyncio.create_task(current.wait("a", before["a"].version, 30))
            b = asyncio.create_task(current.wait("b", before["b"].version, 30))
            b2 = asyncio.create_task(current.wait("b", before["b"].version, 30))
            await asyncio.sleep(0)
            assert current.replace(after) == ["b"]
            assert await b == await b2 == after["b"]
            assert not a.done()
            current.release()
            assert await a is None

        asyncio.run(scenario())

    def test_another_version_is_answered_at_once(self) -> None:
        async def scenario() -> None:
            made = make_assignments(settings(X))
            current = Assignments(made)
            assert await current.wait("a", "old", 30) == made["a"]
            assert await current.wait("a", made["a"].version, 0) is None
            assert await current.wait("a", made["a"].version, 0.01) is None

        asyncio.run(scenario())

    def test_an_agent_that_is_no_longer_named_gets_nothing_to_do(self) -> None:
        async def scenario() -> None:
            before = make_assignments(settings(replace(X, agents=("c",))))
            current = Assignments(before)
            waiting = asyncio.create_task(current.wait("c", before["c"].version, 30))
            await asyncio.sleep(0)
            assert current.replace(make_assignments(settings(X))) == ["a", "b", "c"]
            found = await waiting
            assert found is not None
            assert found.tasks == ()

        asyncio.run(scenario())
