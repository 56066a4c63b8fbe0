"""Ids of the live catalogue: the bundle's, shared and unchanged, and behind them those first seen at run time."""

from collections.abc import Iterable, Sequence

from model.ids import NO_ROW, IdMap


class CatalogueIds:
    """Two-way map between item ids and rows of one process; rows are given in order of first sight, never reused."""

    def __init__(self, bundle: IdMap) -> None:
        self._bundle, self._added = bundle, IdMap()

    def __len__(self) -> int:
        return len(self._bundle) + len(self._added)

    def __contains__(self, name: object) -> bool:
        return name in self._bundle or name in self._added

    def row(self, name: str) -> int:
        """Row of an id, NO_ROW when unknown."""
        row = self._bundle.row(name)
        if row != NO_ROW:
            return row
        added = self._added.row(name)
        return NO_ROW if added == NO_ROW else len(self._bundle) + added

    def rows(self, names: Iterable[str]) -> list[int]:
        """Rows of ids, NO_ROW where unknown, in the order given."""
        if not len(self._added):
            return self._bundle.rows(names)
        return [self.row(name) for name in names]

    def id(self, row: int) -> str:
        """Id at a row; IndexError for rows never given, negative ones included."""
        return self._bundle.id(row) if row < len(self._bundle) else self._added.id(row - len(self._bundle))

    def at(self, rows: Sequence[int]) -> list[str]:
        """Ids at some rows; IndexError as of `id`."""
        if not len(self._added):
            return self._bundle.at(rows)
        return [self.id(row) for row in rows]

    def add(self, name: str) -> int:
        """Row of an id, given now when it is new."""
        row = self._bundle.row(name)
        return row if row != NO_ROW else len(self._bundle) + self._added.add(name)
