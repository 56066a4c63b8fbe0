"""The service between HTTP and the pipeline: which bundle is live, and what other workers changed since."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Protocol, TypeVar

from app.auth import Keys
from app.bundles import bundle_path, default_path
from app.live_bundle import LiveBundle
from app.metrics import Metrics
from app.problems import not_found, unavailable
from app.settings import Settings
from app.state.store import Changes, ExportLog, StateStore, StoredItem
from model.errors import BundleError, StateError
from model.features import fused, kernels

RETRY_REFUSED_S = 10.0  # a bundle that did not verify may still be on its way to this machine's disk
DURABILITY_S = 60.0
SLOW = (
    "the native loops of the request path were not built, so a request takes several times the CPU; "
    "install the package where a C compiler and Python's headers are"
)
T = TypeVar("T")


class Store(StateStore, ExportLog, Protocol):
    """All of the state: what requests read and write, and what is known of the streams and of erased users."""


Opener = Callable[[Path], LiveBundle]

logger = logging.getLogger("polyrank.service")


class Service:
    """Everything a route needs. `open_live` opens a bundle (on the work thread), `store` is connected already."""

    def __init__(self, settings: Settings, store: Store, open_live: Opener, metrics: Metrics) -> None:
        self.settings, self.store, self._open = settings, store, open_live
        self.metrics, self.keys = metrics, Keys(settings.api_keys)
        self._work = ThreadPoolExecutor(1, "polyrank-work")
        self._live: LiveBundle | None = None
        self._synced = False  # whether what was put, hidden and deleted at run time is in the live catalogue
        self._changing, self._switching = asyncio.Lock(), asyncio.Lock()
        self._refused: dict[str, float] = {}
        self._follower: asyncio.Task[None] | None = None
        self._retiring: set[asyncio.Task[None]] = set()
        self._caught_up = time.monotonic()  # when all changes there were had been read
        self._durability = ("unknown", -DURABILITY_S)
        self._erased: Collection[str] | None = None
        self.state_error: str | None = None

    @property
    def live(self) -> LiveBundle:
        """The live bundle; Problem 503 until it answers for everything that was changed at run time."""
        if self._live is None or not self._synced:
            raise unavailable("the service is starting: what was changed at run time is not read yet; ask again")
        return self._live

    @property
    def loaded(self) -> LiveBundle | None:
        """The live bundle, synced or not."""
        return self._live

    @property
    def ready(self) -> bool:
        """Whether requests are answered."""
        return self._live is not None and self._synced

    async def start(self) -> None:
        """Open the bundle and read what was changed at run time; with the state away, go on trying behind."""
        if not (kernels.NATIVE and fused.NATIVE):
            logger.warning(SLOW)
        await self._open_first()
        await self._tick()
        self._follower = asyncio.create_task(self._follow(), name="follow")

    async def stop(self) -> None:
        """Stop following, let go of the store and the work thread."""
        if self._follower is not None:
            self._follower.cancel()
            await asyncio.wait([self._follower])
        await asyncio.gather(*self._retiring, *([self._live.retire()] if self._live else []))
        await self.store.close()
        self._work.shutdown(wait=True)

    async def on_work_thread(self, function: Callable[..., T], *arguments: object) -> T:
        """Run something long off the event loop; one at a time, so the catalogue has one writer."""
        return await asyncio.get_running_loop().run_in_executor(self._work, function, *arguments)

    async def durability(self) -> str:
        """What an accepted event survives, asked of the store once a minute."""
        value, until = self._durability
        if time.monotonic() > until:
            value = await self.store.durability()
            self._durability = value, time.monotonic() + DURABILITY_S
        return value

    async def erased(self) -> Collection[str]:
        """Keys of whoever was erased; as last known while the state is away. Problem 503 when it never was read."""
        try:
            self._erased = await self.store.erased()
        except StateError as error:
            if self._erased is None:
                raise unavailable(f"who was erased is not known yet ({error}); ask again") from None
        return self._erased

    # Bundles

    async def _open_first(self) -> None:
        active = await self._active_or_none()
        path = bundle_path(self.settings.bundles, active) if active else None
        try:
            self._install(await self._opened(path or self._default()))
        except BundleError as error:
            if path is None or path.resolve() == self._default().resolve():
                raise
            self._note_refusal(path.name, error)
            self._install(await self._opened(self._default()))

    async def _opened(self, path: Path) -> LiveBundle:
        """The bundle at a path, opened on a thread of its own; raises BundleError whatever is wrong with it."""
        try:
            return await asyncio.to_thread(self._open, path)
        except BundleError:
            raise
        except Exception as error:
            logger.exception("bundle %s does not open", path)
            raise BundleError(str(path), f"{type(error).__name__}: {error}", "see the log; make it again") from error

    def _default(self) -> Path:
        return self.settings.bundle or default_path(self.settings.bundles)

    async def _active_or_none(self) -> str | None:
        try:
            return await self.store.active_bundle()
        except StateError as error:
            self._state_away(error)
            return None

    async def activate(self, version: str) -> str:
        """Make a version the live one, here at once and everywhere within a second; the version before.

        Raises Problem 404 when there is no such bundle, BundleError when it does not verify (the live one stays).
        """
        path = bundle_path(self.settings.bundles, version)
        if path is None:
            raise not_found("version", version)
        async with self._switching:
            before, fresh = self.live.version, await self._opened(path)
            await self._bring_up(fresh)
            await self.store.activate(version)
            await self._swap(fresh)
        return before

    async def _switch(self, version: str) -> None:
        """Follow an activation by another worker; a bundle that does not verify leaves the live one in place."""
        async with self._switching:
            path = bundle_path(self.settings.bundles, version)
            try:
                if path is None:
                    raise BundleError(str(self.settings.bundles / version), None, "copy the active bundle there")
                fresh = await self._opened(path)
            except BundleError as error:
                self._note_refusal(version, error)
                return
            await self._bring_up(fresh)
            await self._swap(fresh)

    def _note_refusal(self, version: str, error: BundleError) -> None:
        self._refused[version] = time.monotonic()
        self.metrics.refused.inc()
        logger.error("bundle %s is active but stays out: %s", version, error)

    async def _swap(self, fresh: LiveBundle) -> None:
        """Put `fresh` in place, no change in between: whoever writes holds the same lock from store to catalogue."""
        async with self._changing:
            await self._bring_up(fresh)
            before, self._live = self._live, fresh
            self._install(fresh)
        if before is not None:
            task = asyncio.create_task(before.retire(), name="retire")
            self._retiring.add(task)
            task.add_done_callback(self._retiring.discard)

    def _install(self, live: LiveBundle) -> None:
        self._live = live
        self._refused.pop(live.version, None)
        self.metrics.bundle(live.version)
        logger.info("bundle %s is live", live.version)

    async def _bring_up(self, live: LiveBundle) -> None:
        """Apply every item change of the state that `live` has not seen."""
        while True:
            changes = await self.store.items_since(live.cursors.items)
            if changes.items:
                await self.on_work_thread(live.apply, changes.items)
            live.cursors = replace(live.cursors, items=changes.cursor)
            if not changes.items:
                return

    # What others changed

    async def _follow(self) -> None:
        await self._warm()
        while True:
            more = await self._tick()
            await asyncio.sleep(0 if more else self.settings.follow_ms / 1000)

    async def _warm(self) -> None:
        try:
            assert self._live is not None
            await self.on_work_thread(self._live.warm)
        except Exception:
            logger.exception("the text encoder is not warm; the first item or query waits for it")

    async def _tick(self) -> bool:
        """One look at the store; never raises, since the loop must outlive whatever the store does."""
        more = False
        try:
            more = await self._follow_once()
            self._state_back()
        except StateError as error:
            self._state_away(error)
        except Exception:
            logger.exception("following failed; trying again")
        self.metrics.lag.set(time.monotonic() - self._caught_up)
        return more

    async def _follow_once(self) -> bool:
        assert self._live is not None
        live = self._live
        if not self._synced:
            await self._bring_up(live)
            self._synced = True
        changes = await self.store.follow(live.cursors)
        await self._take(live, changes)
        if not changes.more:
            self._caught_up = time.monotonic()
        await self._heed(changes.active_bundle)
        return changes.more

    async def _take(self, live: LiveBundle, changes: Changes) -> None:
        if changes.items:
            async with self._changing:
                await self.on_work_thread(live.apply, changes.items)
        if changes.events and live is self._live:  # one that is retired learns no more
            live.learn(changes.events)
        live.cursors = changes.cursors

    async def _heed(self, active: str | None) -> None:
        if active is None or active == self.live.version:
            return
        if time.monotonic() - self._refused.get(active, -RETRY_REFUSED_S) >= RETRY_REFUSED_S:
            await self._switch(active)

    def _state_away(self, error: StateError) -> None:
        if self.state_error is None:
            logger.error("state: %s", error)
        self.state_error = str(error)
        self.metrics.state_up.set(0)

    def _state_back(self) -> None:
        if self.state_error is not None:
            logger.info("state: back again")
        self.state_error = None
        self.metrics.state_up.set(1)

    # Items

    async def store_items(self, write: Callable[[], Awaitable[Sequence[StoredItem]]]) -> None:
        """Write items to the store, then apply what was written to this worker's catalogue, nothing in between."""
        async with self._changing:
            written = await write()
            await self.on_work_thread(self.live.apply, written)
