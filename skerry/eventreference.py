"""docs/events.md and docs/events.schema.json, made from the declarations: `make fmt` writes them, `make check` compares.

python -m skerry.eventreference [schema]
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator
from typing import Any

import msgspec

from skerry.api.happened import MEMBER_EVENT_BYTES, MEMBER_EVENTS, SYSTEM_EVENTS
from skerry.api.kinds import KINDS, Kind
from skerry.api.kinds.reasons import CONDITIONS, reasons_of
from skerry.cloudevents import TYPE_PREFIX, CloudEvent, verb_of

_HEAD = """# Events

Made from the declarations by `make fmt`: change them, not this page. `events.schema.json` beside it is the JSON schema.

Whatever happens on a host and its members is an event: a message of the bus, a line of `GET /events` and of `skerry events`, and of an
object also a Kubernetes Event. Events of objects follow from what is stored, each once and in order per object, by whichever replica
leads: a write that is stored is told, also if nobody read it for minutes; of more than eight writes of an object in such a time the
first are gone, and an event `gap` says so.

```console
$ skerry events --since 24h --cluster m1
$ skerry events -w --type 'dev.skerry.*.notready' -o json
$ nats --context skerry sub 'event.>'
$ curl --cacert ca.crt -H "Authorization: Bearer $TOKEN" "https://$HOST/events?since=1h&kind=cluster&follow"
```

`GET /events` is for `skerry:monitor` and administrators. `since` is a duration or a time, `after` the `sequence` of an event, `kind`,
`cluster` and `type` (a pattern) can be repeated, and with `follow` the answer goes on; an empty line says that it lives. Events are kept
for seven days, up to 2 GB. [Webhooks](sinks.md) post them to whoever is to know.

## Form

CloudEvents 1.0. On the bus in the binary mode of the NATS binding: attributes are headers `ce-…`, percent-encoded, the payload is the
data. `GET /events` has them in structured mode. The subject on the bus is `event.<kind>.<name>.<verb>`, of namespaced objects
`event.<kind>.<namespace>.<name>.<verb>`, names escaped as in keys of buckets (a dot is `=2E`).

| attribute | is |
|---|---|
| `id` | of an object's event `resources:<revision>:<verb>`: who sees it twice sees it by this |
| `source` | `/hosts/<UID of the host>/<service>` |
| `type` | `dev.skerry.<kind>.<verb>` |
| `subject` | `<kind>/<name>`, or `<kind>/<namespace>/<name>` |
| `time` | of the stored write, or of when it was seen |
| `actor` | the user who did it, `service:<name>` for a service by itself |
| `auditid` | the Audit-ID of the request that did it |
| `traceparent` | its place in a trace |
| `sequence` | its place in the stream, in `GET /events` |

The data is `{object, type, reason, message, cluster, count, from, to, details}`: `type` is Normal or Warning, `from` and `to` say the
state of the object before and after in a few fields, never what is wanted of it. Fields are only ever added.
"""


def markdown(kinds: Iterable[Kind]) -> str:
    """The page."""
    sections = (line for kind in kinds if kind.events for line in _section(kind))
    return "\n".join((_HEAD, *sections, *_others()))


def _section(kind: Kind) -> Iterator[str]:
    yield f"## {kind.kind}\n"
    shape = type(kind.state({}))
    fields = ", ".join(f"`{name}`" for name in shape.__struct_encode_fields__)
    yield f"`from` and `to` have {fields}.\n"
    yield "| type | when |\n|---|---|"
    for reason, text in reasons_of(kind.kind).items():
        yield f"| `{TYPE_PREFIX}.{kind.kind.lower()}.{verb_of(reason)}` | {text} |"
    if more := CONDITIONS.get(kind.kind):
        yield f"| `{TYPE_PREFIX}.{kind.kind.lower()}.…` | {more} |"
    yield ""


def _others() -> Iterator[str]:
    yield "## The host itself\n"
    yield f"The name in the subject is what or whom it is about.\n\n{_table('system', SYSTEM_EVENTS)}\n"
    yield "## What members tell\n"
    yield (
        f"Said by an agent, at most {MEMBER_EVENT_BYTES} bytes each, one a second and 30 at once of a member; it is the member's word.\n\n"
        f"{_table('member', MEMBER_EVENTS)}"
    )
    yield ""


def _table(kind: str, reasons: dict[str, str]) -> str:
    rows = (f"| `{TYPE_PREFIX}.{kind}.{verb_of(reason)}` | {text} |" for reason, text in reasons.items())
    return "\n".join(("| type | when |\n|---|---|", *rows))


def schema(kinds: Iterable[Kind]) -> dict[str, Any]:
    """JSON schema of an event in structured mode, with the states of kinds by their type."""
    kinds = [kind for kind in kinds if kind.events]
    shapes = {kind.kind: type(kind.state({})) for kind in kinds}
    _, components = msgspec.json.schema_components(
        (CloudEvent, *dict.fromkeys(shapes.values())), ref_template="#/$defs/{name}"
    )
    states = [
        {
            "if": {"properties": {"type": {"pattern": f"^{TYPE_PREFIX}\\.{name.lower()}\\."}}},
            "then": {"properties": {"data": {"properties": {each: {"$ref": f"#/$defs/{shape.__name__}"} for each in ("from", "to")}}}},
        }
        for name, shape in shapes.items()
    ]  # fmt: skip
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "An event of Skerry",
        "$ref": "#/$defs/CloudEvent",
        "allOf": states,
        "$defs": components,
    }


if __name__ == "__main__":
    if sys.argv[1:] == ["schema"]:
        sys.stdout.write(json.dumps(schema(KINDS), indent=2, sort_keys=True) + "\n")
    else:
        sys.stdout.write(markdown(KINDS))
