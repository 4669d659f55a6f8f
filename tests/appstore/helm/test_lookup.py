"""Which Helm is used, and what is said where there is none."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from services.appstore.helm.engine import HelmError
from services.appstore.helm.lookup import Lookup, cached, new_enough


def program(path: Path, version: str = "v4.3.1", *, code: int = 0) -> Path:
    """A file that could be a program, with what `Spoken` says of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"{version} {code}")
    path.chmod(0o755)
    return path


class Spoken:
    """An engine that says what is written in its program: what Helm itself says is tested with Helm."""

    name = "commandline"

    def __init__(self, path: Path) -> None:
        self.path = path

    async def version(self) -> str:
        version, code = self.path.read_text().split()
        if code != "0":
            raise HelmError("EngineMissing", f"{self.path} cannot be started")
        return version.removeprefix("v")


@pytest.mark.parametrize(
    ("version", "enough"),
    [
        ("4.2.2", True),
        ("4.3", True),
        ("4.10.0", True),
        ("4.2.3-rc.1", True),
        ("4.2.1", False),
        ("4.2", False),
        ("4.2.2-rc.1", False),
        ("3.22.0", False),
        ("5.0.0", False),
        ("dev", False),
    ],
)
def test_which_versions_will_do(version: str, enough: bool) -> None:
    assert new_enough(version) is enough


async def looked(environ: dict[str, str]) -> tuple[str, str, str]:
    engine, state = await Lookup(Spoken, sdk=None, environ=environ).engine()  # type: ignore[arg-type]
    assert (engine is not None) is state.ready
    return state.reason, Path(state.path).name, state.message


def environment(tmp_path: Path, **more: str) -> dict[str, str]:
    return {"PATH": str(tmp_path / "bin"), "SKERRY_CACHE": str(tmp_path / "cache"), **more}


async def test_none_says_how_to_get_one(tmp_path: Path) -> None:
    reason, _, message = await looked(environment(tmp_path))
    assert reason == "NotFound"
    assert "no helm was found: install helm 4.2.2 or newer" in message
    with pytest.raises(HelmError, match="SKERRY_HELM") as missing:
        await Lookup(Spoken, sdk=None, environ=environment(tmp_path)).required()  # type: ignore[arg-type]
    assert missing.value.reason == "EngineMissing"


async def test_the_one_that_is_named_comes_first_then_path_then_cache(tmp_path: Path) -> None:
    program(tmp_path / "cache" / "clients" / "helm-4-4.3.1")
    assert (await looked(environment(tmp_path)))[:2] == ("Ready", "helm-4-4.3.1")
    program(tmp_path / "bin" / "helm", "v4.3.0")
    assert (await looked(environment(tmp_path)))[:2] == ("Ready", "helm")
    named = program(tmp_path / "mine", "v4.2.2")
    assert (await looked(environment(tmp_path, SKERRY_HELM=str(named))))[:2] == ("Ready", "mine")


async def test_one_that_is_named_and_will_not_do_is_refused_by_name(tmp_path: Path) -> None:
    program(tmp_path / "bin" / "helm")
    old = program(tmp_path / "old", "v3.22.0")
    reason, _, message = await looked(environment(tmp_path, SKERRY_HELM=str(old)))
    assert (reason, f"{old} is helm 3.22.0, and helm 4.2.2 or a newer 4 is needed" in message) == ("TooOld", True)
    broken = program(tmp_path / "broken", code=1)
    assert (await looked(environment(tmp_path, SKERRY_HELM=str(broken))))[0] == "Unusable"


async def test_an_old_one_on_path_is_passed_over(tmp_path: Path) -> None:
    program(tmp_path / "bin" / "helm", "v3.22.0")
    assert (await looked(environment(tmp_path)))[0] == "TooOld"
    program(tmp_path / "cache" / "clients" / "helm-4-4.3.1")
    assert (await looked(environment(tmp_path)))[:2] == ("Ready", "helm-4-4.3.1")


async def test_it_is_looked_at_again_when_the_file_is_another(tmp_path: Path) -> None:
    lookup = Lookup(Spoken, sdk=None, environ=environment(tmp_path))  # type: ignore[arg-type]
    assert not (await lookup.engine())[1].ready
    path = program(tmp_path / "bin" / "helm", "v4.2.2")
    engine, state = await lookup.engine()
    assert (state.version, (await lookup.engine())[0] is engine) == ("4.2.2", True)
    program(path, "v4.3.1")
    os.utime(path, ns=(0, 0))
    assert (await lookup.engine())[1].version == "4.3.1"
    path.unlink()
    assert (await lookup.engine())[1].reason == "NotFound"


def test_the_newest_in_the_cache_comes_first(tmp_path: Path) -> None:
    for version in ("4.3.1", "4.10.0", "4.3.9"):
        program(tmp_path / "clients" / f"helm-4-{version}")
    program(tmp_path / "clients" / "helm-3-3.22.0")
    (tmp_path / "clients" / "helm-4-5.0.0").write_text("not a program")
    names = [path.name for path in cached({"SKERRY_CACHE": str(tmp_path)})]
    assert names == ["helm-4-4.10.0", "helm-4-4.3.9", "helm-4-4.3.1"]
    assert list(cached({"XDG_CACHE_HOME": str(tmp_path / "none")})) == []
