"""Messages between the processes of Skerry, as JSON on the bus. Unknown fields are ignored (rolling upgrades).

Every message that travels `up.*` is idempotent: remote calls carry a request id, frames a sequence number.
Times are seconds since the epoch in host time unless a name says otherwise.
"""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from msgspec import Meta

from skerry.api.streaming import UploadReference
from skerry.api.v1alpha1 import APIVersions, Ceiling, Platform

FORMAT = 1
"""Version of tokens, credentials and messages. Older code refuses newer ones, naming both."""
WITH_APPROVAL = 2
"""Format of the answer to a join that waits for approval: an agent that knows none would take it for a membership."""
TwoNames = Annotated[tuple[Annotated[str, Meta(max_length=64)], ...], Meta(max_length=2)]


class Message(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """Base of all messages."""


class Token(Message, frozen=True, kw_only=True, omit_defaults=False):
    """The content of a join token. On paper: `skerry-join-` + base64url of this as JSON."""

    format: int = FORMAT
    host: str
    """Name of the host, for people."""
    name: str
    """The cluster's name; `--name` must be the same. Empty where there is a pattern."""
    jti: str
    jwt: str
    """Bearer user JWT in the token's own account: may publish `join.<jti>` only."""
    servers: list[str]
    """Bus addresses, `tls://host:port`, the preferred first."""
    ca: str
    """PEM of the authority that signed the bus's certificate; nothing else is trusted."""
    expires: int
    host_uid: str = ""
    """UID of the host: a cluster that is marked as another host's member is refused before it joins."""
    pattern: str = ""
    """The names of which `--name` must be one."""

    @property
    def purpose(self) -> str:
        """As `skerry token create` takes it."""
        return self.name or f"--pattern '{self.pattern}'"


class JoinRequest(Message, frozen=True, kw_only=True, omit_defaults=False):
    """An agent asks to join, with the public half of a key that it has stored first."""

    format: int = FORMAT
    nkey: str
    """Empty on a dry run: nothing is joined and the token is not used; a host that knows no dry runs refuses it."""
    dry_run_nkey: str = ""
    """On a dry run: the key that would join, if there is one already."""
    name: str
    cluster_uid: str
    """UID of the member's kube-system namespace; on a dry run empty if it is not known."""
    kubernetes_version: str
    agent_version: str
    ceiling: Ceiling = Ceiling()


class JoinAnswer(Message, frozen=True, kw_only=True, omit_defaults=False):
    """The answer to a join, which the agent keeps."""

    format: int = FORMAT
    member: str
    host: str
    """Name of the host."""
    host_uid: str
    user_jwt: str
    """User in the member's own account, for the nkey of the request."""
    renewal_jwt: str
    """User in the member's own account, for the same nkey: may ask for a new user JWT only; it does not end by itself."""
    assertion_root: str
    """Public nkey that signs the proxies' keys: the agent pins it."""
    host_time: float
    host_version: str = ""
    """Of Skerry on the host; empty of an older one."""
    pending: bool = False
    """The member waits for approval, or would on a dry run: `user_jwt`, `renewal_jwt` may ask for it (ApprovalRequest) only."""
    refusals: dict[str, str] = {}
    """On a dry run: why it would be refused, by the name of the check (token, host.name, duplicate)."""


class ApprovalRequest(Message, frozen=True, kw_only=True, omit_defaults=False):
    """An agent asks whether its member was approved. The answer is a JoinAnswer, which ends the waiting or says that it goes on."""

    nkey: str
    """Public; one that joined the member."""


class RenewRequest(Message, frozen=True, kw_only=True):
    """A new user JWT for a key that is known, also after the old one ran out. `signature` covers `challenge`."""

    nkey: str
    challenge: str
    """`<member> <nkey> <unix seconds in host time, as far as known> <random>`"""
    signature: str
    """base64url, Ed25519 by the nkey."""


class RenewAnswer(Message, frozen=True, kw_only=True):
    """The new user JWT."""

    user_jwt: str
    host_time: float
    renewal_jwt: str = ""
    """As in JoinAnswer: an agent that asked with one of the account JOIN moves with it. Empty: keep what there is."""


class RekeyRequest(Message, frozen=True, kw_only=True):
    """Another key in the place of one: skerry/identity/rekeying.py says what the text holds. The answer is a RenewAnswer."""

    text: str
    by_old: str
    """Base64, Ed25519 over the text by the key that is replaced."""
    by_new: str
    """The same by the one that takes its place."""


class RetireRequest(Message, frozen=True, kw_only=True):
    """Of the keys that this one replaced only those in the text are still used: the others may be revoked."""

    text: str
    signature: str
    """Base64, Ed25519 over the text."""


class Retired(Message, frozen=True, kw_only=True, omit_defaults=False):
    """They are revoked, on every server that was reached."""

    revoked: tuple[str, ...]
    """Public nkeys."""


class RekeyOrder(Message, frozen=True, kw_only=True):
    """What agents should do about their keys: in a heartbeat's answer, and `down.<m>.rekey`. A false one costs a key that is known."""

    keys: tuple[str, ...] = ()
    """To be replaced: public nkeys."""
    at_once: bool = False
    """Connections of a key that was replaced are cut, not left until their streams end."""
    replaced: dict[str, str] = {}
    """Keys that are still good though they were replaced, and by which."""


class Farewell(Message, frozen=True, kw_only=True, omit_defaults=False):
    """The host's proof that a member was removed, signed by its trust root (skerry/identity/farewell.py)."""

    member: str
    account: str
    """Public key of the account that ends, which no later membership of that name has; or of the one agent's key that does."""
    message: str
    """For people."""


class Progress(Message, frozen=True, kw_only=True):
    """Part of a heartbeat: how far the agent is."""

    epoch: str
    applied: int


class Direction(Message, frozen=True, kw_only=True):
    """Part of a heartbeat's answer: the member's last revision, and whether this agent is the one that applies."""

    epoch: str
    last: int
    lead: bool


class Inventory(Message, frozen=True, kw_only=True):
    """What a cluster has and how much of it is taken. Amounts are texts by resource; None: it could not be asked."""

    platform: Platform = Platform()
    nodes: int | None = None
    nodes_ready: int | None = None
    capacity: dict[str, str] | None = None
    allocatable: dict[str, str] | None = None
    requested: dict[str, str] | None = None
    used: dict[str, str] | None = None
    api_versions: APIVersions | None = None


class Heartbeat(Message, frozen=True, kw_only=True):
    """Sent every 10 s by each agent as a request on `up.<m>.hb`."""

    agent: str
    """The agent's public nkey: replicas of one member differ."""
    epoch: str
    """Made at each start of the agent process."""
    version: str
    kubernetes_version: str = ""
    cluster_uid: str = ""
    nodes: int | None = None
    healthy: bool = True
    """Whether the member's API server answers the agent."""
    message: str = ""
    """Why not, for people."""
    missing: str | None = None
    """What the agent's account may not do or make though serving needs it, for people; None: an agent that does not look."""
    repaired: str = ""
    """What was taken away on the member and is there again, for people."""
    taken_over: bool = False
    """The cluster is marked as another host's; `message` names it."""
    app_store: str = ""
    """The member's own setting of the App Store: Enabled, Disabled or Unset; empty of an agent that does not look."""
    inventory: Inventory | None = None
    """What the cluster has: said once to each connection, each 5 min, and when it changes; None: as before."""
    ceiling: Ceiling = Ceiling()
    clock_s: float | None = None
    """How far the agent's clock is ahead of the host's, in seconds; None: not known yet."""
    rtt_ms: float | None = None
    """Round trip of the previous heartbeat, as the agent measured it."""
    expires: int = 0
    """When the agent's user JWT ends."""
    server_certificate: float | None = None
    """When what the member's API server shows in TLS ends, its authority included; Unix seconds. None: not seen yet."""
    client_certificate: float | None = None
    """The same of the agent's own client certificate; None: it has none, or one that a plugin renews."""
    leaving: bool = False
    """The last heartbeat before a clean stop."""
    replaces: str = ""
    """The key that this process had before it got this one."""
    roots: TwoNames = ()
    """The trust roots that the agent believes; none of one that knows nothing of their replacement."""
    desired: Progress | None = None
    """How far the agent is with what the member should have, of no epoch until it was told; None of one without the channel."""
    connections: TwoNames = ()
    """Ids of the pair that takes new streams: where it is asked when another agent of the member is silent."""


class HeartbeatAnswer(Message, frozen=True, kw_only=True):
    """Lets the agent know the host's clock, and whether it should ask what the member should have."""

    host_time: float
    desired: Direction | None = None
    rekey: RekeyOrder | None = None
    roots: str = ""
    """Where the agent believes other trust roots than it should: which, signed (skerry/identity/trust.py)."""


class Caller(Message, frozen=True, kw_only=True):
    """An authenticated identity of the host: `user` without the prefix that members see."""

    user: str
    groups: tuple[str, ...] = ()


class WriteOptions(Message, frozen=True, kw_only=True):
    """Options of a write, as in meta/v1 CreateOptions, UpdateOptions, PatchOptions and DeleteOptions."""

    dry_run: bool = False
    field_manager: str = ""
    """Who owns the fields that are written: the option of that name, else the client's name."""
    field_validation: str = "Warn"
    force: bool = False
    """Apply: take over what others own."""
    propagation_policy: str = ""
    grace_period_seconds: int | None = None
    uid: str | None = None
    """Precondition: an empty one is one that no object fulfils."""
    resource_version: str | None = None
    """Precondition."""


class Write(Message, frozen=True, kw_only=True):
    """A write of the host API on its way to the owning service. The reply is a WriteAnswer, or a Status.

    `content_type` tells patches apart; apply arrives as JSON too. A patch's body is the patch. Whose write it is stands in the
    signature beside it, in the header SIGNATURE: see RequestClaims.
    """

    request_id: str
    namespace: str = ""
    name: str = ""
    subresource: str = ""
    content_type: str = "application/json"
    body: msgspec.Raw = msgspec.Raw(b"null")
    options: WriteOptions = WriteOptions()
    upload: UploadReference | None = None
    """In the place of the body of an action that takes bytes."""
    cursor: str = ""
    """Of an action that answers bytes: which part is asked for."""


class WriteRequest(Write, frozen=True, kw_only=True):
    """A write and whose it is. It never travels: who has one verified the signature, or is a service that writes itself."""

    caller: Caller
    audit_id: str = ""  # of the client's request


class WriteAnswer(Message, frozen=True, kw_only=True):
    """The answer to a write."""

    object: msgspec.Raw
    warnings: tuple[str, ...] = ()
    """For the caller, as Warning headers."""
    created: bool = False
    gone: bool = False
    """A delete: nothing holds the object any more."""


class CertifyRequest(Message, frozen=True, kw_only=True):
    """A proxy process asks for a record that lets agents trust its assertion key."""

    proxy: str
    key: str
    """Public nkey."""


class CertifyAnswer(Message, frozen=True, kw_only=True):
    """`record` is signed by the assertion root: see skerry/identity/assertion.py."""

    record: str
    expires: int
    root: str = ""
    """By which root: another one than before, and the record before is soon worth nothing. Empty of older registries."""


class TokenReview(Message, frozen=True, kw_only=True):
    """A proxy asks whom a bearer token names: `tenancy.tokens.review`."""

    token: str


class TokenReviewAnswer(Message, frozen=True, kw_only=True):
    """Whom a token names, or why nobody."""

    refused: str = ""
    """Why it does not hold, for the log alone; empty if it does."""
    user: str = ""
    groups: tuple[str, ...] = ()
    issued: float = 0.0
    expires: float = 0.0
    fresh_until: float = 0.0
    """When it is to be asked for again; until then, and while that cannot be, it holds."""
    provider: str = ""
    """Name of the IdentityProvider; empty: the host's own cluster said it."""
    provider_uid: str = ""
    provider_generation: int = 0
    """What was believed of it: of another spec the answer may be another."""


class ConnectRequest(Message, frozen=True, kw_only=True):
    """A proxy asks how to reach a direct member: `direct.<m>.connect`."""

    record: str
    """What certifies the proxy's key (CertifyAnswer): the answer is sealed to that key."""


class ConnectAnswer(Message, frozen=True, kw_only=True, omit_defaults=False):
    """The connection, sealed: only the process that holds the certified key can open it."""

    sealed: bytes
    """A NaCl sealed box around msgspec's JSON of `skerry.member.kubeconfig.Connection`."""


class Claims(Message, frozen=True, kw_only=True, array_like=True):
    """The claims of an assertion: what a proxy vouches for towards one member."""

    member: str
    user: str
    """As the member sees it: `skerry:<user>`."""
    groups: tuple[str, ...]
    extra: dict[str, tuple[str, ...]]
    proxy: str
    iat: int
    exp: int


HOST = "host"
"""The audience of what proxies sign for services of the host; no member can have this name."""
SIGNATURE = "Skerry-Signature"
"""Header of a Write: an assertion of RequestClaims, base64."""
AUDIT_ID = "Skerry-Audit-Id"
"""Header of a Write: the Audit-ID of the client's request. It proves nothing."""


class RequestClaims(Claims, frozen=True, kw_only=True, array_like=True):
    """Claims of a proxy towards the service that owns a kind: `member` is HOST, `user` has no prefix."""

    nonce: bytes
    """Random: an assertion is good for one request."""
    digest: bytes
    """Of the request that it is good for: `skerry.identity.requests.digest`."""


JSON = dict[str, Any]
"""A raw Kubernetes document."""
