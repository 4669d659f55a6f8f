"""The only image that pods of the tests have: a static busybox, packed here, because no registry is asked for anything.

A docker-archive is a tar of a manifest, a configuration and the layers' tars (the format of `docker save`), which
containerd imports. One layer, two names: the tests' image, and the sandbox's, which only has to sleep.
"""

from __future__ import annotations

import hashlib
import io
import json
import platform
import subprocess
import tarfile
from pathlib import Path

BUSYBOX = "skerry.test/busybox:1"
SANDBOX = "skerry.test/pause:1"

_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}
_DIRECTORIES = ("bin", "dev", "etc", "proc", "sys", "root", "tmp", "var")


def write_archive(target: Path, busybox: Path) -> None:
    """Write a docker-archive with both images to `target`; `busybox` must be statically linked."""
    layer = _layer(busybox)
    commands = {BUSYBOX: ["/bin/sh"], SANDBOX: ["/bin/sleep", "2147483647"]}
    with tarfile.open(target, "w") as archive:
        manifest = []
        for image, command in commands.items():
            configuration = _configuration(layer, command)
            name = f"{hashlib.sha256(configuration).hexdigest()}.json"
            _add(archive, name, configuration)
            manifest.append({"Config": name, "RepoTags": [image], "Layers": ["layer.tar"]})
        _add(archive, "layer.tar", layer)
        _add(archive, "manifest.json", json.dumps(manifest).encode())


def write_program(target: Path, image: str, program: Path) -> None:
    """Write a docker-archive of an image with one program in it, statically linked, that it runs."""
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w") as layer:
        _add(layer, "bin/main", program.read_bytes(), mode=0o755)
    configuration = _configuration(content.getvalue(), ["/bin/main"])
    name = f"{hashlib.sha256(configuration).hexdigest()}.json"
    manifest = [{"Config": name, "RepoTags": [image], "Layers": ["layer.tar"]}]
    with tarfile.open(target, "w") as archive:
        _add(archive, name, configuration)
        _add(archive, "layer.tar", content.getvalue())
        _add(archive, "manifest.json", json.dumps(manifest).encode())


def _configuration(layer: bytes, command: list[str]) -> bytes:
    machine = platform.machine()
    document = {
        "architecture": _ARCHITECTURES.get(machine, machine),
        "os": "linux",
        "config": {"Cmd": command, "Env": ["PATH=/bin"], "WorkingDir": "/"},
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{hashlib.sha256(layer).hexdigest()}"]},
    }
    return json.dumps(document).encode()


def _layer(busybox: Path) -> bytes:
    applets = subprocess.run([busybox, "--list"], capture_output=True, text=True, check=True).stdout.split()
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w") as layer:
        for directory in _DIRECTORIES:
            entry = tarfile.TarInfo(directory)
            entry.type, entry.mode = tarfile.DIRTYPE, 0o1777 if directory == "tmp" else 0o755
            layer.addfile(entry)
        _add(layer, "bin/busybox", busybox.read_bytes(), mode=0o755)
        _add(layer, "etc/passwd", b"root:x:0:0:root:/root:/bin/sh\n")
        for applet in sorted(set(applets) - {"busybox"}):
            link = tarfile.TarInfo(f"bin/{applet}")
            link.type, link.linkname = tarfile.SYMTYPE, "busybox"
            layer.addfile(link)
    return content.getvalue()


def _add(archive: tarfile.TarFile, name: str, content: bytes, mode: int = 0o644) -> None:
    entry = tarfile.TarInfo(name)
    entry.size, entry.mode = len(content), mode
    archive.addfile(entry, io.BytesIO(content))
