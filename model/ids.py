"""Ids are the caller's opaque strings; rows are positions inside one bundle."""

from collections.abc import Iterable, Sequence

from model.errors import PolyrankError

MAX_ID_BYTES = 256
NO_ROW = -1  # FAISS pads with it too; never index with it


class IdError(PolyrankError):
    """An id is empty, too long, or not valid Unicode."""


def check_id(value: str, what: str = "id") -> str:
    """Return `value` unchanged when it can be an id (1–256 bytes of UTF-8, no NUL); raise IdError otherwise."""
    try:
        size = len(value.encode("utf-8"))
    except UnicodeEncodeError:
        raise IdError(what, value, "send valid Unicode, without lone surrogates") from None
    if not 1 <= size <= MAX_ID_BYTES or "\x00" in value:
        raise IdError(what, value, f"an id is 1 to {MAX_ID_BYTES} bytes of UTF-8 without NUL")
    return value


class IdMap:
    """Two-way map between ids and rows; rows are given in order of first sight and never reused."""

    def __init__(self, ids: Iterable[str] = ()) -> None:
        self._ids: list[str] = list(ids)
        self._rows: dict[str, int] = {name: row for row, name in enumerate(self._ids)}
        if len(self._rows) != len(self._ids):
            raise IdError("ids", len(self._ids) - len(self._rows), "remove the duplicates")

    def __len__(self) -> int:
        return len(self._ids)

    def __contains__(self, name: object) -> bool:
        return name in self._rows

    def row(self, name: str) -> int:
        """Row of an id, NO_ROW when unknown."""
        return self._rows.get(name, NO_ROW)

    def rows(self, names: Iterable[str]) -> list[int]:
        """Rows of ids, NO_ROW where unknown, in the order given."""
        return [self._rows.get(name, NO_ROW) for name in names]

    def id(self, row: int) -> str:
        """Id at a row; IndexError for rows never given, negative ones included."""
        if row < 0:
            raise IndexError(f"row {row}: rows start at 0")
        return self._ids[row]

    def at(self, rows: Sequence[int]) -> list[str]:
        """Ids at some rows; IndexError as of `id`."""
        if min(rows, default=0) < 0:
            raise IndexError(f"row {min(rows)}: rows start at 0")
        return [self._ids[row] for row in rows]

    def add(self, name: str) -> int:
        """Row of an id, given now when it is new."""
        row = self._rows.setdefault(name, len(self._ids))
        if row == len(self._ids):
            self._ids.append(name)
        return row

    @property
    def names(self) -> Sequence[str]:
        """All ids by row."""
        return self._ids
