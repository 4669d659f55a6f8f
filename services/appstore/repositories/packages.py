"""Where the packages of listed versions come from: their repository, or wherever that says, which is then shown no credential."""

from __future__ import annotations

from services.appstore.credentials import Credentials
from services.appstore.metadata import ChartError
from services.appstore.network import failure
from services.appstore.oci import Fetch, NotAChart, Registry
from services.appstore.repositories.access import RepositoryAccess, access_to
from services.appstore.repositories.spec import RepositorySpec, origin_of_address, spec_of
from services.appstore.switching import Switch
from skerry.api.kinds import APP_REPOSITORY
from skerry.api.meta import Document
from skerry.errors import Conflict, ServiceUnavailable
from skerry.http.outbound import OutboundError
from skerry.informer import View


class RepositoryPackages:
    """Fetches packages. `fetch_s` is how many seconds one may take."""

    def __init__(self, informer: View, switch: Switch, credentials: Credentials, fetch: Fetch, fetch_s: float) -> None:
        self._informer, self._switch, self._credentials = informer, switch, credentials
        self._fetch, self._fetch_s = fetch, fetch_s

    async def fetch(self, version: Document) -> bytes:
        """The package of an AppVersion. Conflict if it is nowhere, ServiceUnavailable if it cannot be fetched now, ChartError for one
        that is too large.
        """
        name, spec = version["metadata"]["name"], version["spec"]
        repository = self._informer.get(
            APP_REPOSITORY, str(spec.get("repository", "")), version["metadata"].get("namespace", "")
        )
        if repository is None:
            raise Conflict(f"the repository that {name} is from is gone, and its package was not kept")
        wanted = spec_of(repository.document())
        kept = await self._credentials.find(repository.uid)
        access = access_to(wanted, self._switch.store, kept, self._fetch_s)
        access = access._replace(policy=access.policy._replace(max_bytes=self._switch.limit_bytes("packageMiB")))
        error: OutboundError | None = None
        for url in (version.get("status") or {}).get("urls") or ():
            try:
                return await self._fetched(url, version, wanted, access)
            except OutboundError as problem:
                error = problem
        raise _unavailable(name, error)

    async def _fetched(self, url: str, version: Document, wanted: RepositorySpec, access: RepositoryAccess) -> bytes:
        if origin_of_address(url).place != wanted.origin.place:
            access = access._replace(credential=None, server=access.server.stranger())
        if not url.startswith("oci"):
            answer = await self._fetch(
                url, access.policy, server=access.server, accept=b"*/*", credentials=access.headers
            )
            return answer.body
        base, _, rest = url.rpartition("/")
        if wanted.is_registry and url.startswith(f"{wanted.url.rstrip('/')}/"):
            base, rest = wanted.url, url.removeprefix(f"{wanted.url.rstrip('/')}/")
        chart, text = rest.rpartition(":")[0], version["spec"]["version"]
        registry = Registry(base, access.registry, self._fetch)
        try:
            digest = (version.get("status") or {}).get("digest") or (await registry.manifest(chart, text)).digest
        except NotAChart as error:
            raise ChartError("NotAChart", str(error)) from error
        return await registry.blob(chart, digest, access.policy.max_bytes)


def _unavailable(name: str, error: OutboundError | None) -> Exception:
    if error is None:
        return Conflict(f"the repository of {name} does not say where its package is")
    reason, message = failure(error)
    if reason == "TooLarge":
        return ChartError("TooLarge", f"{message} (spec.limits.packageMiB of AppStore host)")
    if error.status in (404, 410):
        return Conflict(f"the package of {name} is not there any more: {error}")
    return ServiceUnavailable(f"the package of {name} cannot be fetched: {reason}: {message}")
