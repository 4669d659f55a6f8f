"""What a service may not name is told with its line, and what it may is not."""

from __future__ import annotations

import textwrap
from types import ModuleType

import pytest

from skerry import subjects
from skerry.api.kinds import CLUSTER, CREDENTIAL
from skerry.identity import services
from tests import boundaries
from tests.boundaries import Bounds, faults, matches

OF = Bounds(
    service="tenancy",
    kinds=(CREDENTIAL,),
    calls=("registry.desired.tenancy", "direct.*.connect"),
    tells=("probe.*", "down.*.a.>"),
    hears=("up.*.hb",),
    buckets=("resources", "desired-status"),
)


def told(text: str, of: Bounds = OF) -> list[str]:
    """Faults of a module with this text."""
    source = "from skerry import subjects\nfrom skerry.api.kinds import CLUSTER, CREDENTIAL\n" + textwrap.dedent(text)
    module = ModuleType("module")
    exec(compile(source, "module.py", "exec"), vars(module))
    return list(faults("module.py", source, module, of))


@pytest.mark.parametrize("method", sorted(boundaries.READS))
def test_a_kind_outside_needs_is_told_by_kind_service_and_line(method: str) -> None:
    assert told(f"def f(context): context.informer.{method}(CLUSTER)") == [
        "module.py:3: service tenancy reads Cluster, which is neither its own nor in its `needs`: name it there"
    ]
    assert told(f"def f(context): context.informer.{method}(CREDENTIAL)") == []


def test_an_alias_hides_nothing() -> None:
    (fault,) = told("OTHER = CLUSTER\ndef f(cache):\n    return [cache.get(OTHER, name) for name in 'ab']")
    assert fault.startswith("module.py:5: service tenancy reads Cluster")


def test_who_reads_all_kinds_may() -> None:
    assert told("def f(cache): cache.get(CLUSTER)", OF._replace(kinds=None)) == []


def test_a_store_of_another_services_kind_is_told_also_where_it_may_be_read() -> None:
    (fault,) = told("def f(context): context.store(CLUSTER)", OF._replace(kinds=(CLUSTER,)))
    assert fault == "module.py:3: service tenancy writes Cluster, which registry owns: ask it to"
    assert told("def f(context): context.store(CREDENTIAL)") == []


@pytest.mark.parametrize(
    ("call", "fault"),
    [
        ("bus.request('registry.nonsense')", "calls registry.nonsense: nobody offers it"),
        ("bus.request(subjects.CERTIFY)", f"calls {subjects.CERTIFY}: its row in the table does not have it"),
        ("bus.request(subjects.desired_owner(self.owner))", ""),
        ("bus.request(subjects.desired_keys(self.owner))", "calls registry.desired.*.keys: its row in the table does not have it"),
        ("bus.request(subjects.connection(name), b'')", ""),
        ("bus.request(subject)", ""),
        ("bus.publish(subjects.probe(name), b'')", ""),
        ("bus.publish(subjects.quarantine(name), b'')", "tells quarantine.*: its row in the table does not have it"),
        ("bus.subscribe(subjects.HEARTBEATS, self)", ""),
        ("bus.subscribe('up.*.s.>', self)", "hears up.*.s.>: its row in the table does not have it"),
        ("bus.bucket(subjects.RESOURCES)", ""),
        ("bus.bucket('secrets')", "names the bucket secrets of registry: its row in the table does not have it"),
        ("bus.bucket('treasure')", "names the bucket treasure of nobody: its row in the table does not have it"),
        ("bus.bucket(name)", ""),
    ],
)  # fmt: skip
def test_an_endpoint_or_bucket_that_is_not_in_its_row_is_told(call: str, fault: str) -> None:
    assert told(f"def f(self, bus, name, subject): {call}") == [f"module.py:3: service tenancy {fault}"] * bool(fault)


@pytest.mark.parametrize(
    ("subject", "pattern", "same"),
    [
        ("a.b", "a.b", True), ("a.b", "a.c", False), ("a.any", "a.c", True), ("a.x", "a.*", True), ("a", "a.*", False),
        ("a.b.c.d", "a.b.>", True), ("b.b.c", "a.b.>", False), ("a.b.c", "a.b", False),
    ],
)  # fmt: skip
def test_subjects_match_as_far_as_they_are_known(subject: str, pattern: str, same: bool) -> None:
    assert bool(matches(subject, pattern)) is same


def test_every_service_keeps_its_bounds_and_all_are_looked_at() -> None:
    assert list(boundaries.every()) == []
    assert {row.name for row in services.SERVICES} >= {"registry", "tenancy", "proxy"}


def test_a_service_of_the_table_is_held_to_its_own_row(monkeypatch: pytest.MonkeyPatch) -> None:
    """With nothing in the rows, what the services name today is told: the check does see it."""
    bare = Bounds("x", (), (), (), (), ())
    monkeypatch.setattr(boundaries, "bounds", lambda row: bare._replace(service=row.name))
    seen = list(boundaries.every())
    for expected in (
        "registry reads Cluster",
        "tenancy reads Credential",
        "proxy calls",
        "registry names the bucket secrets",
    ):
        assert any(f"service {expected}" in each for each in seen), expected
