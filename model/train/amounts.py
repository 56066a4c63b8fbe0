"""Quality by how much is known: of a user (histories cut to their newest events), of an item (events in training)."""

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

from model.events import History
from model.train import metrics
from model.train.moments import PAD, Moments, Windows

KNOWN = (0, 1, 2, 5, 10, 50)  # events told of a user
MOMENTS = 250  # moments asked at each of them
FEWEST, SHARE = 40, 0.2  # moments with so long a history that there must be: in number, and of all
EVENTS = (0, 1, 5, 20, 100, 500)  # lower ends of the classes of items
Figures = dict[str, dict[str, float]]
Ranks = Callable[[Moments, NDArray[np.int64]], NDArray[np.int64]]


class Told(Moments):
    """Some rows of other moments, asked once for each number of events that are told of the user.

    Row i is the row `source[i]` of `whole` with only its newest `most[i]` events (both int64 [n]). What the user had
    before those still counts as had and is in no list: lists differ by what is known, not by what they may hold.
    """

    def __init__(self, whole: Moments, source: NDArray[np.int64], most: NDArray[np.int64]) -> None:
        vars(self).update(vars(whole))
        self.whole, self.source, self.most = whole, source, most
        self.log, self.place = whole.log.take(source), np.minimum(whole.place[source], most)

    def now(self, rows: NDArray[np.int64]) -> NDArray[np.float64]:
        """As of `Moments`; where time is hidden and no event is told, there is none."""
        told = self.whole.now(self.source[rows])
        return told if self.timed else np.where(self.most[rows] > 0, told, np.nan)

    def history(self, row: int) -> History:
        """The newest events that are told, oldest first."""
        return self.whole.history(int(self.source[row])).last(int(self.most[row]))

    def had(self, row: int) -> NDArray[np.int64]:
        """Rows of all items that the user had, told or not."""
        return self.whole.had(int(self.source[row]))

    def windows(self, rows: NDArray[np.int64], length: int) -> Windows:
        """The newest `length` of the events that are told."""
        found = self.whole.windows(self.source[rows], length)
        told = np.arange(length, 0, -1) <= self.most[rows][:, None]
        return Windows(
            np.where(told, found.rows, PAD),
            np.where(told, found.types, 0),
            np.where(told, found.values, np.float32(0.0)),
            np.where(told, found.gaps, 0),
        )


def by_known(
    moments: Moments, rows: NDArray[np.int64], systems: Mapping[str, Ranks], generator: np.random.Generator
) -> Figures:
    """Events told → NDCG@10 and HR@10 of each system, always at the same moments (a sample of the log's `rows`).

    The moments are those with enough history for the largest number told; numbers that too few reach are left out.
    """
    lengths = moments.place[rows]
    enough = max(FEWEST, SHARE * len(rows))
    told = np.asarray([most for most in KNOWN if (lengths >= most).sum() >= enough], np.int64)
    some = rows[lengths >= told.max(initial=0)]
    some = np.sort(generator.permutation(some)[:MOMENTS])
    if not len(told):
        return {}
    asked = Told(moments, np.repeat(some, len(told)), np.tile(told, len(some)))  # in time order: counters move on once
    reached = {name: ranks(asked, np.arange(len(asked.source))) for name, ranks in systems.items()}
    return {
        str(most): _at(reached, asked.most == most) | {"moments": float(len(some))} for most in told.tolist()
    }  # fmt: skip


def _at(reached: Mapping[str, NDArray[np.int64]], here: NDArray[np.bool_]) -> dict[str, float]:
    found: dict[str, float] = {}
    for name, ranks in reached.items():
        found |= {f"{name} ndcg@10": metrics.ndcg(ranks[here]), f"{name} hr@10": metrics.hit_rate(ranks[here])}
    return found


def event_class(counts: NDArray[np.int64]) -> NDArray[np.int64]:
    """Which class of EVENTS numbers of events fall into; any shape."""
    return np.searchsorted(np.asarray(EVENTS), counts, side="right") - 1


def class_names() -> list[str]:
    """The classes as people read them: 0, 1–4, …, 500+."""
    ends = [*EVENTS[1:], None]
    return [_class_name(low, end) for low, end in zip(EVENTS, ends, strict=True)]


def _class_name(low: int, end: int | None) -> str:
    if end is None:
        return f"{low}+"
    return str(low) if end == low + 1 else f"{low}–{end - 1}"


def by_item_events(
    counts: NDArray[np.int64],
    taken: NDArray[np.int64],
    ranks: Mapping[str, NDArray[np.int64]],
    judged: Mapping[str, tuple[NDArray[np.int64], NDArray[np.float32], NDArray[np.float32]]],
) -> Figures:
    """Class of items → Recall@50 where the user took one of them, and AUC of the binary tasks on them.

    counts int64 [N]: events of each item in training · taken int64 [S] and ranks (system → int64 [S]): the moments ·
    judged: task → (items, labels, probabilities), each [n].
    """
    found: Figures = {}
    mine = event_class(counts[taken])
    for place, name in enumerate(class_names()):
        here = mine == place
        figures = {"moments": float(here.sum())}
        for system, reached in ranks.items():
            figures |= {f"{system} recall@50": metrics.hit_rate(reached[here], 50)} if here.any() else {}
        figures |= {f"auc {task}": value for task, value in _areas(counts, judged, place).items()}
        if len(figures) > 1:
            found[name] = figures
    return found


def _areas(
    counts: NDArray[np.int64],
    judged: Mapping[str, tuple[NDArray[np.int64], NDArray[np.float32], NDArray[np.float32]]],
    place: int,
) -> dict[str, float]:
    """AUC of each task on items of one class, where both labels are there."""
    found = {}
    for task, (items, truth, said) in judged.items():
        here = event_class(counts[items]) == place
        area = metrics.auc(truth[here], said[here])
        if not np.isnan(area):
            found[task] = area
    return found
