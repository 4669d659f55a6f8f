"""Hostile packages, pushed to an App Store that is a process of its own: each costs its own error, and nothing else."""

from __future__ import annotations

import asyncio
import gzip
import random
import tarfile
import zlib
from collections.abc import AsyncIterator, Callable, Mapping
from functools import partial
from pathlib import Path
from typing import NamedTuple

import pytest

from skerry import subjects
from skerry.api.kinds import APP_REVIEW, APP_VERSION
from skerry.api.meta import Document
from skerry.errors import Conflict, StatusError
from skerry.storage.buckets import make_store
from tests.appstore.apart import Apart, apart, enabled
from tests.appstore.charts import package, packed
from tests.appstore.helm.charts import CONFIG
from tests.appstore.test_archive import packed as archived
from tests.appstore.test_archive import special
from tests.faults.fleet import Process
from tests.fixtures.nats import NatsHost

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]
GROWTH_MIB = 10
BETWEEN = 4
"""So many rows between two good charts."""
META = "apiVersion: v2\nname: web\nversion: 1.0.0\n"
NUL = special("web/a", tarfile.REGTYPE)
NUL.pax_headers = {"path": "web/a\0.txt"}


def zeros(*sizes: int) -> bytes:
    """A chart with files of zeros, packed without ever being there as a whole."""
    gzipped = zlib.compressobj(9, wbits=31)
    parts = [gzipped.compress(special("web", tarfile.DIRTYPE).tobuf())]
    for number, size in enumerate(sizes):
        entry = special(f"web/{number}", tarfile.REGTYPE)
        entry.size = size
        parts += [gzipped.compress(entry.tobuf()), *(gzipped.compress(bytes(1 << 20)) for _ in range(size >> 20))]
    return b"".join(parts) + gzipped.flush()


def crowd(count: int) -> bytes:
    """A chart with so many empty files: headers that differ in six digits and their sum."""
    header = bytearray(special("web/000000", tarfile.REGTYPE).tobuf())
    header[148:156] = b" " * 8
    zero = sum(header) - 6 * ord("0")
    gzipped, parts = zlib.compressobj(1, wbits=31), []
    for number in range(count):
        digits = b"%06d" % number
        header[4:10], header[148:156] = digits, b"%06o\0 " % (zero + sum(digits))
        parts.append(gzipped.compress(header))
    return b"".join(parts) + gzipped.flush()


def schema(reference: str) -> bytes:
    """A chart whose schema refers to something."""
    return package(version="1.0.0", files={"values.schema.json": f'{{"$ref": "{reference}"}}'})


def bomb() -> str:
    """A gigabyte of YAML in 500 bytes."""
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 9)]
    return "\n".join(lines) + "\n"


class Refused(NamedTuple):
    """What is refused at push: the reason, and words of what the user reads: the file or rule, and the limit."""

    content: bytes | Callable[[], bytes]
    """What takes seconds to pack is packed when it is pushed."""
    reason: str
    says: tuple[str, ...]


REFUSED: Mapping[str, Refused] = {
    "200 MB in 200 KB": Refused(partial(zeros, 200 << 20), "FileTooLarge", ("web/0", "209715200", "5242880")),
    "200 MB in 50 files": Refused(partial(zeros, *[4 << 20] * 50), "DecompressedTooLarge", ("unpacked", "bytes that it may have")),
    "200,000 files": Refused(partial(crowd, 200_000), "TooManyFiles", ("5000",)),
    "..": Refused(archived(("web/Chart.yaml", META.encode()), ("../evil", b"x")), "BadPath", ("../evil",)),
    ".. inside": Refused(archived(("web/../../evil", b"x")), "BadPath", ("web/../../evil",)),
    "absolute": Refused(archived(("/etc/passwd", b"x")), "BadPath", ("/etc/passwd",)),
    "symbolic link": Refused(archived(special("web/link", tarfile.SYMTYPE, "/etc")), "NotAFile", ("web/link",)),
    "hard link": Refused(archived(special("web/link", tarfile.LNKTYPE, "/etc/passwd")), "NotAFile", ("web/link",)),
    "device": Refused(archived(special("web/sda", tarfile.BLKTYPE)), "NotAFile", ("web/sda",)),
    "pipe": Refused(archived(special("web/pipe", tarfile.FIFOTYPE)), "NotAFile", ("web/pipe",)),
    "duplicate": Refused(archived(("web/a", b"1"), ("web/a", b"2")), "DuplicateFile", ("web/a",)),
    "NUL": Refused(archived(NUL), "BadPath", ("do not print",)),
    "two directories": Refused(packed({"web/Chart.yaml": META, "b/x": ""}), "NoChart", ("b, web",)),
    "no directory": Refused(packed({"Chart.yaml": META}), "NoChart", ("Chart.yaml",)),
    "name .": Refused(packed({"web/Chart.yaml": "name: .\nversion: 1.0.0\n"}), "BadName", ("Chart.yaml", "'.'")),
    "name ../x": Refused(packed({"web/Chart.yaml": "name: ../x\nversion: 1.0.0\n"}), "BadName", ("'../x'",)),
    "no SemVer": Refused(package(version="newest"), "BadVersion", ("Chart.yaml", "'newest'")),
    "alias bomb": Refused(package(version="1.0.0", more=bomb()), "BadMetadata", ("Chart.yaml", "aliases")),
    "200,000 levels": Refused(package(version="1.0.0", more="keywords: " + "[" * 200_000), "BadMetadata", ("Chart.yaml", "deep")),
    "200,000 levels of schema": Refused(
        package(version="1.0.0", files={"values.schema.json": '{"a":' * 200_000}), "BadSchema", ("values.schema.json",)
    ),
    "schema of a file": Refused(schema("file:///etc/passwd"), "SchemaReference", ("values.schema.json", "file:///etc")),
    "schema over http": Refused(schema("http://169.254.169.254/"), "SchemaReference", ("169.254.169.254",)),
    "schema of itself": Refused(schema("#"), "SchemaReference", ("leads to itself",)),
    "2 MiB of noise": Refused(
        package(version="1.0.0", files={"noise": random.Random(7).randbytes(2 << 20)}),
        "ReleaseTooLarge",
        ("Secret", "1048576", ".helmignore"),
    ),
    "missing dependency": Refused(
        package(version="1.0.0", more="dependencies: [{name: db, version: 1.x}]\n"), "MissingDependency", ("db", "charts/")
    ),
    "no gzip": Refused(b"<html>", "BadArchive", ("helm package",)),
    "gzip of noise": Refused(gzip.compress(random.Random(8).randbytes(4096)), "BadArchive", ()),
}  # fmt: skip


class Accepted(NamedTuple):
    """What is accepted and cannot be installed: what is in the chart, possible reasons, and words of the problem."""

    files: Mapping[str, str]
    reasons: str
    says: tuple[str, ...] = ()


def template(text: str, **files: str) -> Mapping[str, str]:
    """The files of a chart with this template; others by their name before `.yaml`."""
    return {"templates/a.yaml": text, **{f"{name}.yaml": content for name, content in files.items()}}


NESTED = "{{ range until 100000 }}{{ range until 100000 }}{{ range until 9999 }}{{ end }}{{ end }}{{ end }}"
ACCEPTED: Mapping[str, Accepted] = {
    "until": Accepted(template("{{ until 2000000000 }}"), "ResourceLimit", ("memory",)),
    "nested until": Accepted(template(NESTED), "ResourceLimit Deadline", ("stopped",)),
    "repeat": Accepted(template('{{ repeat 1000000000 "0123456789" }}'), "ResourceLimit", ("memory",)),
    "endless tpl": Accepted(template("{{ tpl .Values.t . }}", values="t: '{{ tpl .Values.t . }}'\n"), "ResourceLimit"),
    "endless include": Accepted(
        template('{{ define "x" }}{{ include "x" . }}{{ end }}{{ include "x" . }}'), "RenderFailed", ("templates/a.yaml",)
    ),
    "lookup of a Secret": Accepted(
        template('{{ (lookup "v1" "Secret" "kube-system" "x").data.y }}'), "RenderFailed", ("templates/a.yaml", "nil")
    ),
    "10,000 objects": Accepted(
        template(f"{{{{ range until 10000 }}}}---\n{CONFIG}x\n{{{{ end }}}}"), "ResourceLimit", ("10000", "2000")
    ),
    "9 MB": Accepted(template(CONFIG + '{{ repeat 9000000 "x" }}'), "ResourceLimit", ("8 MiB",)),
    "environment": Accepted(template('{{ fail (env "SKERRY_BUS_CREDENTIALS_FILE") }}'), "RenderFailed", ("env",)),
    "words of another error": Accepted(
        template('{{ fail "dial tcp: connection refused" }}'), "Unreachable", ("templates/a.yaml",)
    ),
    "words of a failure": Accepted(template('{{ fail "exceeded quota" }}'), "RenderFailed Failed", ("exceeded",)),
    "escapes": Accepted(template('{{ fail "\\u001b]0;owned\\u0007 no" }}'), "RenderFailed", ("no",)),
    "values with an alias bomb": Accepted(template(CONFIG + "x", values=bomb()), "RenderFailed Failed", ("alias",)),
    "values of 200,000 levels": Accepted(
        template(CONFIG + "x", values="a: " + "[" * 200_000 + "]" * 200_000), "RenderFailed Failed ResourceLimit", ("values.yaml",)
    ),
    "no YAML": Accepted(template("a: [\n"), "RenderFailed", ("templates/a.yaml",)),
}  # fmt: skip


class Shown(NamedTuple):
    """What is accepted and may be installed: what a reviewer is shown of it."""

    files: Mapping[str, str]
    more: str = ""
    risks: str = ""


BINDING = """apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: own-all}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: cluster-admin}
subjects: [{kind: User, name: mallory}]
"""
ELSEWHERE = CONFIG.replace("name: a", "name: a, namespace: kube-system") + "x"
HOOK = CONFIG.replace("name: a", "name: a, annotations: {helm.sh/hook: pre-install}") + "x"
ROOT = "apiVersion: v1\nkind: Pod\nmetadata: {name: a}\nspec: {hostPID: true, volumes: [{hostPath: {path: /}}]}\n"
SCRIPT = "# Web\n<script>alert(1)</script>\n"
SHOWN: Mapping[str, Shown] = {
    "cluster-admin": Shown(template(BINDING), risks="ClusterScoped RBAC"),
    "another namespace": Shown(template(ELSEWHERE), risks="OtherNamespaces"),
    "hook": Shown(template(HOOK), risks="Hooks"),
    "the node": Shown(template(ROOT), risks="HostPath Privileged"),
    "lookup of all Secrets": Shown(
        template('{{ if lookup "v1" "Secret" "" "" }}{{ fail "seen" }}{{ end }}' + CONFIG + "x")
    ),
    "files of the machine": Shown(
        template('{{ if .Files.Get "../../../../../etc/passwd" }}{{ fail "seen" }}{{ end }}' + CONFIG + "x")
    ),
    "names of hosts": Shown(template('{{ if getHostByName "localhost" }}{{ fail "seen" }}{{ end }}' + CONFIG + "x")),
    "README with a script": Shown({"README.md": SCRIPT}),
    "icon javascript:": Shown({}, more="icon: 'javascript:alert(1)'\nhome: 'data:text/html,x'\n"),
}


class Store(NamedTuple):
    """An App Store with workspace shop, its process, and where that has its temporary files."""

    world: Apart
    process: Process
    rooms: Path

    async def checked(self, name: str) -> Document:
        """A version as soon as its package was looked into."""
        version = await self.world.when(
            APP_VERSION,
            name,
            "shop",
            lambda each: any(c["type"] == "Checked" for c in each["status"].get("conditions", ())),
        )
        status: Document = version["status"]
        return status

    async def works(self, number: int) -> None:
        """A good chart of the same workspace is pushed, and can be submitted."""
        version = f"0.{number}.0"
        await self.world.push("good", package("good", version, files=template(CONFIG + "x")), namespace="shop")
        await self.submit(f"good-{version}")

    async def still_works(self, number: int) -> None:
        """The same, beside every one of so many rows: each takes a Helm."""
        if number % BETWEEN == 0:
            await self.works(number)

    async def submit(self, version: str) -> None:
        """Submit for review. StatusError."""
        review = {
            "metadata": {"generateName": "r-", "namespace": "shop"},
            "spec": {"action": "Submit", "version": version},
        }
        await self.world.create(APP_REVIEW, review)

    def rss(self) -> float:
        """MiB."""
        return self.process.memory_mib("VmRSS")

    async def left(self) -> list[str]:
        """Processes and directories that are there though nothing is done any more."""
        for _ in range(50):
            inside = [each for each in Path("/proc").glob("[0-9]*/cwd") if str(_link(each)).startswith(str(self.rooms))]
            children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
            left = [*map(str, inside), *children, *(each.name for each in self.rooms.iterdir())]
            if not left:
                break
            await asyncio.sleep(0.1)
        return left


def _link(path: Path) -> Path | None:
    try:
        return path.readlink()
    except OSError:
        return None


@pytest.fixture
async def store(
    fresh_nats_host: NatsHost, helms: Mapping[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Store]:
    rooms = tmp_path / "rooms"
    rooms.mkdir()
    monkeypatch.setenv("TMPDIR", str(rooms))
    async with fresh_nats_host.bus("registry") as registry, apart(fresh_nats_host, tmp_path) as world:
        await make_store(registry, subjects.UPLOADS)
        process = await world.start(SKERRY_HELM=str(helms["helm-4"]))
        await enabled(world)
        await world.workspace("shop")
        running = Store(world, process, rooms)
        for number in range(3):  # what a process needs once is no growth
            await running.works(900 + number)
            await running.checked(f"good-0.{900 + number}.0")
            await world.pull(f"good-0.{900 + number}.0", "package", namespace="shop")
        yield running


async def test_what_is_refused_at_push_costs_its_own_error(store: Store) -> None:
    before, wrong = store.rss(), []
    for number, (name, row) in enumerate(REFUSED.items()):
        try:
            content = row.content() if callable(row.content) else row.content
            await store.world.push("web", content, namespace="shop")
            wrong.append(f"{name}: accepted")
        except StatusError as error:
            reasons = [cause.reason for cause in error.details.causes]
            if reasons != [row.reason] or not all(each in error.message for each in row.says):
                wrong.append(f"{name}: {reasons} {error.message}")
        await store.still_works(number)
    assert not wrong, "\n".join(wrong)
    assert [name for name in await store.world.versions() if "web" in name] == []
    grown = store.rss() - before
    assert grown <= GROWTH_MIB, grown
    for number in range(0, len(REFUSED), BETWEEN):
        await store.checked(f"good-0.{number}.0")
    assert await store.left() == []


async def test_what_cannot_be_installed_stays_listed_and_says_why(store: Store) -> None:
    before, wrong = store.rss(), []
    for number, (name, row) in enumerate(ACCEPTED.items()):
        version = f"1.{number}.0"
        await store.world.push("web", package(version=version, files=row.files), namespace="shop")
        await store.still_works(number)
        problem = (await store.checked(f"web-{version}")).get("problem") or {}
        text = problem.get("message", "")
        said = all(each in text for each in row.says) and text.replace("\n", "").isprintable()
        if problem.get("reason") not in row.reasons.split() or not said:
            wrong.append(f"{name}: {problem}")
            continue
        with pytest.raises(Conflict, match="cannot be installed, so it is not reviewed") as caught:
            await store.submit(f"web-{version}")
        assert problem["reason"] in caught.value.message
    assert not wrong, "\n".join(wrong)
    grown = store.rss() - before
    assert grown <= GROWTH_MIB, grown
    for number in range(0, len(ACCEPTED), BETWEEN):
        await store.checked(f"good-0.{number}.0")
    assert await store.left() == []


async def test_what_a_chart_would_do_is_shown_and_not_done(store: Store) -> None:
    before, wrong = store.rss(), []
    for number, (name, row) in enumerate(SHOWN.items()):
        version = f"1.{number}.0"
        await store.world.push("web", package(version=version, more=row.more, files=row.files), namespace="shop")
        status = await store.checked(f"web-{version}")
        if status.get("problem") or [each["type"] for each in status["risks"]] != row.risks.split():
            wrong.append(f"{name}: {status.get('problem')} {status.get('risks')}")
        assert {status["chart"].get("icon", ""), status["chart"].get("home", "")} == {""}
        if "README.md" in row.files:
            head, text = await store.world.pull(f"web-{version}", "readme", namespace="shop")
            assert (text.decode(), head.content_type.partition(";")[0]) == (SCRIPT, "text/markdown")
        await store.still_works(number)
        await store.submit(f"web-{version}")
    assert not wrong, "\n".join(wrong)
    grown = store.rss() - before
    assert grown <= GROWTH_MIB, grown
    for number in range(0, len(SHOWN), BETWEEN):
        await store.checked(f"good-0.{number}.0")
    assert await store.left() == []
