"""Owners, the store, two proxies and their clients, in any order of events that hypothesis can think of.

Real are `Store`, `Bucket`, `RingCursor` and `Informer`; the server is the one of tests/fixtures/jetstream.py, which holds every
request until a rule says what becomes of it. So a write can be cut, crash, be repeated or be done late at each await; a
proxy hears of a write at any time, is cut off, and finds another bucket when it is back. What may be stored and seen then
is said by truth.py alone.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from skerry import subjects
from skerry.api.kinds import CLUSTER
from skerry.api.meta import Document
from skerry.bus import Bucket, Entry, Filled, Resync
from skerry.errors import AlreadyExists, Conflict, GatewayTimeout, Gone, NotFound, ServiceUnavailable
from skerry.informer import Informer, RingCursor
from skerry.storage import Item, Store
from skerry.storage.documents import unseal
from tests.fixtures.jetstream import PREFIX, Fate, Line, Server, Stored, Stream
from tests.informer.stillness import StillLoop
from tests.informer.truth import Commit, Epoch, State, Told

NAMES = st.sampled_from("abc")
WHICH = st.integers(0, 1)
RUSH = st.sampled_from(["", "answered", "unanswered"])
"""Requests of a write: held until a rule decides, answered at once, or so but for the acknowledgement of what it stores."""
FINALIZER = "skerry.dev/test"
REFUSED = (AlreadyExists, Conflict, NotFound)
UNKNOWN = (GatewayTimeout, ServiceUnavailable)
AGES_S = 10.0
"""Longer than any pause of a watch."""


class Write:
    """One write of an owner: its process, what it stored, and what it was told."""

    def __init__(self, label: str, name: str, world: World) -> None:
        self.label = label
        self.name = name
        self.line = Line(world.server, held=True)
        self.ended: Epoch | None = None
        """Which bucket there was when the owner was told."""
        self.commits: list[tuple[Epoch, Commit]] = []
        self.task: asyncio.Task[Item | None]

    def start(self, loop: asyncio.AbstractEventLoop, run: Callable[[Store], Awaitable[Item | None]]) -> None:
        """Run it up to its first request."""

        async def running() -> Item | None:
            return await run(Store(Bucket(self.line, "resources"), CLUSTER))  # type: ignore[arg-type]

        self.task = loop.create_task(running())

    def __repr__(self) -> str:
        return self.label


class Proxy(Informer):
    """A proxy's cache, and which bucket it shows."""

    def __init__(self, world: World) -> None:
        super().__init__((CLUSTER,))
        self._world = world
        self.line = Line(world.server)
        self.epoch = world.epoch

    def take(self, event: Entry | Filled | Resync) -> None:
        """One event of the watch: after a fill it shows the bucket that it was filled from."""
        super().take(event)
        if isinstance(event, Filled) and self.line.consumer is not None:
            self.epoch = self._world.epochs[self.line.consumer.stream.created]

    def shown(self) -> State:
        """What a list shows now."""
        return {item.name: item.revision for item in self.list(CLUSTER)}


class Reader:
    """A client with a list and a watch, at one proxy after the other."""

    def __init__(self) -> None:
        self.told: Told | None = None
        self.proxy: Proxy
        self.watch: RingCursor


class World(RuleBasedStateMachine):
    """The machine."""

    def __init__(self) -> None:
        super().__init__()
        self.loop = StillLoop()
        asyncio.set_event_loop(self.loop)
        self.server = Server()
        self.server.heard = self._heard
        self.epoch = Epoch("epoch 0", 2)
        self.epochs = {"epoch 0": self.epoch}
        self.writes: list[Write] = []
        self.reads: list[asyncio.Task[None]] = []
        self.numbers = itertools.count(1)
        self.proxies = [self._made() for _ in range(2)]
        self.readers = [Reader(), Reader()]
        self.loop.settle()

    def _made(self) -> Proxy:
        async def made() -> Proxy:
            proxy = Proxy(self)
            feeding = asyncio.ensure_future(proxy.feed(Bucket(proxy.line, "resources")))  # type: ignore[arg-type]
            feeding.add_done_callback(lambda task: task.cancelled() or task.result())
            self.reads.append(feeding)
            return proxy

        return self.loop.run_until_complete(made())

    def _heard(self, line: Line, subject: str, answer: dict[str, Any]) -> None:
        """A request was done: what it stored is held against what may be stored."""
        if not subject.startswith(PREFIX) or "seq" not in answer:
            return
        write = next(write for write in self.writes if write.line is line)
        commit = self._commit(
            subject.removeprefix(PREFIX), self.server.stream.messages[subject.removeprefix(PREFIX)], write
        )
        write.commits.append((self.epoch, commit))
        self.epoch.commit(commit)

    def _commit(self, key: str, stored: Stored, by: object) -> Commit:
        name = subjects.parse_key(key)[3]
        if not stored.data:
            return Commit(stored.sequence, name, None, True, by)
        item = unseal(stored.data, stored.sequence)
        return Commit(stored.sequence, name, item.document(), item.deleted, by)

    # Writes

    def _write(self, verb: str, name: str, run: Callable[[Store], Awaitable[Item | None]], *, rush: str = "") -> None:
        """Begin a write; in a `rush` all its requests are decided at once."""

        async def begun() -> Write:
            return Write(f"{verb} {next(self.numbers)}", name, self)

        write = self.loop.run_until_complete(begun())
        self.writes.append(write)
        write.start(self.loop, run)
        self._settle()
        while rush and write.line.pending:
            stores = rush == "unanswered" and write.line.pending.stores and not write.commits
            self._decide(write, Fate.UNANSWERED if stores else Fate.ANSWERED)

    @initialize(names=st.lists(NAMES, max_size=4))
    def begin(self, names: list[str]) -> None:
        """Something is there, both proxies know it, and a client of each."""
        self.burst(names)
        for which in (0, 1):
            self.deliver(which, 10)
            self.list_(which, which)

    @rule(names=st.lists(NAMES, min_size=1, max_size=5))
    def burst(self, names: list[str]) -> None:
        """Several writes, one after the other: what is there is counted, what is not is made."""
        for name in names:

            async def run(store: Store, name: str = name) -> Item:
                if await store.find(name) is None:
                    return await store.create(_fresh(name))
                return await store.modify(name, _counted)

            self._write("put", name, run, rush="answered")

    @rule(name=NAMES, held=st.booleans(), rush=RUSH)
    def create(self, name: str, held: bool, rush: str) -> None:
        document = _fresh(name)
        if held:
            document["metadata"]["finalizers"] = [FINALIZER]
        self._write("create", name, lambda store: store.create(document), rush=rush)

    @rule(name=NAMES, rush=RUSH)
    def count(self, name: str, rush: str) -> None:
        """Read, add one, write; again if somebody was faster."""
        self._write("count", name, lambda store: store.modify(name, _counted), rush=rush)

    @rule(name=NAMES, fresh=st.booleans(), rush=RUSH)
    def replace(self, name: str, fresh: bool, rush: str) -> None:
        """Write over what was read, of now or as a proxy shows it: a conflict if it has changed."""
        old = next((item for proxy in self.proxies for item in proxy.list(CLUSTER) if item.name == name), None)

        async def run(store: Store) -> Item:
            before = await store.get(name) if fresh or old is None else old
            return await store.update(before, _counted(before.document()))

        self._write("replace", name, run, rush=rush)

    @rule(name=NAMES, rush=RUSH)
    def delete(self, name: str, rush: str) -> None:
        self._write("delete", name, lambda store: store.delete(name), rush=rush)

    @rule(name=NAMES, rush=RUSH)
    def finalize(self, name: str, rush: str) -> None:
        latest = self.epoch.latest(name)
        uid = "" if latest is None or latest.live is None else latest.live["metadata"]["uid"]

        async def run(store: Store) -> None:
            await store.finalize(name, uid, FINALIZER)

        self._write("finalize", name, run, rush=rush)

    @precondition(lambda self: any(proxy.tombstones(CLUSTER) for proxy in self.proxies))
    @rule(which=WHICH, rush=RUSH)
    def purge(self, which: int, rush: str) -> None:
        """What the sweep does with a tombstone that a cache remembers."""
        for tombstone in self.proxies[which].tombstones(CLUSTER)[:1]:

            async def run(store: Store, name: str = tombstone.name, revision: int = tombstone.revision) -> None:
                await store.purge(name, revision)

            self._write("purge", tombstone.name, run, rush=rush)

    @precondition(lambda self: any(write.line.pending for write in self.writes))
    @rule(data=st.data())
    def decide(self, data: st.DataObject) -> None:
        """What becomes of a request that is on its way; most are answered."""
        write = data.draw(st.sampled_from([write for write in self.writes if write.line.pending]))
        fate = data.draw(
            st.sampled_from([Fate.ANSWERED] * 5 + [Fate.LOST, Fate.UNANSWERED, Fate.UNANSWERED, Fate.LATE])
        )
        self._decide(write, fate)

    @precondition(lambda self: any(write.line.pending for write in self.writes))
    @rule(which=st.integers(0, 9))
    def finish(self, which: int) -> None:
        """One write gets all its answers."""
        going = [write for write in self.writes if write.line.pending]
        write = going[which % len(going)]
        while write.line.pending:
            self._decide(write, Fate.ANSWERED)

    def _decide(self, write: Write, fate: Fate) -> None:
        pending = write.line.pending
        assert pending is not None
        pending.fate.set_result(fate)
        self._settle()

    @precondition(lambda self: any(write.line.pending for write in self.writes))
    @rule(data=st.data(), done=st.booleans())
    def crash(self, data: st.DataObject, done: bool) -> None:
        """An owner is killed at an await: what it asked for is done or not, and it is there no more."""
        write = data.draw(st.sampled_from([write for write in self.writes if write.line.pending]))
        if done and write.line.pending is not None:
            write.line.pending.do()
        write.task.cancel()
        self._settle()
        assert write.task.done()

    @precondition(lambda self: any(write.line.late for write in self.writes))
    @rule()
    def arrive(self) -> None:
        """A request that nobody waits for is done after all."""
        next(write for write in self.writes if write.line.late).line.late.pop(0)()

    # The bucket

    @precondition(lambda self: len(self.epoch.commits) > 6)
    @rule(restored=st.booleans())
    def remake(self, restored: bool) -> None:
        """The bucket is made anew, empty or with what was in it; above all revisions that it ever gave, as a restore does."""
        before, first = self.server.stream, self.server.stream.last + 10
        self.server.stream = stream = Stream(f"epoch {len(self.epochs)}", first)
        epoch = Epoch(stream.created, first)
        for key, stored in sorted(before.messages.items(), key=lambda pair: pair[1].sequence) if restored else ():
            if stored.data and not unseal(stored.data, 1).deleted:
                stream.last += 1
                stream.messages[key] = Stored(stream.last, stored.data, {})
                epoch.restore(commit := self._commit(key, stream.messages[key], "restore"))
                for write in self.writes:
                    if write.ended is None and write.commits and write.commits[-1][1].revision == stored.sequence:
                        write.commits.append((epoch, commit))
        self.epoch = self.epochs[stream.created] = epoch
        for proxy in self.proxies:
            self._cut(proxy)

    # Proxies

    def _cut(self, proxy: Proxy) -> None:
        if proxy.line.up.is_set():
            proxy.line.cut()
            self._settle()

    @rule(which=WHICH)
    def cut(self, which: int) -> None:
        self._cut(self.proxies[which])

    @precondition(lambda self: not all(proxy.line.up.is_set() for proxy in self.proxies))
    @rule(which=WHICH)
    def mend(self, which: int) -> None:
        proxy = self.proxies[which]
        if not proxy.line.up.is_set():

            async def mend() -> None:
                proxy.line.mend()

            self.loop.run_until_complete(mend())
        self.loop.pass_(AGES_S)
        self._settle()

    @precondition(lambda self: any(proxy.line.consumer and proxy.line.consumer.waiting() for proxy in self.proxies))
    @rule(which=WHICH, most=st.integers(1, 4))
    def deliver(self, which: int, most: int) -> None:
        """A proxy hears the next messages, one socket read."""
        consumer = self.proxies[which].line.consumer
        for _ in range(most):
            if consumer is None or not consumer.deliver():
                break
        self._settle()

    # Clients

    @rule(which=WHICH)
    def read(self, which: int) -> None:
        """A consistent list: all that was stored before it began is in it."""
        proxy, epoch, since = self.proxies[which], self.epoch, self.epoch.last

        async def read() -> None:
            await proxy.current(timeout_s=1e9)
            if proxy.epoch is epoch:
                assert proxy.revision >= since
                for name, revision in epoch.at(since).items():
                    now = proxy.shown().get(name)
                    gone = name not in epoch.at(proxy.revision)
                    assert (now is None and gone) or (now is not None and now >= revision), (
                        f"{name} was stored at {revision} before the read, which shows {now} as of {proxy.revision}"
                    )

        self.reads.append(self.loop.create_task(read()))
        self._settle()

    @rule(reader=WHICH, which=WHICH)
    def list_(self, reader: int, which: int) -> None:
        """A client starts anew."""
        proxy, client = self.proxies[which], self.readers[reader]
        if proxy.filled.is_set():
            client.proxy, client.told = proxy, Told(proxy.epoch, proxy.revision, proxy.shown())
            client.watch = proxy.watch(CLUSTER, proxy.revision)

    @precondition(lambda self: any(client.told for client in self.readers))
    @rule(reader=WHICH, which=WHICH)
    def go_on(self, reader: int, which: int) -> None:
        """A client's watch ends, and it watches from where it was, perhaps at the other proxy."""
        proxy, client = self.proxies[which], self.readers[reader]
        if client.told is None or proxy.epoch is not client.told.epoch or proxy.revision < client.told.revision:
            return
        try:
            client.watch = proxy.watch(CLUSTER, client.told.revision)
            client.proxy = proxy
        except Gone:
            client.told = None

    @precondition(lambda self: any(client.told for client in self.readers))
    @rule(reader=WHICH)
    def hear(self, reader: int) -> None:
        """A client is told what has happened, and then knows what is there."""
        self._hear(self.readers[reader])

    def _hear(self, client: Reader) -> None:
        if client.told is None:
            return
        try:
            changes = client.watch.take()
        except Gone:
            client.told = None
            return
        if client.proxy.epoch is not client.told.epoch:
            client.told = msgspec.structs.replace(client.told, epoch=client.proxy.epoch)
        for change in changes:
            client.told.take(change.revision, _which(change.old), _which(change.new))
        now = client.told.epoch.at(client.proxy.revision)
        assert client.told.objects == now, f"a client knows {client.told.objects}, and there is {now}"

    @rule(which=WHICH, back=st.integers(0, 5))
    def page(self, which: int, back: int) -> None:
        """A list goes on as of a revision of before: what was there then, or 410."""
        proxy = self.proxies[which]
        revision = proxy.revision - back
        try:
            found = {item.name: item.revision for item in proxy.snapshot(CLUSTER, revision)}
        except Gone:
            return
        assert found == proxy.epoch.at(revision), f"as of {revision}: {found} instead of {proxy.epoch.at(revision)}"

    # What holds always

    def _settle(self) -> None:
        self.loop.settle()
        for write in self.writes:
            if write.task.done() and write.ended is None:
                write.ended = self.epoch
        for write in [write for write in self.writes if write.task.done() and not write.line.late]:
            self.writes.remove(write)
            _check(write)
        for read in [read for read in self.reads if read.done()]:
            self.reads.remove(read)
            read.result()

    @invariant()
    def a_proxy_shows_what_was_there(self) -> None:
        for proxy in self.proxies:
            if not proxy.filled.is_set():
                assert not proxy.shown()
                continue
            there = proxy.epoch.at(proxy.revision)
            assert proxy.shown() == there, (
                f"as of {proxy.revision} a proxy shows {proxy.shown()}, and there was {there}"
            )
            for item in proxy.list(CLUSTER):
                assert item.document() == proxy.epoch.document(item.name, item.revision)

    def teardown(self) -> None:
        """Everybody is connected and hears everything: then all know what is there. A request that is late by now is lost."""
        try:
            for which, proxy in enumerate(self.proxies):
                self.mend(which)
                # A watch measures silence by the machine's clock. On one that is busy for seconds it has just been found
                # silent, at a time which has stopped before its pause is over.
                self.loop.pass_(AGES_S)
                self.deliver(which, 1_000)
                self._settle()
                assert proxy.shown() == self.epoch.at(self.epoch.last)
            for client in self.readers:
                self._hear(client)
            for write in self.writes:
                if write.task.done():
                    _check(write)
        finally:
            for task in asyncio.all_tasks(self.loop):
                task.cancel()
            self.loop.settle()
            self.loop.close()
            asyncio.set_event_loop(None)


def _fresh(name: str) -> Document:
    return {"metadata": {"name": name}, "spec": {"count": 0}}


def _counted(document: Document) -> Document:
    return {**document, "spec": {"count": document["spec"]["count"] + 1}}


def _which(item: Item | None) -> tuple[str, int] | None:
    return None if item is None else (item.name, item.revision)


def _check(write: Write) -> None:
    """What the owner was told is what happened: done once, not at all, or unknown and at most once."""
    for epoch in {id(epoch): epoch for epoch, _ in write.commits}.values():
        own = [commit for where, commit in write.commits if where is epoch]
        assert len(own) == 1, f"{write} was done {len(own)} times: {own}"
    if write.task.cancelled():
        return
    error = write.task.exception()
    if error is None:
        _check_done(write, write.task.result())
    elif isinstance(error, REFUSED):
        # What arrives in a bucket that was made anew after the owner was told, nobody could know of.
        assert not [commit for epoch, commit in write.commits if epoch is write.ended], f"{write}: {error}"
    elif not isinstance(error, UNKNOWN):
        raise error


def _check_done(write: Write, item: Item | None) -> None:
    if item is None or not write.commits:
        return
    _, commit = write.commits[-1]
    assert item.revision >= commit.revision, f"{write} was told of {item.revision}, and stored {commit.revision}"


def _run(examples: int, steps: int) -> None:
    run_state_machine_as_test(
        World,
        settings=settings(
            max_examples=examples,
            stateful_step_count=steps,
            suppress_health_check=list(HealthCheck),
            print_blob=True,
        ),
    )


def test_whatever_happens_clients_see_what_was_stored() -> None:
    _run(examples=40, steps=80)


@pytest.mark.soak
def test_whatever_happens_for_long_clients_see_what_was_stored() -> None:
    _run(examples=5_000, steps=100)
