"""Metrics of the proxy: label values are declared, so no client can make series of its own."""

from __future__ import annotations

from collections.abc import Callable

from skerry.telemetry import Distribution, MetricsRegistry, Value

CODES = tuple(
    str(code) for code in (101, 200, 201, 202, 204, 304, 400, 401, 403, 404, 405, 409, 410, 413, 415, 422, 429)
)
FAILURES = tuple(str(code) for code in (431, 500, 502, 503, 504))
GONE = "gone"
"""Code of a request whose client left."""
CUT = "cut"
"""Code of a request whose answer was begun and could not be finished."""
MAX_CACHED = 256
"""Codes come from members: what is beyond is looked up each time."""
CLASSES = ("interactive", "bulk", "host")
RESETS = ("CANCEL", "PEER_LOST", "GAP", "LIMIT", "UPSTREAM", "GOAWAY", "REVOKED", "STALLED")


class Metrics:
    """All series that the proxy moves."""

    def __init__(self, registry: MetricsRegistry, live: Callable[[], float], granted: Callable[[], float]) -> None:
        self.registry = registry
        self._requests = registry.counter(
            "skerry_proxy_requests_total",
            "Requests by answer and class.",
            {"code": (*CODES, *FAILURES, CUT, GONE), "class": CLASSES},
        )
        self._series: dict[tuple[str, str], tuple[Value, Distribution]] = {}
        self._seconds = registry.histogram(
            "skerry_proxy_request_seconds", "Time from a request's head to the end of its answer.", {"class": CLASSES}
        )
        registry.gauge("skerry_proxy_streams_live", "Requests under way.", read=live)
        registry.gauge(
            "skerry_proxy_granted_bytes",
            "Bytes that agents may send or clients have not taken yet; its limit is SKERRY_BUDGET_BYTES.",
            read=granted,
        )
        self.received: Value = registry.counter(
            "skerry_proxy_received_bytes_total", "Body bytes from members."
        ).labels()
        self.sent: Value = registry.counter("skerry_proxy_sent_bytes_total", "Body bytes to members.").labels()
        self.resets = registry.counter("skerry_proxy_resets_total", "Streams reset, by code.", {"code": RESETS})
        self.spdy = registry.counter(
            "skerry_proxy_spdy_upgrades_total", "SPDY sessions: a lost one looks like a clean exit to kubectl exec."
        ).labels()

        self.audit_records: Value = registry.counter(
            "skerry_proxy_audit_records_total", "Records of the audit log that are stored."
        ).labels()
        self.audit_lost: Value = registry.counter(
            "skerry_proxy_audit_lost_total", "Records of the audit log that were given up: it could not be written."
        ).labels()

    def watch_audit(self, waiting: Callable[[], float]) -> None:
        """Show the bytes of records that wait."""
        self.registry.gauge(
            "skerry_proxy_audit_waiting_bytes", "Bytes of records that are not stored yet.", read=waiting
        )

    def request(self, code: str, class_: str, seconds: float) -> None:
        """Count one finished request."""
        series = self._series.get((code, class_))
        if series is None:
            series = self._requests.labels(code, class_), self._seconds.labels(class_)
            if len(self._series) < MAX_CACHED:
                self._series[code, class_] = series
        series[0].value += 1
        series[1].observe(seconds)
