"""Packages of charts, made for tests."""

from __future__ import annotations

import gzip
import io
import tarfile
from collections.abc import Mapping


def packed(files: Mapping[str, bytes | str]) -> bytes:
    """A tar in gzip with these files; the same bytes each time."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for path, content in files.items():
            data = content.encode() if isinstance(content, str) else content
            info = tarfile.TarInfo(path)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return gzip.compress(buffer.getvalue(), mtime=0)


def package(
    name: str = "web", version: str = "1.2.3", *, more: str = "", files: Mapping[str, bytes | str] | None = None
) -> bytes:
    """A chart's package: its name and version, `more` of its Chart.yaml, and other files by their path below the chart."""
    metadata = f"apiVersion: v2\nname: {name}\nversion: {version}\n{more}"
    return packed(
        {f"{name}/Chart.yaml": metadata, **{f"{name}/{path}": content for path, content in (files or {}).items()}}
    )
