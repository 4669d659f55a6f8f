"""Deciding with many grants: in this process what a decision takes, cold and repeated, and what becomes of thousands
of live requests when a grant goes; then the same, and memory, where it is asked for (bench/accesslive.py).
"""

from __future__ import annotations

import math
import random
import statistics
import time
from collections.abc import Mapping
from functools import partial
from typing import Any

import msgspec
from rich.console import Console
from rich.table import Table

from bench import accesslive
from bench.federation import say
from bench.grantset import MANY, MEMBERS, grant_document
from services.proxy.sessions import Rests, Sessions
from services.proxy.settings import ProxyLimits
from skerry.access import Access, Denied, MemberRequest, decide
from skerry.api.grants import AccessGrant
from skerry.api.messages import Caller
from skerry.errors import StatusError

FEW, LIVE = 10_000, 5_000
ASKED = 5_000
_grant = msgspec.json.Decoder(AccessGrant).decode


def measure(rounds: int) -> dict[str, Any]:
    """All figures: us of a decision, us of a change, MiB."""
    say(f"access: {FEW} grants, then {MANY} on {MEMBERS} members")
    access = _members()
    for number in range(FEW):
        access.grant(f"g{number}", _read(number))
    cold, again, changes, cuts = [], [], [], []
    for turn in range(rounds):
        cold.append(_cold(access, turn))
        again.append(_again(access))
        changes.append(_change(access))
        cuts.append(_cut(access))
    figures = {"cold_us": statistics.median(cold), "again_us": statistics.median(again)}
    return {
        **figures,
        "change_us": statistics.median(changes),
        "cut_ms": statistics.median(cuts),
    } | accesslive.measure(rounds)


def _members() -> Access:
    access = Access()
    for number in range(MEMBERS):
        access.cluster(f"m{number}", f"uid-{number}", {"env": "prod" if number % 3 else "test"})
    return access


def _read(number: int) -> AccessGrant:
    return _grant(msgspec.json.encode(grant_document(number)))


def _asked(seed: int) -> list[tuple[Caller, str]]:
    """Callers, with four groups each, and a member on which they have something."""
    chance = random.Random(seed)
    users = [chance.randrange(1, 5000, 2) for _ in range(ASKED)]
    groups = [tuple(f"org:g{chance.randrange(0, 500, 2)}" for _ in range(4)) for _ in users]
    return [
        (Caller(user=f"user{user}", groups=mine), f"m{user % MEMBERS}")
        for user, mine in zip(users, groups, strict=True)
    ]


def _cold(access: Access, seed: int) -> float:
    """Each asks for the first time since something changed."""
    access.cluster("spare", f"uid-{seed}")
    times = []
    for caller, member in _asked(seed):
        request = MemberRequest(member, "list", "pods", namespace="shop")
        started = time.perf_counter()
        decision = decide(caller, request, access, 0.0)
        times.append((time.perf_counter() - started) * 1e6)
        if isinstance(decision, Denied):
            raise TypeError(f"{caller.user} has something on {member}")
    return statistics.median(times)


def _again(access: Access) -> float:
    caller = Caller(user="user7", groups=("org:g0", "org:g100"))
    request = MemberRequest("m7", "list", "pods", namespace="shop")
    started = time.perf_counter()
    for _ in range(20_000):
        decide(caller, request, access, 0.0)
    return (time.perf_counter() - started) / 20_000 * 1e6


def _change(access: Access) -> float:
    """A grant goes and comes back."""
    grants = [(number, _read(number)) for number in range(0, FEW, 10)]
    started = time.perf_counter()
    for number, grant in grants:
        access.grant(f"g{number}", None)
        access.grant(f"g{number}", grant)
    return (time.perf_counter() - started) / (2 * len(grants)) * 1e6


def _cut(access: Access) -> float:
    """Milliseconds: the grant goes on which so many live requests of one person rest, among as many of others, until each was
    decided again and told to end.
    """
    limits = ProxyLimits(
        streams=4 * LIVE, streams_per_user=2 * LIVE, streams_per_member=4 * LIVE, opens_per_second=4 * LIVE
    )
    sessions, ended = Sessions(limits, time.time), 0

    def end(error: StatusError) -> None:
        nonlocal ended
        ended += 1

    access.grant("live", _live())
    for number in range(2 * LIVE):
        caller = Caller(user=f"user{number * 2 + 1}" if number % 2 else "liver")
        request = MemberRequest("m1", "watch", "pods", namespace=f"n{number % 50}")
        session = sessions.enter(caller.user, caller, math.inf, "m1", "uid-1")
        again = partial(_again_decided, access, caller, request)
        session.rests, session.cut = Rests(caller, again, math.inf), end
    started = time.perf_counter()
    touched = access.grant("live", None)
    sessions.reconsider(touched)
    took = (time.perf_counter() - started) * 1e3
    if ended != LIVE:
        raise AssertionError(f"{ended} of {LIVE} requests were ended")
    return took


def _again_decided(access: Access, caller: Caller, request: MemberRequest) -> StatusError | None:
    decision = decide(caller, request, access, 0.0)
    return decision.error if isinstance(decision, Denied) else None


def _live() -> AccessGrant:
    document = {
        "metadata": {"name": "live", "uid": "live"},
        "spec": {"subjects": [{"kind": "User", "name": "liver"}], "clusters": {"names": ["m1"]}, "role": "edit"},
        "status": {"clusters": [{"name": "m1", "uid": "uid-1"}]},
    }
    return _grant(msgspec.json.encode(document))


ROWS = (
    (f"a first decision, {FEW} grants (us, p50)", "cold_us", 20.0),
    (f"the same again, {FEW} grants (us)", "again_us", 3.0),
    ("a grant that comes or goes (us)", "change_us", None),
    (f"{LIVE} live requests that lose their grant, {LIVE} others (ms)", "cut_ms", 1000.0),
    *accesslive.ROWS,
)


def show(figures: Mapping[str, Any], console: Console) -> None:
    """One table."""
    table = Table(title="access")
    for column in ("", "measured", "at most"):
        table.add_column(column, justify="left" if not column else "right")
    for text, key, most in ROWS:
        table.add_row(text, f"{figures[key]:.1f}", "" if most is None else f"{most:.0f}")
    console.print(table)
