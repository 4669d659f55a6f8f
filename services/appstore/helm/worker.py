"""The process that has Helm's library in it: one operation, told on standard input, then it ends.

    python -m services.appstore.helm.worker <order.json >answer.json

A chart can make Go's runtime end the whole process, and hooks may never end, so this runs in the jail as the program does. It
alone imports the library (helm-python-sdk), whose calls take no signals: they run in a thread, and SIGTERM cancels them. What
the library or a chart prints goes to standard error, so that the answer stands alone.
"""

from __future__ import annotations

import os
import re
import signal
import sys
import threading
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from services.appstore.helm.manifest import documents
from services.appstore.helm.orders import Operation, Order, OrderAnswer
from skerry.api.decode import decoded

_HOOK = re.compile(r"""helm\.sh/hook["']?\s*:""")
SCHEMA = "values don't meet the specifications of the schema(s) in the following chart(s)"
"""As Helm's own actions say it."""


def main() -> int:
    """0, or 1 with Helm's text on standard error."""
    answer_to = os.dup(1)
    os.dup2(2, 1)
    order = decoded(sys.stdin.buffer.read(), Order)
    outcome: list[OrderAnswer | Exception] = []
    import helm_python as sdk  # a quarter of a second, of which only this process is to know

    context = sdk.HelmContext()
    signal.signal(signal.SIGTERM, lambda *_: context.cancel())

    def work() -> None:
        try:
            outcome.append(OPERATIONS[order.operation](sdk, context, order))
        except Exception as error:  # noqa: BLE001 - whatever it is, it is told
            outcome.append(error)

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    thread.join()
    if isinstance(outcome[0], Exception):
        sys.stderr.write(f"\nError: {outcome[0]}\n")
        return 1
    with os.fdopen(answer_to, "wb") as out:
        out.write(msgspec.json.encode(outcome[0]))
    return 0


def _version(sdk: Any, context: Any, order: Order) -> OrderAnswer:
    return OrderAnswer(version=str(sdk.helm_sdk_version()).removeprefix("v"))


def _template(sdk: Any, context: Any, order: Order) -> OrderAnswer:
    with sdk.Chart.load(order.chart) as chart:
        try:
            chart.validate_schema(order.values)
        except sdk.HelmValuesError as error:
            raise ValueError(f"{SCHEMA}:\n{error}") from error
        files = [(each["filename"], each["data"]) for each in chart.crds] if order.crds else []
        files += _rendered(chart, order)
    return OrderAnswer(manifest="".join(f"---\n# Source: {path}\n{text}\n" for path, text in files))


def _rendered(chart: Any, order: Order) -> list[tuple[str, str]]:
    """Files of templates, and the objects that they make."""
    rendered: dict[str, str] = chart.render(
        order.values,
        name=order.release,
        namespace=order.namespace,
        is_install=not order.is_upgrade,
        is_upgrade=order.is_upgrade,
    )
    return [(path, text) for path, text in sorted(rendered.items()) if is_manifest(path)]


def is_manifest(path: str) -> bool:
    """True for a template's file whose text is objects; others are notes, or are there to be included."""
    name = path.rpartition("/")[2]
    return name.endswith((".yaml", ".yml", ".json")) and not name.startswith("_")


def _upgrade(sdk: Any, context: Any, order: Order) -> OrderAnswer:
    common = {
        "context": context,
        "namespace": order.namespace,
        "timeout": order.timeout_s,
        "wait": "hookOnly",
        "dry_run": "server" if order.dry_run else None,
        "labels": order.labels or None,
    }
    with _config(sdk, order) as config, sdk.Chart.load(order.chart) as chart:
        order = msgspec.structs.replace(order, is_upgrade=_is_there(sdk, config, order.release))
        if order.is_upgrade:
            release = config.upgrade(
                chart, order.release, order.values, max_history=order.history, reset_values=True, **common
            )
        else:
            release = config.install(
                chart, order.release, order.values, create_namespace=order.create_namespace, **common
            )
        manifest = _with_hooks(sdk, str(release["manifest"]), chart, order) if order.dry_run else ""
    return OrderAnswer(revision=int(release["revision"]), manifest=manifest)


def _is_there(sdk: Any, config: Any, release: str) -> bool:
    """True for a release that is upgraded, not installed: the library has no call for either."""
    try:
        history = config.history(release)
    except sdk.HelmNotFoundError:
        return False
    return any(each.get("status") != "uninstalled" for each in history[-1:])


def _with_hooks(sdk: Any, manifest: str, chart: Any, order: Order) -> str:
    """A manifest and the chart's hooks, which the library does not tell of: as they are rendered without the cluster.

    Those of a chart that cannot be rendered so stay unknown.
    """
    try:
        files = _rendered(chart, order)
    except sdk.HelmError:
        return manifest
    hooks = [(path, each) for path, text in files for each in documents(text) if _HOOK.search(each)]
    return "".join((*(f"---\n# Source: {path}\n{hook}\n" for path, hook in hooks), manifest))


def _rollback(sdk: Any, context: Any, order: Order) -> OrderAnswer:
    with _config(sdk, order) as config:
        config.rollback(order.release, version=order.revision, timeout=order.timeout_s, wait="hookOnly")
    return OrderAnswer()


def _uninstall(sdk: Any, context: Any, order: Order) -> OrderAnswer:
    with _config(sdk, order) as config:
        outcome = config.uninstall(order.release, timeout=order.timeout_s, ignore_not_found=True, wait="hookOnly")
    lines = str((outcome or {}).get("info") or "").splitlines()
    return OrderAnswer(kept=[line.strip() for line in lines if line.startswith("[")])


def _config(sdk: Any, order: Order) -> Any:
    return sdk.Config(kubeconfig_path=order.kubeconfig, namespace=order.namespace)


OPERATIONS: Mapping[Operation, Callable[[Any, Any, Order], OrderAnswer]] = {
    "version": _version,
    "template": _template,
    "upgrade": _upgrade,
    "rollback": _rollback,
    "uninstall": _uninstall,
}

if __name__ == "__main__":
    sys.exit(main())
