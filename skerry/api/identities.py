"""skerry.dev/v1alpha1, the kinds that say who people are. Pure.

Beside `v1alpha1`, which has the others: views of stored documents, as there.
"""

from __future__ import annotations

import hashlib
import math
from typing import Annotated

import msgspec
from msgspec import UNSET, UnsetType

from skerry.api.meta import Condition, Document, ObjectMeta, Struct
from skerry.api.structural import list_map, list_set, one_of
from skerry.api.times import seconds
from skerry.api.v1alpha1 import API_VERSION, described

ALGORITHMS = (
    "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA",
)  # fmt: skip
"""With a public key, all of them: what is signed with a shared secret, or not at all, proves nothing here."""
USUAL_ALGORITHMS = ("RS256", "ES256", "EdDSA")
"""Where a provider names none."""
OLDEST_S = 5 * 366 * 86400.0
"""No credential that was issued longer ago is taken, whatever it says of its end: so a Revocation need not be kept for ever."""
LEEWAY_S = 60.0
"""How far the clock of whoever issues credentials and ours may be apart."""


class NameClaim(Struct, frozen=True, kw_only=True):
    """The claim in which a provider says a name."""

    claim: Annotated[
        str, described("The claim's name; of users by default sub. With email, email_verified must be true.")
    ]
    prefix: Annotated[str, described("Put in front of each name. No two providers have the same.")] = ""


class UserClaim(Struct, frozen=True, kw_only=True):
    """The claim in which a provider says who somebody is."""

    claim: Annotated[str, described("The claim's name. With email, email_verified must be true.")] = "sub"
    prefix: Annotated[str, described("Put in front of each user. No two providers have the same.")] = ""


class ProviderLogin(Struct, frozen=True, kw_only=True):
    """How skerry login asks the provider."""

    client_id: Annotated[str, described("The public client that is registered there.")] = msgspec.field(name="clientID")
    scopes: Annotated[list[str], list_set("What is asked for; by default openid.")] = []
    flow: Annotated[
        str, one_of("By a browser, by a code on another device, or what is there.", "Auto", "Browser", "Device")
    ] = "Auto"


class ProviderConsole(Struct, frozen=True, kw_only=True):
    """How the console asks the provider."""

    client_id: Annotated[str, described("The confidential client that is registered there.")] = msgspec.field(
        name="clientID"
    )


class IdentityProviderSpec(Struct, frozen=True, kw_only=True):
    """An OpenID provider, and what of its tokens counts."""

    issuer: Annotated[str, described("As its tokens say it, exactly. https; http on this machine alone.")]
    audiences: Annotated[list[str], list_set("Tokens must be for one of these.")]
    certificate_authority: Annotated[
        str, described("Authorities of its servers in PEM, which alone count. Default: those of the system.")
    ] = ""
    username: Annotated[UserClaim | UnsetType, described("Who somebody is. Default: the claim sub, as it is.")] = UNSET
    groups: Annotated[NameClaim | UnsetType, described("Their groups. Default: none.")] = UNSET
    required_claims: Annotated[dict[str, str], described("Claims that a token must have, with these very values.")] = {}
    algorithms: Annotated[
        list[str],
        list_set(f"How tokens may be signed: of {', '.join(ALGORITHMS)}. Default: {', '.join(USUAL_ALGORITHMS)}."),
    ] = []
    login: Annotated[ProviderLogin | UnsetType, described("For skerry login. Default: nobody signs in with it.")] = (
        UNSET
    )
    console: Annotated[ProviderConsole | UnsetType, described("For the console.")] = UNSET


class IdentityProviderStatus(Struct, frozen=True, kw_only=True):
    """The provider as it is observed."""

    conditions: Annotated[list[Condition], list_map("Ready, and why not.", "type")] = []
    keys: Annotated[int, described("Keys that it signs with and that can be used.")] = 0
    fetched: Annotated[str, described("When they were fetched, or found unchanged, last.")] = ""


class IdentityProvider(Struct, frozen=True, kw_only=True, omit_defaults=False):
    """An OpenID provider whose tokens name users of the host. It can name anybody."""

    api_version: str = API_VERSION
    kind: str = "IdentityProvider"
    metadata: ObjectMeta
    spec: Annotated[IdentityProviderSpec, described("The provider, and what of its tokens counts.")]
    status: Annotated[IdentityProviderStatus, described("What is observed of it.")] = IdentityProviderStatus()


class RevocationSpec(Struct, frozen=True, kw_only=True):
    """Whose credentials hold no more. One of before and disabled."""

    user: Annotated[str, described("The user, without the prefix skerry: that members see.")]
    before: Annotated[
        str | UnsetType,
        described("All that was issued up to this time (RFC 3339) is refused. Default, unless disabled: now."),
    ] = UNSET
    disabled: Annotated[
        bool, described("All is refused, whenever it was issued, for as long as this object exists.")
    ] = False


class Revocation(Struct, frozen=True, kw_only=True, omit_defaults=False):
    """Credentials of a user that hold no more, of whatever kind. Its name is the digest of the user."""

    api_version: str = API_VERSION
    kind: str = "Revocation"
    metadata: ObjectMeta
    spec: Annotated[RevocationSpec, described("Whose credentials hold no more.")]


def revocation_name(user: str) -> str:
    """The name of the Revocation of a user: the first 32 hexadecimal digits of their SHA-256, since users may be called anything."""
    return hashlib.sha256(user.encode()).hexdigest()[:32]


def taken_back(revocation: Document | None) -> float:
    """Unix seconds: what the user of a stored Revocation got up to then holds no more; -inf without one."""
    if revocation is None:
        return -math.inf
    spec = revocation["spec"]
    return math.inf if spec.get("disabled") or "before" not in spec else seconds(spec["before"])
