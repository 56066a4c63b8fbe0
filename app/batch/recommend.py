"""`polyrank recommend`: lists for many users through the engine of the service, without HTTP and without state."""

import argparse
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from time import time
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app.batch.log import Roles, read_log
from app.batch.open import open_engine
from app.batch.progress import Bar
from app.batch.tables import check_writable, first_name, ids, moment, read_table, write_table
from app.pipeline.engine import Engine
from app.pipeline.ranked import Ranked
from app.pipeline.request import RecommendRequest
from app.pipeline.user import UserInput
from model.bundle import Bundle
from model.errors import DataError, RequestError
from model.events import Event, History

Clock = Callable[[History], float]


def run(arguments: argparse.Namespace) -> int:
    """Write one row an answered item: user_id, item_id, rank (from 1), score, and each task's probability or value."""
    if arguments.target != "item":
        raise RequestError("--target", arguments.target, "this release recommends items: leave it out")
    out = Path(arguments.out)
    check_writable(out)
    engine = open_engine(Path(arguments.bundle), most=arguments.n)
    users = user_ids(arguments.users, engine.bundle)
    only = None if arguments.items is None else id_list(Path(arguments.items), "item", engine.bundle)
    histories = log_histories(engine, None if arguments.events is None else Path(arguments.events))
    lists = recommend(engine, users, arguments.n, histories, clock(arguments.now), only)
    collected = Collected(engine.task_names)
    bar = Bar(len(users), "recommend")
    for user, ranked in zip(users, lists, strict=True):
        collected.add(user, ranked)
        bar.step()
    write_table(out, collected.columns())
    sys.stderr.write(f"{out}: {len(collected):,} rows for {len(users):,} users, bundle {engine.bundle.version}\n")
    return 0


def recommend(
    engine: Engine,
    users: Iterable[str],
    n: int,
    histories: Mapping[str, History],
    now: Clock,
    only: Sequence[str] | None = None,
) -> Iterable[Ranked]:
    """The engine's list for each user, as POST /recommend would give it; `histories` replace the bundle's."""
    for user_id in users:
        given = histories.get(user_id)
        moment_now = now(history_of(engine.bundle, user_id) if given is None else given)
        request = RecommendRequest(user_id=user_id, n=n, only_items=only, now=moment_now)
        yield engine.recommend(UserInput(user_id, given=given), request)


def history_of(bundle: Bundle, user_id: str) -> History:
    """The bundle's own history of a user, empty for one it does not know."""
    row = bundle.users.row(user_id)
    return History.of() if row < 0 else bundle.user_history(row)


def clock(said: str) -> Clock:
    """`last`: each user's newest event · `now`: the clock · else that moment; raises DataError for anything else."""
    if said == "last":
        return lambda history: float(history.times[-1]) if len(history) else float("nan")
    at = time() if said == "now" else moment(said, "--now")
    return lambda _: at


def log_histories(engine: Engine, path: Path | None) -> dict[str, History]:
    """Histories of the users a log holds; its events newer than the bundle's are counted, as feedback would be."""
    if path is None:
        return {}
    log, bundle = read_log(path, engine.bundle), engine.bundle
    rows = np.asarray(engine.catalogue.view.ids.rows(log.item_ids), np.int64)
    newer = np.flatnonzero(log.times > engine.live.counters.total_newest)
    engine.apply_events(
        [
            Event(
                event_id="",
                type=bundle.spec.event_types[log.types[place] - 1],
                user=log.user_ids[log.users[place]],
                item_id=log.item_ids[log.items[place]],
                timestamp=float(log.times[place]),
                value=None if np.isnan(log.values[place]) else float(log.values[place]),
            )
            for place in newer.tolist()
        ]
    )
    return dict(log.histories(rows))


def user_ids(said: str, bundle: Bundle) -> Sequence[str]:
    """The users to answer: `all` of the bundle, or those of a file."""
    return bundle.users.names if said == "all" else id_list(Path(said), "user", bundle)


def id_list(path: Path, role: str, bundle: Bundle) -> list[str]:
    """Distinct ids of a file, in its order: a table with a column of that role, or plain text with one id a line."""
    if path.suffix in ("", ".txt"):
        try:
            lines = path.read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise DataError(str(path), str(error), "give a readable file with one id a line") from None
        return list(dict.fromkeys(one for one in lines if one))
    roles = Roles.of(bundle)
    table = read_table(path, roles.ids())
    name = first_name(table, roles.names(role), f"{role} column", path)
    return ids(table[name], f"{path}: {name}")[0]


@dataclass
class Collected:
    """Answers as columns."""

    tasks: Sequence[str]
    users: list[str] = field(default_factory=list)
    lists: list[Ranked] = field(default_factory=list)

    def add(self, user_id: str, ranked: Ranked) -> None:
        """One user's list."""
        self.users.append(user_id)
        self.lists.append(ranked)

    def __len__(self) -> int:
        return sum(len(one) for one in self.lists)

    def columns(self) -> dict[str, Any]:
        """user_id, item_id, rank, score and a column a task; one row an answered item."""
        sizes = [len(one) for one in self.lists]
        values = np.concatenate([np.empty((0, len(self.tasks)), np.float32), *(one.values for one in self.lists)])
        return {
            "user_id": np.repeat(np.asarray(self.users, object), sizes),
            "item_id": [item_id for one in self.lists for item_id in one.item_ids],
            "rank": _counts(sizes),
            "score": np.concatenate([np.empty(0), *(one.scores for one in self.lists)]),
            **{name: values[:, place] for place, name in enumerate(self.tasks)},
        }


def _counts(sizes: Sequence[int]) -> NDArray[np.int32]:
    """1, 2, … within each list, int32 [sum of sizes]."""
    return np.concatenate([np.empty(0, np.int32), *(np.arange(1, size + 1, dtype=np.int32) for size in sizes)])
