"""Logs of a process: constant messages with fields, JSON or lines for people, and nothing in them that looks like a secret."""

from __future__ import annotations

import json
import logging
import os
import re
import sys
import time
from typing import Any

from skerry.api.names import TOKEN_PREFIX

_SECRETS = re.compile(
    TOKEN_PREFIX + r"[A-Za-z0-9_-]{43}|skerry-join-[A-Za-z0-9_=-]+|\bS[UAONCX][A-Z2-7]{56}\b"
    r"|\beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+|(?i:bearer\s+)[A-Za-z0-9._~+/=-]{8,}"
    r"|(?i:base64url\.bearer\.authorization\.k8s\.io\.)[A-Za-z0-9_-]+"
    r"|-----BEGIN [A-Z ]*PRIVATE KEY-----[\s\S]*?(?:-----END|\Z)"
)
_STANDARD = frozenset({*vars(logging.makeLogRecord({})), "message", "asctime", "taskName"})


def redact(text: str) -> str:
    """`text` without anything that looks like one of our secrets: the last line of defence, not the first."""
    return _SECRETS.sub("[secret]", text)


def _fields(record: logging.LogRecord) -> dict[str, Any]:
    return {key: value for key, value in vars(record).items() if key not in _STANDARD}


class JsonFormatter(logging.Formatter):
    """One JSON object a line: time (RFC 3339, UTC), level, logger, message, then the record's fields."""

    def format(self, record: logging.LogRecord) -> str:
        """The line."""
        stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
        line = {
            "time": f"{stamp}.{int(record.msecs):03d}Z",
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **_fields(record),
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return redact(json.dumps(line, default=str, ensure_ascii=False))


class HumanFormatter(logging.Formatter):
    """`12:34:56.789 info  proxy: message key=value`, for a terminal."""

    def format(self, record: logging.LogRecord) -> str:
        """The line, and the traceback of a bug below it."""
        stamp = time.strftime("%H:%M:%S", time.localtime(record.created))
        fields = "".join(f" {key}={_quoted(value)}" for key, value in _fields(record).items())
        text = f"{stamp}.{int(record.msecs):03d} {record.levelname.lower():<8} {record.name}: {record.getMessage()}{fields}"
        if record.exc_info:
            text += "\n" + self.formatException(record.exc_info)
        return redact(text)


def _quoted(value: Any) -> str:
    text = str(value)
    return json.dumps(text, ensure_ascii=False) if not text or " " in text or "\n" in text else text


def configure_logging(level: str, style: str = "auto") -> None:
    """Log to stderr. `level`: debug, info, warning, error. `style`: json, human, or auto (human on a terminal)."""
    number = logging.getLevelNamesMapping().get(level.upper())
    if number is None:
        raise SystemExit(f"SKERRY_LOG_LEVEL is {level!r}: use debug, info, warning or error")
    human = _for_people(style)
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(HumanFormatter() if human else JsonFormatter())
    logging.basicConfig(level=number, handlers=[handler], force=True)
    logging.captureWarnings(True)


def logs_for_people() -> bool:
    """Whether this process logs as HumanFormatter does: people read its stderr, and lines that are no log may stand there."""
    return _for_people(os.environ.get("SKERRY_LOG_FORMAT", "auto"))


def _for_people(style: str) -> bool:
    return style == "human" or (style == "auto" and sys.stderr.isatty())
