"""Records as JSON: what auditors' tools read."""

from __future__ import annotations

import json

from skerry.audit import event
from skerry.audit.event import AuditedObject, micro_time, note
from skerry.audit.meaning import meaning_of
from tests.audit.logs import ID


def test_a_record_is_one_line_of_json_whatever_people_are_called() -> None:
    name = 'Jörg "x" \\ \n\x00 </script>'
    parts = f"{event.what('/a', 'get', AuditedObject(resource=name))},{event.who(name, (name,), '::1', name)}"
    parts += event.impersonated(name, ()) + event.failure(403, "Forbidden", name)
    line = event.line("Metadata", ID, "ResponseComplete", parts, "t0", "t1", note(event.REASON, name) + note("b", "c"))
    assert line.count(b"\n") == 1
    assert line.endswith(b"\n")
    read = json.loads(line)
    assert read["user"] == {"username": name, "groups": [name]}
    assert read["impersonatedUser"] == {"username": name}
    assert read["objectRef"]["resource"] == name
    assert read["responseStatus"] == {"status": "Failure", "message": name, "reason": "Forbidden", "code": 403}
    assert read["annotations"] == {event.REASON: name, "b": "c"}


def test_without_annotations_it_is_json_too() -> None:
    line = event.line("Metadata", ID, "ResponseComplete", event.what("/", "get", None), "t", "t", "")
    assert json.loads(line)["annotations"] == {}


def test_times_have_microseconds_and_sort_as_they_are() -> None:
    times = [0.0, 1.0, 1_795_000_000.000001, 1_795_000_000.999999, 1_795_000_001.5]
    assert [micro_time(each) for each in times] == sorted(micro_time(each) for each in times)
    assert micro_time(1_795_000_001.5) == "2026-11-18T11:06:41.500000Z"


def test_a_code_tells_failures() -> None:
    assert json.loads("{" + event.code(404)[1:] + "}") == {"responseStatus": {"status": "Failure", "code": 404}}
    assert json.loads("{" + event.code(101)[1:] + "}") == {"responseStatus": {"code": 101}}


def test_a_target_that_cannot_be_read_is_a_path() -> None:
    meaning = meaning_of(b"PURGE", b"/api/v1/%zz?a=b")
    assert (meaning.info.is_resource, meaning.info.verb, meaning.uri) == (False, "purge", "/api/v1/%zz?a=")
    assert meaning_of(b"GET", b"/" + b"x" * 1000).uri.endswith("xxx")
