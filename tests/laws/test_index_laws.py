"""Laws of the live catalogue, whatever is put, hidden and deleted in whatever order."""

import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from index.build import seal
from index.catalogue import Change, Delete, Hide, LiveCatalogue, Put
from model.bundle import Bundle, open_bundle
from model.features.records import ItemRecord
from tests.tiny_bundles import DIM, SPEC, TEXT_DIM, write_tiny

ITEMS = 30
COLOURS = ("red", "green", "blue", "violet", "pink")
quickly = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
ids = st.sampled_from([f"i{row}" for row in range(0, ITEMS, 4)] + [f"new{number}" for number in range(6)])
heights = st.integers(-40, 40).map(lambda tenths: tenths / 10 + 0.05)
records = st.builds(
    lambda colours, year: ItemRecord({}, {"colour": colours} | ({} if year is None else {"year": year})),
    st.lists(st.sampled_from(COLOURS), unique=True),
    st.none() | st.integers(1980, 2010),
)


def put_of(item_id: str, height: float, record: ItemRecord, hidden: bool = False) -> Put:
    vector = np.full(DIM, height, np.float32)
    return Put(item_id, record, vector, SPEC.attribute_ids(record.attributes), np.zeros(TEXT_DIM, np.float32), hidden)


changes = st.lists(
    st.builds(put_of, ids, heights, records, st.booleans())
    | st.builds(Hide, ids, st.booleans())
    | st.builds(Delete, ids),
    max_size=25,
)
queries = st.lists(st.integers(-3, 3), min_size=DIM, max_size=DIM).map(lambda numbers: np.asarray(numbers, np.float32))


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return open_bundle(made(tmp_path_factory.mktemp("bundles")))


def made(parent: Path, version: str = "v1") -> Path:
    path = write_tiny(parent, version, items=ITEMS)
    seal(path)
    return path


@dataclass
class Model:
    """The catalogue as a dictionary: what must come out."""

    rows: dict[str, int] = field(default_factory=dict)
    vectors: dict[str, NDArray[np.float32]] = field(default_factory=dict)
    records: dict[str, ItemRecord] = field(default_factory=dict)
    gone: set[str] = field(default_factory=set)
    hidden: set[str] = field(default_factory=set)

    @classmethod
    def of(cls, bundle: Bundle) -> "Model":
        names = bundle.items.names
        vectors = bundle.array("item_features/vectors.npy")
        return cls(
            {name: row for row, name in enumerate(names)},
            {name: vectors[row] for row, name in enumerate(names)},
            {name: bundle.item_record(row) for row, name in enumerate(names)},
        )

    def make(self, change: Change) -> None:
        name = change.item_id
        if isinstance(change, Put):
            self.rows.setdefault(name, len(self.rows))
            self.vectors[name], self.records[name] = change.vector, change.record
            self.gone.discard(name)
            (self.hidden.add if change.hidden else self.hidden.discard)(name)
        elif isinstance(change, Delete):
            self.gone.add(name) if name in self.rows else None
        elif name in self.rows:
            (self.hidden.add if change.hidden else self.hidden.discard)(name)

    def visible(self) -> Iterator[str]:
        return (name for name in self.rows if name not in self.gone and name not in self.hidden)


def applied(bundle: Bundle, made: list[Change]) -> tuple[LiveCatalogue, Model]:
    catalogue, model = LiveCatalogue(bundle), Model.of(bundle)
    for change in made:
        catalogue.apply([change])
        model.make(change)
    return catalogue, model


@quickly
@given(made=changes, query=queries, k=st.integers(0, 60), asked=st.sets(st.integers(0, 40), max_size=12))
def test_search_equals_brute_force(
    bundle: Bundle, made: list[Change], query: NDArray[np.float32], k: int, asked: set[int]
) -> None:
    catalogue, model = applied(bundle, made)
    found = catalogue.search(query, k, excluded=np.asarray(sorted(asked), np.int64))
    scores = {model.rows[name]: float(model.vectors[name] @ query) for name in model.visible()}
    scores = {row: score for row, score in scores.items() if row not in asked}
    expected = sorted(scores.values(), reverse=True)[:k]
    np.testing.assert_allclose(found.scores, expected, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(found.scores, [scores[int(row)] for row in found.rows], rtol=1e-4, atol=1e-4)
    assert len(set(found.rows.tolist())) == len(found)
    assert found.rows.tolist() == [row for _, row in sorted(zip(-found.scores, found.rows.tolist(), strict=True))]


@quickly
@given(
    made=changes,
    query=queries,
    k=st.integers(1, 60),
    include=st.lists(st.sampled_from(COLOURS), min_size=1, unique=True),
    years=st.none() | st.tuples(st.integers(1980, 2010), st.integers(0, 20)),
    exclude=st.lists(st.sampled_from(COLOURS), unique=True),
)
def test_a_filtered_search_is_full_and_within_the_filter(
    bundle: Bundle,
    made: list[Change],
    query: NDArray[np.float32],
    k: int,
    include: list[str],
    years: tuple[int, int] | None,
    exclude: list[str],
) -> None:
    catalogue, model = applied(bundle, made)
    bounds = {} if years is None else {"year": [{"min": float(years[0]), "max": float(sum(years))}]}
    mask = catalogue.filter_mask({"colour": include, **bounds}, {"colour": exclude})

    def fits(record: ItemRecord) -> bool:
        colours, year = record.attributes.get("colour") or [], record.attributes.get("year")
        assert isinstance(colours, list)
        within = years is None or (isinstance(year, int | float) and years[0] <= year <= sum(years))
        return bool(set(colours) & set(include)) and not set(colours) & set(exclude) and within

    assert {name for name in model.rows if mask[model.rows[name]]} == {n for n in model.rows if fits(model.records[n])}
    allowed = {model.rows[name] for name in model.visible() if fits(model.records[name])}
    found = catalogue.search(query, k, mask)
    assert set(found.rows.tolist()) <= allowed
    assert len(found) == min(k, len(allowed))


@quickly
@given(made=changes)
def test_ids_and_rows_are_stable_and_two_way(bundle: Bundle, made: list[Change]) -> None:
    catalogue, model = applied(bundle, made)
    for name, row in model.rows.items():
        assert catalogue.row(name) == row
        assert catalogue.id(row) == name
        assert catalogue.record(row) == model.records[name]
        assert (catalogue.vectors(np.asarray([row]))[0] == model.vectors[name]).all()
    assert len(catalogue) == len(model.rows)


@quickly
@given(made=changes)
def test_changes_one_by_one_equal_changes_at_once(bundle: Bundle, made: list[Change]) -> None:
    one_by_one, _ = applied(bundle, made)
    at_once = LiveCatalogue(bundle)
    at_once.apply(made)
    rows = np.arange(len(at_once))
    assert (at_once.visible == one_by_one.visible).all()
    assert (at_once.vectors(rows) == one_by_one.vectors(rows)).all()
    assert (at_once.attributes(rows) == one_by_one.attributes(rows)).all()


def test_what_is_deleted_stays_deleted_when_the_same_changes_meet_another_bundle(
    tmp_path: Path, bundle: Bundle
) -> None:
    made_here: list[Change] = [put_of("new0", 9, ItemRecord()), Delete("i3"), Hide("i8"), Delete("new0")]
    for other in (bundle, open_bundle(made(tmp_path, "v2")), open_bundle(bundle.path)):
        catalogue = LiveCatalogue(other)
        catalogue.apply(made_here)
        found = {catalogue.id(int(row)) for row in catalogue.search(np.ones(DIM, np.float32), 100).rows}
        assert found == {f"i{row}" for row in range(ITEMS)} - {"i3", "i8"}


def test_readers_see_whole_changes_while_a_writer_writes(bundle: Bundle) -> None:
    """Two items always change together: one up, one down. A reader that saw half a change would see both up."""
    catalogue, query = LiveCatalogue(bundle), np.ones(DIM, np.float32)
    catalogue.apply([put_of("a", 50, ItemRecord()), put_of("i0", -50, ItemRecord())])
    wrong: list[str] = []
    done = threading.Event()

    def read() -> None:
        while not done.is_set():
            view = catalogue.view
            found = view.search(query, len(view) + 5)
            scores = dict(zip(found.rows.tolist(), found.scores.tolist(), strict=True))
            if scores[0] + scores[view.row("a")] != 0 or len(scores) != len(found) or min(scores) < 0:
                wrong.append(str(scores))

    readers = [threading.Thread(target=read) for _ in range(3)]
    for reader in readers:
        reader.start()
    for turn in range(300):
        sign = 1 if turn % 2 else -1
        other = put_of(f"more{turn}", 0.1, ItemRecord({}, {"colour": ["red"]}))
        catalogue.apply([put_of("a", 50 * sign, ItemRecord()), other, put_of("i0", -50 * sign, ItemRecord())])
    done.set()
    for reader in readers:
        reader.join()
    assert wrong == []
