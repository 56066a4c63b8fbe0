"""Connections spread evenly over the workers.

The kernel gives a new connection to a worker by a hash of its address, and clients keep theirs: a few long-lived ones
may all lie on one process while the others idle. So workers tell each other how many they hold, and one that holds
more than its share closes some, each after an answer that says so (`Connection: close`); who comes back is dealt anew.
"""

import asyncio
import mmap
import struct
from collections.abc import Callable, Sized
from pathlib import Path
from typing import Self

FILE = "connections"  # beside what the workers measure
AWAY = -1  # a worker that does not listen
LOOK_S = 0.25
SLOT = struct.Struct("<q")


class Balance:
    """One worker's place among `workers`: a file of one number each, which all of them map."""

    def __init__(self, path: Path, place: int, workers: int) -> None:
        self._place, self._workers, self._spare, self._above = place, workers, 0, 0
        with path.open("r+b") as file:
            self._map = mmap.mmap(file.fileno(), workers * SLOT.size)

    @classmethod
    def create(cls, path: Path, workers: int) -> None:
        """Make the file for so many workers, all of them away."""
        path.write_bytes(SLOT.pack(AWAY) * workers)

    @classmethod
    def of(cls, folder: str | None, place: int, workers: int) -> Self | None:
        """The balance that `polyrank serve` has made in the folder; None for a worker that is alone."""
        return cls(Path(folder) / FILE, place, workers) if folder is not None and workers > 1 else None

    def note(self, held: int) -> None:
        """Tell how many connections this worker holds, and see how many of them are too many.

        They are too many at two looks in a row: at one, a client may be on its way from one worker to another, and
        what the others tell is as old as their last look.
        """
        SLOT.pack_into(self._map, self._place * SLOT.size, held)
        known = [number for (number,) in SLOT.iter_unpack(self._map[:]) if number != AWAY]
        above = 0 if held == AWAY else max(held - -(-sum(known) // len(known)), 0)  # a share is rounded up
        self._spare, self._above = min(above, self._above), above

    def sheds(self) -> bool:
        """Whether the connection at hand is to be closed after its answer; at most as many as are too many a look."""
        if not self._spare:
            return False
        self._spare, self._above = self._spare - 1, 0  # the next look is the first of two again: this one is moving
        return True

    async def follow(self, held: Callable[[], Sized]) -> None:
        """Look again and again, until cancelled; then this worker is away."""
        try:
            while True:
                self.note(len(held()))
                await asyncio.sleep(LOOK_S)
        finally:
            self.note(AWAY)
