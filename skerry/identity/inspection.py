"""What people see of the bus with the `nats` tool: an account for each of their credentials, into which HOST hands what may be read.

A user in HOST itself, whatever it may publish, could have an answer land on any subject of HOST: the reply subject of a publish
is never checked. From an account of its own such an answer comes back into that account, so all that its user can do there is
what is exported here, and nothing of it changes anything (docs/adr/0035). Nothing here makes a consumer: one that pushes delivers
to a literal subject of HOST, and each takes memory of the server. Nor are the server's own events here, who connected and who left:
they carry the users' JWTs, and that of a join token is all that is needed to join.

The account and its keys follow from the credential's id, as those of join tokens do: nothing of them is kept.
"""

from __future__ import annotations

from skerry import inspected
from skerry.identity import nkey, users
from skerry.identity.creds import Credentials, inbox
from skerry.identity.federation import Authority
from skerry.identity.jwt import AccountLimits, Permissions, Subjects
from skerry.identity.nkey import KeyPair, KeyType

CONNECTIONS = 16
"""Of one credential: the tool opens one for each command."""
SUBSCRIPTIONS = 64
"""Per connection."""
PAYLOAD = 64 * 1024
"""Bytes of a request; answers are the services'."""


class InspectionAccounts:
    """The accounts of inspection credentials; `credential` is the id of one, a token of a subject."""

    def __init__(self, authority: Authority) -> None:
        self._authority = authority

    def public(self, credential: str) -> str:
        """The public key of the account."""
        return self._derived("account", credential).public

    def jwt(self, credential: str, expires: int) -> str:
        """The account, which ends by itself at `expires`, Unix seconds."""
        account, host = self.public(credential), self._authority.public.host
        imports = [
            *(self._authority.imported("host", host, account, each, "service") for each in inspected.ASKED),
            *(self._authority.imported("host", host, account, each, "stream") for each in inspected.HEARD),
        ]
        limits = AccountLimits(
            conn=CONNECTIONS, subs=SUBSCRIPTIONS, payload=PAYLOAD, imports=len(imports), exports=0, wildcards=False
        )
        return self._authority.account(
            account,
            _name(credential),
            signing=[self._derived("signing", credential).public],
            imports=imports,
            limits=limits,
            expires=expires,
        )

    def tombstone(self, credential: str) -> str:
        """The JWT that ends the account, and cuts who uses it."""
        return self._authority.tombstone(_name(credential), self.public(credential))

    def user(self, credential: str, ttl_s: int) -> Credentials:
        """A user of the account with a new key: may ask and hear what the account imports, and has an inbox of its own."""
        key = nkey.create(KeyType.USER)
        signing, account = self._derived("signing", credential), self.public(credential)
        return Credentials(
            users.user(signing, account, key.public, _name(credential), permissions(key.public), ttl_s), key.seed
        )

    def _derived(self, purpose: str, credential: str) -> KeyPair:
        return self._authority.derived(f"inspection {purpose}", credential)


def permissions(public: str) -> Permissions:
    """What the user of an inspection credential may publish and hear."""
    heard = (*inspected.HEARD, f"{inbox(public)}.>")
    return Permissions(pub=Subjects(allow=inspected.ASKED), sub=Subjects(allow=heard))


def _name(credential: str) -> str:
    return f"inspection {credential}"
