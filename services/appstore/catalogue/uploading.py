"""Uploads: a package that somebody pushes becomes a version of an app of their workspace, or takes the place of a draft."""

from __future__ import annotations

from typing import Any

from services.appstore import reviewing
from services.appstore.catalogue.names import app_name, version_name
from services.appstore.checking import described
from services.appstore.inspect.client import read_package
from services.appstore.metadata import ChartError
from services.appstore.package import Package
from services.appstore.parts import AppStoreContext
from skerry.admission import Upload
from skerry.api.kinds import APP_VERSION
from skerry.api.messages import WriteRequest
from skerry.api.meta import Document, StatusCause
from skerry.errors import AlreadyExists, BadRequest, Conflict, Invalid, RequestEntityTooLarge


async def push(context: AppStoreContext, request: WriteRequest, upload: Upload) -> Document:
    """Keep a package and its version; the AppVersion. Invalid with the rule, file and limit for one that is refused; BadRequest for
    one of another chart; Conflict where the version is beyond a draft; RequestEntityTooLarge.
    """
    await context.state.switch.check()
    most = context.state.switch.limit_bytes("packageMiB")
    if upload.size > most:
        raise RequestEntityTooLarge(
            f"the package has {upload.size} bytes, the limit is {most} (spec.limits.packageMiB of AppStore host)"
        )
    content = b"".join([part async for part in upload.read()])
    package = await _read(content, request.name)
    if not request.options.dry_run:
        await context.state.packages.put(content, uploaded=True)
    return await _kept(context, request, wanted(package, len(content), request.namespace))


async def _read(content: bytes, name: str) -> Package:
    try:
        package = await read_package(content)
    except ChartError as error:
        raise Invalid(
            f"the package is refused: {error.reason}: {error}",
            causes=(StatusCause(reason=error.reason, message=str(error), field="package"),),
        ) from error
    if app_name("", package.chart.name) != name:
        raise BadRequest(f"the package is of chart {package.chart.name}, and was pushed as {name}: push it to that app")
    return package


def wanted(package: Package, size: int, namespace: str) -> Document:
    """The AppVersion of a package that was uploaded. Pure."""
    chart = package.chart
    app = app_name("", chart.name)
    return {
        "metadata": {"name": version_name(app, chart.version), "namespace": namespace},
        "spec": {"app": app, "version": chart.version, "chart": chart.name},
        "status": {"phase": "Draft", "uploaded": True, "pinned": True, **described(package, size)},
    }


async def _kept(context: AppStoreContext, request: WriteRequest, document: Document) -> Document:
    store, name = context.store(APP_VERSION), document["metadata"]["name"]
    while True:
        before = await store.find(name, request.namespace)
        if before is None:
            if request.options.dry_run:
                return store.stamped(document)
            try:
                return (await store.create(document, write_id=request.request_id)).document()
            except AlreadyExists:
                continue
        after = replaced(before.document(), document)
        if request.options.dry_run:
            return after
        try:
            return (await store.update(before, after, write_id=request.request_id)).document()
        except Conflict:
            if (await store.find(name, request.namespace)) == before:
                raise


def replaced(current: Document, document: Document) -> Document:
    """A version with another package in its place; itself where it is the same one, unless that had a problem: then it is looked
    into again. Conflict beyond a draft. Pure.
    """
    status: dict[str, Any] = current.get("status") or {}
    name, phase = current["metadata"]["name"], status.get("phase", "Draft")
    if not status.get("uploaded"):
        raise Conflict(f"version {name} is there already, and comes from {_source(current)}: push another version")
    if status.get("digest") == document["status"]["digest"] and not (
        status.get("problem") and phase in reviewing.REPLACEABLE
    ):
        return current
    if phase not in reviewing.REPLACEABLE:
        raise Conflict(
            f"version {name} is {phase}: a package is replaced in {' and '.join(reviewing.REPLACEABLE)} alone; push another version"
        )
    reviewed = {field: status[field] for field in ("reviews", "submittedBy") if field in status}
    return {**current, "status": {**document["status"], **reviewed, "phase": phase}}


def _source(version: Document) -> str:
    spec = version["spec"]
    return f"repository {spec['repository']}" if spec.get("repository") else str(spec.get("origin") or "elsewhere")
