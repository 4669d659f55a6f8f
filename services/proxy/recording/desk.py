"""Sessions of one front door that are to be recorded: which are, how each is asked for, and what it is recorded with."""

from __future__ import annotations

import os
import time
from collections.abc import Callable

from services.proxy.recording.demand import command_of
from services.proxy.recording.ids import session_id
from services.proxy.recording.recorder import LIMIT_BYTES, Backlog
from services.proxy.recording.writing import Recording, RecordingStore
from skerry.api.recordings import RecordingBegin
from skerry.errors import StatusError
from skerry.httpwire.requestinfo import RequestInfo

NOTICE = "this session is recorded: what its terminal shows, not what you type"
"""What the person is told."""


class RecordingDesk:
    """Makes the recordings of a process, which share what may wait to be stored."""

    def __init__(self, store: RecordingStore) -> None:
        self._store, self._backlog = store, Backlog()
        self.limit = LIMIT_BYTES
        """Of one recording."""

    def recording(
        self,
        user: str,
        cluster: str,
        info: RequestInfo,
        query: bytes,
        *,
        required: bool,
        audit_id: str,
        cut: Callable[[StatusError], None],
    ) -> Recording:
        """One for the session that `user` asks for. `cut` ends it."""
        command, container = command_of(query)
        now = time.time()
        about = RecordingBegin(
            id=session_id(now, os.urandom(5)),
            user=user,
            cluster=cluster,
            namespace=info.namespace,
            pod=info.name,
            container=container,
            subresource=info.subresource,
            command=command,
            start=now,
            audit_id=audit_id,
            required=required,
        )
        return Recording(self._store, about, cut, self._backlog, limit=self.limit)
