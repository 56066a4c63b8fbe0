"""`polyrank score`: what every task says of given pairs, each at its moment, through the service's own networks."""

import argparse
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from app.batch.bulk import Bulk, Question
from app.batch.log import read_log
from app.batch.open import open_engine
from app.batch.pairs import Group, Pairs, passed_through, read_pairs
from app.batch.progress import Bar
from app.batch.replay import Histories, Replay, Timeline
from app.batch.tables import check_writable, write_table
from app.pipeline.engine import Engine
from index.catalogue import Put
from index.encode import ItemEncoder
from model.bundle import Bundle
from model.features.ranking import Moment
from model.features.records import ItemRecord
from model.ids import NO_ROW

CHUNK = 512  # moments whose networks run together


def run(arguments: argparse.Namespace) -> int:
    """Write the pairs' own columns and one column a task: calibrated probability, or value."""
    out = Path(arguments.out)
    check_writable(out)
    engine = open_engine(Path(arguments.bundle))
    pairs = read_pairs(Path(arguments.pairs), engine.bundle)
    replay, histories = point_in_time(engine, pairs, None if arguments.events is None else Path(arguments.events))
    values = score(engine, pairs, replay, histories)
    columns = passed_through(pairs, engine.task_names)
    write_table(out, {**columns, **{name: values[:, place] for place, name in enumerate(engine.task_names)}})
    sys.stderr.write(f"{out}: {len(pairs):,} pairs, bundle {engine.bundle.version}\n")
    return 0


def point_in_time(engine: Engine, pairs: Pairs, events: Path | None) -> tuple[Replay, Histories]:
    """Histories and counters to be read at each moment; items that only the files know join the catalogue, blank."""
    log = None if events is None else read_log(events, engine.bundle)
    add_unknown(engine, [*pairs.item_ids, *(log.item_ids if log else ())])
    view = engine.catalogue.view
    if log is None:
        nothing = Timeline(np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0, np.float32), np.empty(0))
        return Replay.over(engine.bundle, nothing, len(view)), Histories(engine.bundle, {})
    rows = np.asarray(view.ids.rows(log.item_ids), np.int64)
    replay = Replay.over(engine.bundle, Timeline.of(log, rows), len(view))
    return replay, Histories(engine.bundle, log.histories(rows))


def add_unknown(engine: Engine, item_ids: Sequence[str]) -> None:
    """Put items that the catalogue does not hold, with nothing known of them but what the log will count."""
    missing = [one for one in dict.fromkeys(item_ids) if engine.catalogue.row(one) == NO_ROW]
    if not missing:
        return
    texts, ids, vectors = ItemEncoder(engine.bundle).encode([ItemRecord()])
    engine.catalogue.apply([Put(one, ItemRecord(), vectors[0], ids[0], texts[0]) for one in missing])


def score(engine: Engine, pairs: Pairs, replay: Replay, histories: Histories) -> NDArray[np.float32]:
    """Calibrated outputs of all tasks for every pair at its moment, float32 [n, T]."""
    bulk = Bulk(engine, replay.counters)
    rows = np.asarray(engine.catalogue.view.ids.rows(pairs.item_ids), np.int64)
    values = np.empty((len(pairs), len(engine.task_names)), np.float32)
    groups = pairs.groups()
    bar = Bar(len(groups), "score")
    for part in _chunks(groups):
        questions = [_question(engine.bundle, one, histories, rows[pairs.items[one.pairs]]) for one in part]
        for group, found in zip(part, bulk.answers(questions, replay.until), strict=True):
            values[group.pairs] = found
        bar.step(len(part))
    return values


def _question(bundle: Bundle, group: Group, histories: Histories, rows: NDArray[np.int64]) -> Question:
    user = bundle.users.row(group.user_id)
    known: NDArray[np.int32] = bundle.array("user_features/profile.npy")[user]
    profile = bundle.spec.profile_ids({}) if user == NO_ROW else known
    history = histories.at(group.user_id, group.now)
    return Question(Moment(history, profile, group.context, group.now), rows)


def _chunks(groups: Sequence[Group]) -> Iterator[Sequence[Group]]:
    for start in range(0, len(groups), CHUNK):
        yield groups[start : start + CHUNK]
