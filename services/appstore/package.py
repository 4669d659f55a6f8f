"""A chart's package, whole: what it is, what people read of it, and why it cannot be installed, if it cannot. Pure."""

from __future__ import annotations

import base64
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from typing import NamedTuple, TypeAlias

from services.appstore import schema
from services.appstore.archive import LIMITS, MIB, ArchiveError, Limits, files
from services.appstore.foreignyaml import ForeignYamlError, loaded
from services.appstore.metadata import ChartError, chart
from skerry.api.charts import Chart

DEEPEST = 5
"""Charts in charts in charts."""
METADATA = 256 * 1024
"""Bytes of a Chart.yaml."""
README = 512 * 1024
"""Bytes of a README that are kept."""
SECRET = MIB
"""Bytes that a Secret may have (k8s.io/api core/v1 MaxSecretSize): Helm keeps a release in one."""
Tree: TypeAlias = dict[str, bytes]
"""Files by their paths."""
_READMES = ("README.md", "readme.md", "README.txt", "README")


class Package(NamedTuple):
    """A package that is taken."""

    chart: Chart
    digest: str
    """`sha256:` and 64 hexadecimal digits, of the package as it is."""
    readme: bytes
    values: bytes
    schema: bytes
    has_schema: bool
    """It, or a chart within it, has a schema for values."""


def read(archive: bytes, limits: Limits = LIMITS) -> Package:
    """The package. ChartError for one that is refused: the rule, the file and the limit."""
    reader = _PackageReader(limits)
    tree = reader.unpacked(archive)
    described = reader.chart(tree, "", 0)
    _check_release(archive, tree)
    readme = next((tree[name] for name in _READMES if name in tree), b"")[:README]
    digest = "sha256:" + sha256(archive).hexdigest()
    texts = tree.get("values.yaml", b""), tree.get("values.schema.json", b"")
    return Package(described, digest, readme, *texts, reader.has_schema)


class _PackageReader:
    """Reads a package and those within it; the limits hold for all of them together."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self.has_schema = False
        """One of them has one."""

    def unpacked(self, archive: bytes) -> Tree:
        """Files by their path below the one directory at the top, whose name is the chart's."""
        tree: Tree = {}
        tops: dict[str, None] = {}
        try:
            for file in files(archive, self._limits):
                top, slash, path = file.path.partition("/")
                if not slash:
                    raise ChartError("NoChart", f"{file.path}: a chart's files are in one directory that has its name")
                tops[top] = None
                tree[path] = file.content
        except ArchiveError as error:
            raise ChartError(error.reason, str(error)) from error
        self._limits = self._limits._replace(
            total=self._limits.total - sum(map(len, tree.values())), members=self._limits.members - len(tree)
        )
        if len(tops) > 1:
            raise ChartError("NoChart", f"there are two directories at the top: {', '.join(sorted(tops)[:2])}")
        if "Chart.yaml" not in tree:
            raise ChartError(
                "NoChart", "there is no Chart.yaml in a directory at the top; helm package makes a package"
            )
        name = _metadata(tree["Chart.yaml"], "").name
        if name not in tops:
            raise ChartError("NoChart", f"the chart's name is {name}, and its directory's {next(iter(tops))[:80]}")
        return tree

    def chart(self, tree: Tree, where: str, depth: int) -> Chart:
        """The chart whose files these are, after all charts within it were looked at too."""
        if depth > DEEPEST:
            raise ChartError("TooDeep", f"{where}there are more than {DEEPEST} charts within each other")
        metadata = _metadata(tree["Chart.yaml"], where)
        if "values.schema.json" in tree:
            self.has_schema = True
            with _within(where):
                schema.check(tree["values.schema.json"])
        inner = [
            self._inner(name, content, f"{where}charts/{name}: ", depth) for name, content in _charts(tree).items()
        ]
        missing = sorted({each.name for each in metadata.dependencies} - {each.name for each in inner})
        if missing:
            raise ChartError(
                "MissingDependency",
                f"{where}Chart.yaml names {', '.join(missing[:5])}, which charts/ does not have; helm dependency build gets them",
            )
        return metadata

    def _inner(self, name: str, content: Tree | bytes, where: str, depth: int) -> Chart:
        if isinstance(content, bytes):
            with _within(where):
                content = self.unpacked(content)
        return self.chart(content, where, depth + 1)


@contextmanager
def _within(where: str) -> Iterator[None]:
    """Say in which chart something is wrong."""
    try:
        yield
    except ChartError as error:
        raise ChartError(error.reason, where + str(error)) from error


def _metadata(text: bytes, where: str) -> Chart:
    with _within(where + "Chart.yaml: "):
        if len(text) > METADATA:
            raise ChartError("FileTooLarge", f"it has {len(text)} bytes, the limit is {METADATA}")
        try:
            return chart(loaded(text))
        except ForeignYamlError as error:
            raise ChartError("BadMetadata", str(error)) from error


def _charts(tree: Tree) -> dict[str, Tree | bytes]:
    """Those in charts/ by their name there: of directories the files, and packages as they are."""
    directories: dict[str, Tree] = {}
    packages: dict[str, Tree | bytes] = {}
    for path, content in tree.items():
        top, _, rest = path.partition("/")
        name, slash, below = rest.partition("/")
        if top != "charts" or not name or name[0] in "._":
            continue
        if slash:
            directories.setdefault(name, {})[below] = content
        elif name.endswith((".tgz", ".tar.gz")):
            packages[name] = content
    return {**{name: each for name, each in directories.items() if "Chart.yaml" in each}, **packages}


def _check_release(archive: bytes, tree: dict[str, bytes]) -> None:
    """ChartError if Helm could not keep a release of it: its Secret has all the chart's files (base64 of gzip of base64)."""
    if len(archive) * 4 // 3 < SECRET // 2:
        return
    gzip = zlib.compressobj(9, wbits=31)
    size = sum(len(gzip.compress(base64.b64encode(content))) for content in tree.values()) + len(gzip.flush())
    if size * 4 // 3 > SECRET:
        raise ChartError(
            "ReleaseTooLarge",
            f"Helm keeps a release in a Secret, and this one would have about {size * 4 // 3} bytes of {SECRET}: leave out files "
            "that are not templates (.helmignore)",
        )
