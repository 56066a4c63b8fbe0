"""The feature spec of a data set, with vocabularies of the training part only; whole tables encoded by it."""

from collections.abc import Callable, Mapping, Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from model.config import Entities, Recipe, Task, Training
from model.data.log import MISSING, TRAIN, Dataset, Log, Records
from model.features.spec import (
    UNKNOWN,
    AttributeSpec,
    ChannelSpec,
    ContextSpec,
    FeatureSpec,
    TaskSpec,
    Values,
    plain,
)  # fmt: skip

BINS = 10  # of a numeric attribute
BULK, FAR_OUT = (0.05, 0.95), 10  # quantiles of event values, and how much wider than them a range is no scale
PARTS = (TRAIN,)


def build_spec(
    recipe: Recipe,
    dataset: Dataset,
    channels: Sequence[ChannelSpec] | None = None,
    text_dim: int = 384,
    parts: tuple[int, ...] = PARTS,
) -> FeatureSpec:
    """Vocabularies, sizes and orders of a data set under a recipe.

    `channels` default to those of `default_channels`; `parts` are the parts of the log that vocabularies come from
    (train; train and valid when a model is fitted again on both).
    """
    training, log, asked = recipe.training, dataset.log.part(*parts), dataset.impressions.part(*parts)
    attributes = _attributes(recipe.items, dataset.item_records, np.unique(log.item), training.max_values)
    profile = _attributes(recipe.users, dataset.user_records, np.unique(log.user), training.max_values)
    low, high = _value_range(log)
    return FeatureSpec(
        event_types=dataset.event_types,
        tasks=_tasks(recipe, np.concatenate([log.labels, asked.labels])),
        text_fields=recipe.items.text if recipe.items else (),
        attributes=attributes,
        profile=profile,
        context=_context(dataset, np.concatenate([log.context, asked.context]), training.max_values),
        dim=training.dim,
        text_dim=text_dim,
        graph_dim=training.graph_dim,
        max_attributes=_width(attributes, dataset.item_records, training.max_attributes),
        max_profile=_width(profile, dataset.user_records, training.max_attributes),
        history_length=training.history,
        rank_history=training.rank_history,
        value_low=low,
        value_high=high,
        valued=bool(np.nanmin(log.value, initial=np.inf) < np.nanmax(log.value, initial=-np.inf)),
        own_contexts=bool(dataset.context_names),
        channels=tuple(channels) if channels is not None else default_channels(training, dataset),
    )


def default_channels(training: Training, dataset: Dataset) -> tuple[ChannelSpec, ...]:
    """The recall channels that are enabled and have what they need (a graph, content), as the recipe sets them."""
    records = dataset.item_records
    told = dataset.graph or (training.text and records.text) or (training.attributes and records.values)
    graph, content = (["graph"] if dataset.graph else []), (["content"] if told else [])
    names = ["tower", "cooccurrence", "ease", *graph, *content]
    return tuple(channel_spec(name, training) for name in names if training.channel(name).enabled)


def channel_spec(name: str, training: Training) -> ChannelSpec:
    """One channel as the recipe sets it."""
    one = training.channel(name)
    kind: Literal["tower", "neighbours"] = "tower" if name == "tower" else "neighbours"
    return ChannelSpec(name=name, kind=kind, decay=one.decay, depth=one.depth, size=one.size)


def _attributes(
    declared: Entities | None, records: Records, rows: NDArray[np.int64], most: int
) -> tuple[AttributeSpec, ...]:
    """Attributes with values seen among `rows` and ids that run on from one attribute to the next."""
    if declared is None:
        return ()
    found: list[AttributeSpec] = []
    offset = 1
    for name in declared.attributes:
        column = [records.values[name][row] for row in rows.tolist()]
        found.append(_attribute(name, _kind(declared, name), column, offset, most))
        offset += found[-1].size
    return tuple(found)


def _kind(declared: Entities, name: str) -> Literal["categorical", "multi", "numeric"]:
    if name in declared.multi:
        return "multi"
    return "numeric" if name in declared.numeric else "categorical"


def _attribute(
    name: str, kind: Literal["categorical", "multi", "numeric"], column: Sequence[Values], offset: int, most: int
) -> AttributeSpec:
    """An attribute's vocabulary: bins at quantiles, or its `most` most frequent values."""
    if kind == "numeric":
        numbers = np.asarray([value for value in column if isinstance(value, float)])
        edges = np.unique(np.quantile(numbers, np.arange(1, BINS) / BINS)) if len(numbers) else ()
        return AttributeSpec(name=name, kind=kind, edges=tuple(float(edge) for edge in edges), offset=offset)
    return AttributeSpec(name=name, kind=kind, values=_frequent(_flat(column), most), offset=offset)


def _flat(column: Sequence[Values]) -> list[str]:
    """All values of a column as texts, multi-valued ones one by one."""
    spread = (value if isinstance(value, tuple) else (value,) for value in column)
    return [text for values in spread for value in values if (text := plain(value)) is not None]


def _frequent(values: Sequence[str], most: int) -> tuple[str, ...]:
    """Distinct values, most frequent first (then by name), at most `most`."""
    counts: dict[str, int] = {}
    for value in values:
        counts[value] = counts.get(value, 0) + 1
    return tuple(sorted(counts, key=lambda value: (-counts[value], value))[:most])


def _width(attributes: Sequence[AttributeSpec], records: Records, most: int) -> int:
    """Ids that the fullest row takes, from 1 to `most`."""
    if not attributes:
        return 1
    columns = [records.values[one.name] for one in attributes]
    sizes = np.sum([[_count(value) for value in column] for column in columns], axis=0)
    return int(np.clip(sizes.max(initial=1), 1, most))


def _count(value: Values) -> int:
    return 0 if value is None else len(value) if isinstance(value, tuple) else 1


def _context(dataset: Dataset, context: NDArray[np.int64], most: int) -> tuple[ContextSpec, ...]:
    """Context columns with the values that occur in the codes `context` [n, X']."""
    found = []
    for place, (name, values) in enumerate(zip(dataset.context_names, dataset.context_values, strict=True)):
        codes = context[:, place]
        seen = _frequent([values[code] for code in codes[codes != MISSING].tolist()], most)
        found.append(ContextSpec(name=name, values=seen))
    return tuple(found)


def _value_range(log: Log) -> tuple[float, float]:
    """Range of event values; 0 to 1 when there are none or all are equal.

    Where a few lie far out (plays, amounts of money), that of nine in ten: beside the largest all others were nothing.
    """
    known = log.value[~np.isnan(log.value)]
    low, high = (float(known.min()), float(known.max())) if len(known) else (0.0, 1.0)
    bulk = [float(one) for one in np.quantile(known, BULK)] if len(known) else [low, high]
    if bulk[1] > bulk[0] and high - low > FAR_OUT * (bulk[1] - bulk[0]):
        low, high = bulk
    return (low, high) if high > low else (0.0, 1.0)


def _tasks(recipe: Recipe, labels: NDArray[np.float32]) -> tuple[TaskSpec, ...]:
    """Pair tasks with their part in the score and the range of their labels [n, T]."""
    found = []
    for column, task in enumerate(recipe.pair_tasks):
        low, high = _label_range(task, labels[:, column])
        fields = {"name": task.name, "kind": task.kind, "blend": blend_of(recipe, task.name), "low": low, "high": high}
        found.append(TaskSpec.model_validate(fields | {"after": task.after}))
    return tuple(found)


def _label_range(task: Task, labels: NDArray[np.float32]) -> tuple[float, float]:
    """Declared range of a regression or ordinal label, else the one that occurs; 0 to 1 for all other tasks."""
    if task.kind not in ("regression", "ordinal"):
        return 0.0, 1.0
    known = labels[~np.isnan(labels)]
    low, high = (float(known.min()), float(known.max())) if len(known) else (0.0, 1.0)
    low, high = low if task.low is None else task.low, high if task.high is None else task.high
    return (low, high) if high > low else (low, low + 1.0)


def blend_of(recipe: Recipe, name: str) -> float:
    """A task's default weight in the score: `[serving] blend`, else its own, else 1 when no task has any."""
    if recipe.serving.blend:
        return recipe.serving.blend.get(name, 0.0)
    given = {task.name: task.blend for task in recipe.pair_tasks}
    if all(value is None for value in given.values()):
        return 1.0
    return given[name] or 0.0


def attribute_table(spec: FeatureSpec, records: Records, rows: int) -> NDArray[np.int32]:
    """Attribute ids of every item, int32 [rows, A]: `spec.attribute_ids` of each record, at once."""
    return _id_table(spec.attributes, records, rows, spec.max_attributes)


def profile_table(spec: FeatureSpec, records: Records, rows: int) -> NDArray[np.int32]:
    """Profile ids of every user, int32 [rows, P]: `spec.profile_ids` of each record, at once."""
    return _id_table(spec.profile, records, rows, spec.max_profile)


def context_table(spec: FeatureSpec, dataset: Dataset, log: Log) -> NDArray[np.int64]:
    """Context ids of every row of a log, int64 [n, max(1, X)]: `spec.context_ids` of each row's context, at once."""
    if not spec.context:
        return np.full((len(log), 1), UNKNOWN, np.int64)
    columns = []
    for place, column in enumerate(spec.context):
        ids = {value: position + 1 for position, value in enumerate(column.values)}
        known = [ids.get(value, UNKNOWN) for value in dataset.context_values[place]]
        columns.append(np.asarray([*known, UNKNOWN], np.int64)[log.context[:, place]])
    return np.stack(columns, axis=1)


def _id_table(specs: Sequence[AttributeSpec], records: Records, rows: int, width: int) -> NDArray[np.int32]:
    readers = [(records.values[one.name], _reader(one)) for one in specs if one.name in records.values]
    table = np.zeros((rows, width), np.int32)
    for row in range(rows):
        ids = [number for column, read in readers for number in read(column[row])][:width]
        table[row, : len(ids)] = ids
    return table


def _reader(spec: AttributeSpec) -> Callable[[Values], list[int]]:
    """From a value to ids, by dictionary instead of search."""
    ids: Mapping[str | None, int] = {value: spec.offset + place for place, value in enumerate(spec.values)}

    def read(value: Values) -> list[int]:
        if value is None:
            return []
        if spec.kind == "numeric" and isinstance(value, float):
            return [spec.offset + int(np.searchsorted(spec.edges, value, side="right"))]
        many = value if isinstance(value, tuple) else (value,)
        return [ids[text] for one in many if (text := plain(one)) in ids]

    return read
