"""CloudEvents as headers and as JSON: what is made here is read by the package of the specification's authors."""

from __future__ import annotations

import json

import pytest
from cloudevents.core.bindings.http import HTTPMessage, from_http_event
from hypothesis import given
from hypothesis import strategies as st

from skerry import cloudevents
from skerry.cloudevents import WARNING, CloudEvent, EventData, EventObject
from skerry.errors import BadRequest

EVENT = CloudEvent(
    id="resources:17:notready",
    source="/hosts/u-1/registry",
    type="dev.skerry.cluster.notready",
    subject="cluster/m1",
    time="2030-01-31T12:00:00.250Z",
    actor='Zoë "Z" 100%\n',
    auditid="6f1c",
    data=EventData(
        object=EventObject(kind="Cluster", name="m1", uid="u"),
        type=WARNING,
        reason="NotReady",
        message="AgentAway: näher",
        cluster="m1",
        from_={"ready": "True"},
        to={"ready": "False"},
    ),
)


def test_headers_are_those_of_the_binary_mode_and_percent_encoded() -> None:
    headers = cloudevents.headers_of(EVENT)
    assert headers["ce-specversion"] == "1.0"
    assert headers["ce-actor"] == "Zo%C3%AB%20%22Z%22%20100%25%0A"
    assert "content-type" not in {name.lower() for name in headers}
    assert "ce-traceparent" not in headers


def test_an_event_comes_back_from_its_message() -> None:
    assert cloudevents.from_message(cloudevents.headers_of(EVENT), cloudevents.data_of(EVENT)) == EVENT


def test_names_of_headers_are_read_in_any_case() -> None:
    headers = {name.title(): value for name, value in cloudevents.headers_of(EVENT).items()}
    assert cloudevents.from_message(headers, cloudevents.data_of(EVENT), 5).sequence == "5"


def test_an_event_comes_back_from_its_json() -> None:
    assert cloudevents.from_json(cloudevents.structured(EVENT)) == EVENT


@given(st.text())
def test_a_header_has_no_character_that_ends_it(text: str) -> None:
    assert all("\x21" <= each <= "\x7e" and each != '"' for each in cloudevents.percent_encoded(text))


def test_the_subject_on_the_bus_escapes_names_and_has_the_namespace_where_there_is_one() -> None:
    assert cloudevents.bus_subject(EVENT) == "event.cluster.m1.notready"
    subject = cloudevents.subject_of("AppRelease", "web.v2", "team-a")
    event = CloudEvent(
        id="x", source="/s", type=cloudevents.type_of("AppRelease", "Ready"), subject=subject, time="t", data=EVENT.data
    )
    assert cloudevents.bus_subject(event) == "event.apprelease.team-a.web=2Ev2.ready"
    assert (event.kind, event.verb) == ("apprelease", "ready")


@pytest.mark.parametrize(
    ("reason", "verb"),
    [("NotReady", "notready"), ("", "unknown"), ("Not Ready.>\n", "notready"), ("É*", "unknown"), ("A" * 99, "a" * 63)],
)
def test_a_verb_is_one_token_whatever_the_reason(reason: str, verb: str) -> None:
    assert cloudevents.verb_of(reason) == verb


@pytest.mark.parametrize(
    ("headers", "data"),
    [
        ({}, b"{}"),
        ({"ce-specversion": "0.3", "ce-id": "1"}, b"{}"),
        ({"ce-specversion": "1.0", "ce-id": "1"}, b"{}"),
        ({**cloudevents.headers_of(EVENT), "ce-type": "com.example.other"}, cloudevents.data_of(EVENT)),
        (cloudevents.headers_of(EVENT), b"\xff"),
        (cloudevents.headers_of(EVENT), b"[" * 5000),
        (cloudevents.headers_of(EVENT), b'{"reason": 1}'),
    ],
    ids=["nothing", "old", "incomplete", "foreign", "no text", "deep", "wrong data"],
)
def test_a_message_that_is_no_event_is_refused(headers: dict[str, str], data: bytes) -> None:
    with pytest.raises(BadRequest, match="event"):
        cloudevents.from_message(headers, data)


def test_json_that_is_no_event_is_refused() -> None:
    with pytest.raises(BadRequest, match="not an event of Skerry"):
        cloudevents.from_json(json.dumps({"specversion": "0.3"}).encode())


def test_the_package_of_the_specification_reads_it() -> None:
    headers = {"content-type": "application/json", **cloudevents.headers_of(EVENT)}
    event = from_http_event(HTTPMessage(headers=headers, body=cloudevents.data_of(EVENT)))
    assert (event.get_id(), event.get_type(), event.get_subject()) == (EVENT.id, EVENT.type, EVENT.subject)
