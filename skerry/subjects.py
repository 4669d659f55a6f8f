"""Every NATS subject, queue group and bucket name is built and parsed here, nowhere else.

A member name is one subject token and a DNS label: `*`, `>` or `.` in a name would turn a template into a wildcard,
so builders refuse what is not a label. Subjects are seen from the account HOST; a member sees its own slice only.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

from skerry.api.validation import is_label
from skerry.errors import BadRequest
from skerry.objectkeys import in_namespace as in_namespace
from skerry.objectkeys import key as key
from skerry.objectkeys import parse_key as parse_key
from skerry.streamsubjects import ALL_EVENTS as ALL_EVENTS
from skerry.streamsubjects import ALL_RECORDINGS as ALL_RECORDINGS
from skerry.streamsubjects import AUDIT as AUDIT
from skerry.streamsubjects import AUDIT_LOGS as AUDIT_LOGS
from skerry.streamsubjects import EVENT_STREAM as EVENT_STREAM
from skerry.streamsubjects import MEMBER_EVENTS as MEMBER_EVENTS
from skerry.streamsubjects import RECORDING_STREAM as RECORDING_STREAM
from skerry.streamsubjects import SYSTEM_EVENTS as SYSTEM_EVENTS
from skerry.streamsubjects import TOKEN
from skerry.streamsubjects import audit_log as audit_log
from skerry.streamsubjects import audit_logs_of as audit_logs_of
from skerry.streamsubjects import derivation as derivation
from skerry.streamsubjects import event as event
from skerry.streamsubjects import events_of as events_of
from skerry.streamsubjects import recording_about as recording_about
from skerry.streamsubjects import recording_data as recording_data
from skerry.streamsubjects import recording_of as recording_of
from skerry.streamsubjects import stream_of as stream_of
from skerry.streamsubjects import token as token

RESOURCES = "resources"
"""KV bucket of all kinds."""
EVENTS = "events"
"""KV bucket of Kubernetes Events."""
LEADERS = "leaders"
"""KV bucket of the leases of leaders: a key per service."""
TENANCY = "tenancy"
"""KV bucket of what tenancy keeps for itself: which workspace has a namespace of a member."""
APP_STORE = "appstore"
"""KV bucket of what the App Store keeps for itself, sealed: credentials of repositories, secret values of releases."""
SINKS, DEAD_LETTERS = "sinks", "dead-letters"
"""KV buckets of the service events: secrets of EventSinks, sealed; events that were given up."""
UPLOADS, PACKAGES = "uploads", "packages"
"""Object stores: of bodies that are streamed to actions, on their way from a proxy to who answers; of the App Store's charts."""
AGENTS = "agents"
"""Queue group of the agents of one member."""

HEARTBEATS = "up.*.hb"
JOINS = "join.*"
RENEWALS = "up.*.svc.renew"
APPROVALS = "up.*.svc.join"
"""Of agents whose member waits for approval."""
REKEYS = "up.*.svc.rekey"
RETIREMENTS = "up.*.svc.retire"
MEMBERS_TELL = "up.*.ev.*"
"""What agents tell, by the verb of the event that it becomes."""
OLD_RENEWALS = "renew.*"
"""Of agents that have not renewed since they asked in the account JOIN, or are too old to know the other subject."""
CONNECTS, DISCONNECTS = "$SYS.ACCOUNT.*.CONNECT", "$SYS.ACCOUNT.*.DISCONNECT"

INTERACTIVE = "i"
BULK = "b"
"""Classes of data-plane connections: the last letter of a connection id."""


def member(name: str) -> str:
    """`name` if it may be a member's subject token; BadRequest otherwise."""
    if not is_label(name):
        raise BadRequest(f"cluster name {name!r} is not a DNS label: use a-z, 0-9 and -, at most 63 characters")
    return name


def up(name: str) -> str:
    """Everything that member `name` may publish."""
    return f"up.{member(name)}.>"


def down(name: str) -> str:
    """Everything that member `name` may receive."""
    return f"down.{member(name)}.>"


def heartbeat(name: str) -> str:
    """An agent's heartbeat; the answer carries the host's time."""
    return f"up.{member(name)}.hb"


def member_of(subject: str) -> str:
    """The member named in a subject of which it is the second token: `up.<m>.…`, `renew.<m>`, `probe.<m>` and so on."""
    return subject.split(".", 2)[1]


_OF_MEMBERS = ("up", "join", "renew")
_WITH_NAMES = (*_OF_MEMBERS, "cut", "direct", "down", "probe", "quarantine")


def from_members(subject: str) -> bool:
    """True if members, or who wants to become one, may publish there: what comes with it is theirs to choose."""
    return subject.partition(".")[0] in _OF_MEMBERS


def template(subject: str) -> str:
    """`subject` with `*` in place of a member's name or a token's id: one of few, whatever the number of members."""
    first, *rest = subject.split(".", 2)
    return ".".join((first, "*", *rest[1:])) if first in _WITH_NAMES and rest else subject


def open_any(name: str, kind: str) -> str:
    """OPEN of a stream when no agent is known: queue group AGENTS; `kind` is INTERACTIVE or BULK."""
    return f"down.{member(name)}.open.{kind}"


def to_agent(name: str, agent: str, proxy: str, sid: str) -> str:
    """Frames of stream `sid` (or `-` for the connection itself) to one agent connection."""
    return f"down.{name}.a.{agent}.{proxy}.{sid}"


def to_proxy(name: str, proxy: str, agent: str, sid: str) -> str:
    """Frames of stream `sid` (or `-` for the connection itself) to one proxy connection."""
    return f"up.{name}.s.{proxy}.{agent}.{sid}"


def agent_inbox(name: str, agent: str) -> str:
    """The subject that one agent connection subscribes to."""
    return f"down.{member(name)}.a.{token(agent)}.>"


def proxy_inbox(name: str, proxy: str) -> str:
    """The subject that one proxy connection subscribes to, per member in use: a flooding member is cut off alone."""
    return f"up.{member(name)}.s.{token(proxy)}.>"


class FrameSubject(NamedTuple):
    """The parts of a frame's subject: the member, the receiving and the sending connection, the stream."""

    member: str
    receiver: str
    sender: str
    sid: str


def parse_frame(subject: str) -> FrameSubject | None:
    """The parts of a `down.<m>.a.…` or `up.<m>.s.…` subject; None if it is not one."""
    parts = subject.split(".")
    if len(parts) != 6 or (parts[0], parts[2]) not in {("down", "a"), ("up", "s")}:
        return None
    return FrameSubject(parts[1], parts[3], parts[4], parts[5])


def join(jti: str) -> str:
    """A join (account of the token)."""
    return f"join.{token(jti)}"


def renewal(name: str) -> str:
    """Renewal of an agent's credentials (account of the member)."""
    return f"up.{member(name)}.svc.renew"


def approval(name: str) -> str:
    """An agent asks whether its member was approved (account of the member)."""
    return f"up.{member(name)}.svc.join"


def rekey(name: str) -> str:
    """An agent asks for another key in the place of its own."""
    return f"up.{member(name)}.svc.rekey"


def retire(name: str) -> str:
    """An agent says that it uses a replaced key no longer."""
    return f"up.{member(name)}.svc.retire"


def tells(name: str, verb: str) -> str:
    """An agent tells the host that something happened: see MEMBERS_TELL."""
    return f"up.{member(name)}.ev.{token(verb)}"


def rekey_order(name: str) -> str:
    """Agents are told that their keys are to be replaced."""
    return f"down.{member(name)}.rekey"


def renew(name: str) -> str:
    """A renewal as older agents ask it: see OLD_RENEWALS."""
    return f"renew.{member(name)}"


def endpoint(service: str, name: str) -> str:
    """A NATS micro endpoint of a service; its queue group is the service's name."""
    return f"{token(service)}.{name}"


def write(service: str, plural: str, verb: str) -> str:
    """Writes of the kind `plural` to the service that owns it: create, update, patch, delete."""
    return endpoint(service, f"{token(plural)}.{token(verb)}")


def action(service: str, plural: str, subresource: str, verb: str) -> str:
    """The subject of a write below an object of the kind `plural` that is no part of it; to the service that owns it."""
    return write(service, plural, f"{token(subresource)}-{token(verb)}")


def search(service: str, plural: str) -> str:
    """Where the owner of the kind `plural` is asked which of its objects match a text."""
    return write(service, plural, "search")


CONNECTIONS = "direct.*.connect"
"""A proxy asks the registry how to reach a direct member; the answer is sealed to the proxy's certified key."""
PROBES = "probe.*"
"""The registry's prober tells proxies that a direct member answered, as a Heartbeat: for the cells of its row."""
QUARANTINES = "quarantine.*"
"""A proxy tells the registries that a member floods the tunnel, so that every proxy leaves it alone for a while."""
CUTS = "cut.*"
"""A proxy tells the registries how many live requests to a member ended with it."""
CERTIFY = "registry.proxies.certify"
"""A proxy asks the registry to sign its assertion key."""
TOKEN_REVIEWS = "tenancy.tokens.review"  # noqa: S105 - a subject
"""A proxy asks tenancy whom a bearer token that is not the host's own names."""
DELEGATIONS = "tenancy.delegate"
"""A service asks for a token of whoever changed one of its objects."""
BINDING_STATES = "tenancy.bindings.states"
"""A proxy asks tenancy whether bindings are in place on a member."""
FLEET = "registry.fleet"
"""Somebody who looks inside asks the registry how the members are."""


def connection(name: str) -> str:
    """How a direct member is reached: see CONNECTIONS."""
    return f"direct.{member(name)}.connect"


def probe(name: str) -> str:
    """That a direct member answered: see PROBES."""
    return f"probe.{member(name)}"


def quarantine(name: str) -> str:
    """That a member floods: see QUARANTINES."""
    return f"quarantine.{member(name)}"


def cut(name: str) -> str:
    """That live requests to a member were cut: see CUTS."""
    return f"cut.{member(name)}"


DESIRED = "desired"
"""KV bucket of desired state: what Skerry's services want on members."""
DESIRED_STATUS = "desired-status"
"""KV bucket of what became of it: a key per member."""
COMPLETE = "complete"
"""The kind of an entry that says that all others of its owner are there."""


class DesiredKey(NamedTuple):
    """The parts of a key of the bucket DESIRED, unescaped; empty for the core group, for no namespace."""

    member: str
    owner: str
    group: str
    kind: str
    """Lower case."""
    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{member(self.member)}.{token(self.owner)}.{key(self.group, self.kind, self.namespace, self.name)}"


def desired_key(text: str) -> DesiredKey:
    """The parts of a key of DESIRED. ValueError if it is not one, or not as `str` writes it."""
    return _cached_key(text) if len(text) <= _CACHED else _desired_key(text)


def _desired_key(text: str) -> DesiredKey:
    name, owner, rest = text.split(".", 2)
    key = DesiredKey(name, owner, *parse_key(rest))
    if not is_label(name) or TOKEN.match(owner) is None or str(key) != text:
        raise ValueError(f"{text[:80]!r} is not a key of desired state")
    return key


_cached_key = lru_cache(maxsize=1024)(_desired_key)
"""Each is asked for several times in a row, by who takes an entry, orders it and tells of it."""
_CACHED = 512
"""Characters of the longest that is held: some come from members."""


def complete_key(name: str, owner: str) -> str:
    """The key that says that everything of `owner` for the member is there."""
    return str(DesiredKey(name, owner, "", COMPLETE, "", "_"))


def is_complete(key: str) -> bool:
    """True if a key of DESIRED is one of these."""
    return key.endswith(f"._.{COMPLETE}._._")


def desired_of(name: str) -> str:
    """Everything in DESIRED for one member, as a prefix for watches."""
    return f"{member(name)}.>"


def desired_down(name: str) -> str:
    """The subject that an applier on a member hears: each stored change, republished by the server."""
    return f"down.{member(name)}.desired.>"


def desired_sync(name: str) -> str:
    """An agent asks what it should have."""
    return f"up.{member(name)}.svc.desired"


def desired_report(name: str) -> str:
    """An agent says what became of it."""
    return f"up.{member(name)}.svc.desired-status"


def desired_order(name: str) -> str:
    """A leaving member is told to withdraw everything; a report says when that is done."""
    return f"down.{member(name)}.ask"


def farewell(name: str) -> str:
    """A member is told that it was removed, before its account ends."""
    return f"down.{member(name)}.farewell"


def approved(name: str) -> str:
    """The agents of a member are told that it was approved: they ask at once."""
    return f"down.{member(name)}.approved"


APPROVED = "down.*.approved"


def agent_farewell(name: str, nkey: str) -> str:
    """One agent of a member is told that it was revoked, before its key is. Others of it do not hear this."""
    return f"down.{member(name)}.farewell.{token(nkey)}"


FAREWELLS = "down.*.farewell"
AGENT_FAREWELLS = "down.*.farewell.*"
REKEY_ORDERS = "down.*.rekey"
DESIRED_ORDERS = "down.*.ask"
DESIRED_SYNCS = "up.*.svc.desired"
DESIRED_REPORTS = "up.*.svc.desired-status"
DESIRED_CHANGES = "down.*.desired.>"
"""Each stored change of DESIRED, published again by the server."""


def desired_owner(owner: str) -> str:
    """An owner's batches to the registry."""
    return endpoint("registry", f"desired.{token(owner)}")


def desired_complete(owner: str) -> str:
    """An owner says that everything it wants on a member is there."""
    return endpoint("registry", f"desired.{token(owner)}.complete")


def desired_keys(owner: str) -> str:
    """Which entries an owner has on a member."""
    return endpoint("registry", f"desired.{token(owner)}.keys")


ALL_CLAIMS = "ns.>"
"""Every claim in TENANCY, as a prefix."""


def claim(cluster: str, namespace: str) -> str:
    """The key in TENANCY of a namespace on the Cluster with this UID."""
    return f"ns.{token(cluster)}.{token(namespace)}"


def claims_on(cluster: str) -> str:
    """All of them on the Cluster with this UID, as a prefix."""
    return f"ns.{token(cluster)}.>"
