"""Scenes: the shelves that a recipe declares, each a rule over items and one over the context that it suits."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from index.backends import Mask
from model.bundle import Bundle
from model.config import Scene
from model.features.records import ItemRecord
from model.features.rules import Rule, parse_rule

FILE = "filters/scenes.npy"


@dataclass(frozen=True, slots=True)
class SceneRules:
    """Which items a scene shows, and which contexts it suits (None: any)."""

    items: Rule
    when: Rule | None

    def shows(self, item_id: str, record: ItemRecord) -> bool:
        """Whether an item belongs here."""
        return self.items.holds({**record.text, **record.attributes, "item_id": item_id})

    def suits(self, context: Mapping[str, str]) -> bool:
        """Whether this is a scene for a context, as the vocabulary spells it."""
        return self.when is None or self.when.holds(context)


def scenes_of(bundle: Bundle) -> dict[str, SceneRules]:
    """The scenes of a bundle's recipe, by name."""
    told = bundle.manifest.recipe.get("scenes") or {}
    declared = {name: Scene.model_validate(one) for name, one in told.items()} if isinstance(told, dict) else {}
    return {
        name: SceneRules(parse_rule(one.items), None if one.when is None else parse_rule(one.when))
        for name, one in declared.items()
    }


def scene_masks(scenes: Mapping[str, SceneRules], items: Iterable[tuple[str, ItemRecord]], size: int) -> Mask:
    """Which of `size` items each scene shows, bool [scenes, size]."""
    masks = np.zeros((len(scenes), size), np.bool_)
    for row, (item_id, record) in enumerate(items if scenes else ()):
        masks[:, row] = [scene.shows(item_id, record) for scene in scenes.values()]
    return masks


def write_scenes(folder: Path, bundle: Bundle, records: Sequence[ItemRecord]) -> None:
    """Write the masks of a bundle's items; nothing where the recipe has no scenes."""
    if scenes := scenes_of(bundle):
        np.save(folder / FILE, scene_masks(scenes, zip(bundle.items.names, records, strict=True), len(records)))


def open_scenes(bundle: Bundle, scenes: Mapping[str, SceneRules]) -> Mapping[str, Mask]:
    """The mask of each scene, memory-mapped; made now for a bundle that was sealed before there were any."""
    if bundle.has(FILE):
        masks = bundle.array(FILE)
    else:
        told = ((name, bundle.item_record(row)) for row, name in enumerate(bundle.items.names))
        masks = scene_masks(scenes, told, len(bundle.items))
    return dict(zip(scenes, masks, strict=True))
