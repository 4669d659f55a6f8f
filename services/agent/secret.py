"""The agent's state in a Secret of the cluster that it serves: pods come and go, and every one of them is the same agent (ADR 34).

The chart makes the Secret, empty; the agent may get and update that one. A change is one update at the resourceVersion that
was read. A 409 after which the data is what it was came from a change of labels, and the update is made again; another pod's data
is read and told as `Outrun`. An update whose answer was lost, and which happened, is known by its data.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Mapping

import msgspec

from services.agent.storage import Outrun, StateError
from skerry.api.meta import Document
from skerry.errors import BadGateway
from skerry.member.objects import files_of
from skerry.member.upstream import Upstream, WholeAnswer

ATTEMPTS = 5
"""Of one change, while only what is not ours changes."""
_encode = msgspec.json.Encoder().encode


class SecretStorage:
    """Secret `name` of `namespace`, as it was last seen."""

    def __init__(self, upstream: Upstream, namespace: str, name: str) -> None:
        self._upstream, self._namespace, self._name = upstream, namespace, name
        self._path = f"/api/v1/namespaces/{namespace}/secrets/{name}"
        self._document: Document = {}
        self._files: dict[str, bytes] = {}

    @property
    def place(self) -> str:
        """The Secret."""
        return f"Secret {self._namespace}/{self._name}"

    @property
    def remedy(self) -> str:
        """How people empty it."""
        patch = '[{"op":"remove","path":"/data"}]'
        return f"empty it (kubectl patch secret -n {self._namespace} {self._name} --type=json -p '{patch}')"

    @contextlib.asynccontextmanager
    async def locked(self) -> AsyncIterator[None]:
        """Nothing: other pods have it too."""
        yield

    def read(self, name: str) -> bytes | None:
        """A file as it was last seen."""
        return self._files.get(name)

    def path(self, name: str) -> str:
        """A file's name."""
        return f"{name} of {self.place}"

    is_shared = True

    def files(self) -> dict[str, bytes]:
        """All of them, also what is not ours."""
        return dict(self._files)

    async def reload(self) -> bool:
        """Read it again. Whether the data is another."""
        answer = await self._upstream.call("GET", self._path)
        if answer.status != 200:
            raise self._refused("read", answer)
        before = self._files
        self._take(answer)
        return self._files != before

    async def write(self, changes: Mapping[str, bytes | None]) -> None:
        """One update of all."""
        before = self._files
        after = {name: data for name, data in {**before, **changes}.items() if data is not None}
        for _ in range(ATTEMPTS):
            answer = await self._upstream.call("PUT", self._path, body=_encode({**self._document, "data": after}))
            if answer.status == 200:
                self._take(answer)
                return
            if answer.status != 409:
                raise self._refused("updated", answer)
            await self.reload()
            if self._files == after:
                return
            if self._files != before:
                raise Outrun(f"{self.place} was changed by another pod")
        raise BadGateway(f"{self.place} cannot be updated: it is changed all the time: look who does")

    def _take(self, answer: WholeAnswer) -> None:
        document = answer.document()
        self._files = files_of(document)
        self._document = {name: value for name, value in document.items() if name != "data"}

    def _refused(self, done: str, answer: WholeAnswer) -> Exception:
        if answer.status == 404:
            return StateError(f"{self.place} is not there: install the agent's chart again, which makes it")
        if answer.status in {401, 403, 422}:
            return StateError(
                f"{self.place} cannot be {done} ({answer.message()}): the agent's account needs `get` and `update` on it, which "
                "its chart gives"
            )
        return BadGateway(f"{self.place} cannot be {done} now: {answer.message()}")
