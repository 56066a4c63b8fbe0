"""`polyrank recommend`: lists for many users through the engine of the service, without HTTP and without state."""

import argparse
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from time import time
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from app.batch.log import Roles, read_log
from app.batch.open import open_engine
from app.batch.progress import Bar
from app.batch.tables import check_writable, first_name, ids, moment, read_table, texts, write_table
from app.pipeline.context import ContextReader
from app.pipeline.engine import Engine
from app.pipeline.ranked import Ranked
from app.pipeline.request import RecommendRequest
from app.pipeline.scenes import ranked_scenes
from app.pipeline.user import UserInput
from model.bundle import Bundle
from model.errors import DataError, RequestError
from model.events import Event, History

if TYPE_CHECKING:
    import pyarrow as pa

Clock = Callable[[History], float]
Ask = Callable[[UserInput, RecommendRequest], Ranked]


def run(arguments: argparse.Namespace) -> int:
    """Write one row an answered item: user_id, item_id, rank (from 1), score, and each task's probability or value.

    With `--target user` people are recommended to people, and item_id is whom to befriend or follow; with `--target
    scene` it is the name of a scene. Where the users' table has columns of the context, there is a list for each user
    in each context, and they are told.
    """
    if arguments.target == "user" and arguments.events is not None:
        raise RequestError("--events", arguments.events, "leave it out with --target user: it holds events of items")
    out = Path(arguments.out)
    check_writable(out)
    people, drop = arguments.target == "user", arguments.seen == "drop"
    engine = open_engine(Path(arguments.bundle), arguments.n, people)
    whom = asked_users(arguments.users, engine.bundle)
    only = None if arguments.items is None else id_list(Path(arguments.items), "item", engine.bundle)
    histories = log_histories(engine, None if arguments.events is None else Path(arguments.events))
    ask = partial(ranked_scenes, engine) if arguments.target == "scene" else engine.recommend
    lists = recommend(engine, whom, arguments.n, histories, clock(arguments.now), only, drop, ask, people)
    collected = Collected(engine.task_names)
    bar = Bar(len(whom), "recommend")
    for one, ranked in zip(whom, lists, strict=True):
        collected.add(one, ranked)
        bar.step()
    write_table(out, collected.columns())
    sys.stderr.write(f"{out}: {len(collected):,} rows of {len(whom):,} lists, bundle {engine.bundle.version}\n")
    return 0


@dataclass(frozen=True, slots=True)
class Whom:
    """Whom a list is for, and in which context: values by column, as the file spells them."""

    user_id: str
    context: Mapping[str, str] = field(default_factory=dict)


def recommend(
    engine: Engine,
    whom: Iterable[Whom],
    n: int,
    histories: Mapping[str, History],
    now: Clock,
    only: Sequence[str] | None = None,
    exclude_seen: bool = True,
    ask: Ask | None = None,
    people: bool = False,
) -> Iterable[Ranked]:
    """The engine's list for each, as POST /recommend would give it; `histories` replace the bundle's.

    `ask` makes it (default: the engine's items); to `people` nobody is recommended to themselves.
    """
    ask = ask or engine.recommend
    for one in whom:
        given = histories.get(one.user_id)
        request = RecommendRequest(
            user_id=one.user_id,
            n=n,
            context=one.context,
            only_items=only,
            exclude_seen=exclude_seen,
            exclude_items=(one.user_id,) if people else (),
            now=now(history_of(engine.bundle, one.user_id) if given is None else given),
        )
        yield ask(UserInput(one.user_id, given=given), request)


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


def asked_users(said: str, bundle: Bundle) -> list[Whom]:
    """Whom to answer: `all` of the bundle, or those of a file, each once in each context that the file names."""
    if said == "all":
        return [Whom(name) for name in bundle.users.names]
    path, sources = Path(said), ContextReader(bundle.spec, bundle.manifest.recipe).sources
    if _is_text(path):
        return [Whom(one) for one in id_list(path, "user", bundle)]
    table, users = _id_table(path, "user", bundle)
    columns = {name: texts(table[name]) for name in sources if name in table.column_names}
    found = dict.fromkeys(zip(users, *columns.values(), strict=True))
    return [
        Whom(one, {name: value for name, value in zip(columns, values, strict=True) if value is not None})
        for one, *values in found
    ]


def id_list(path: Path, role: str, bundle: Bundle) -> list[str]:
    """Distinct ids of a file, in its order: a table with a column of that role, or plain text with one id a line."""
    if not _is_text(path):
        return list(dict.fromkeys(_id_table(path, role, bundle)[1]))
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(str(path), str(error), "give a readable file with one id a line") from None
    return list(dict.fromkeys(one for one in lines if one))


def _is_text(path: Path) -> bool:
    return path.suffix in ("", ".txt")


def _id_table(path: Path, role: str, bundle: Bundle) -> "tuple[pa.Table, list[str]]":
    """A table, and its column of a role as ids, one a row."""
    roles = Roles.of(bundle)
    table = read_table(path, roles.ids())
    name = first_name(table, roles.names(role), f"{role} column", path)
    known, rows = ids(table[name], f"{path}: {name}")
    return table, [known[row] for row in rows.tolist()]


@dataclass
class Collected:
    """Answers as columns."""

    tasks: Sequence[str]
    whom: list[Whom] = field(default_factory=list)
    lists: list[Ranked] = field(default_factory=list)

    def add(self, whom: Whom, ranked: Ranked) -> None:
        """The list of one of those that were asked for."""
        self.whom.append(whom)
        self.lists.append(ranked)

    def __len__(self) -> int:
        return sum(len(one) for one in self.lists)

    def columns(self) -> dict[str, Any]:
        """user_id, the context where one was given, item_id, rank, score, a column a task; one row an answered item."""
        given = dict.fromkeys(name for one in self.whom for name in one.context)
        sizes = [len(one) for one in self.lists]
        values = np.concatenate([np.empty((0, len(self.tasks)), np.float32), *(one.values for one in self.lists)])
        return {
            "user_id": np.repeat(np.asarray([one.user_id for one in self.whom], object), sizes),
            **{
                name: np.repeat(np.asarray([one.context.get(name) for one in self.whom], object), sizes)
                for name in given
            },
            "item_id": [item_id for one in self.lists for item_id in one.item_ids],
            "rank": _counts(sizes),
            "score": np.concatenate([np.empty(0), *(one.scores for one in self.lists)]),
            **{name: values[:, place] for place, name in enumerate(self.tasks)},
        }


def _counts(sizes: Sequence[int]) -> NDArray[np.int32]:
    """1, 2, … within each list, int32 [sum of sizes]."""
    return np.concatenate([np.empty(0, np.int32), *(np.arange(1, size + 1, dtype=np.int32) for size in sizes)])
