"""Scenes over the catalogue: of the bundle's items by the mask that is sealed, of run-time items by the rule itself."""

import numpy as np
import pytest

from index.catalogue import Delete, LiveCatalogue, Put
from index.scenes import FILE, open_scenes, scenes_of
from index.view import View
from model.errors import RequestError
from model.features.records import ItemRecord
from tests.bundles import item_record
from tests.pipelines import ITEMS, sealed

COMEDIES = {row for row in range(ITEMS) if item_record(row).attributes["genres"] == ["comedy"]}


def shown(view: View) -> set[str]:
    return {view.id(row) for row in np.flatnonzero(view.scene_mask("comedies")).tolist()}


def put(item_id: str, row: int, genre: str) -> Put:
    bundle = sealed()
    vector = bundle.array("item_features/vectors.npy")[row]
    ids, text = bundle.array("item_features/attributes.npy")[row], bundle.array("item_features/text.npy")[row]
    return Put(item_id, ItemRecord({}, {"genres": [genre]}), vector, ids, text.astype(np.float32))


def test_a_scene_shows_what_its_rule_says() -> None:
    assert shown(LiveCatalogue(sealed()).view) == {f"i{row}" for row in COMEDIES}
    assert sealed().has(FILE)


def test_items_put_at_run_time_belong_where_the_rule_says_now() -> None:
    catalogue = LiveCatalogue(sealed())
    before = shown(catalogue.view)
    catalogue.apply([put("new", 0, "comedy"), put("other", 0, "horror")])
    assert shown(catalogue.view) == before | {"new"}
    changed = next(name for name in sorted(before))
    catalogue.apply([put(changed, 0, "horror"), put("new", 0, "horror"), put("other", 1, "comedy")])
    assert shown(catalogue.view) == before - {changed} | {"other"}
    catalogue.apply([Delete("other")])
    assert not (catalogue.view.scene_mask("comedies") & catalogue.view.visible)[catalogue.view.row("other")]


def test_an_older_view_keeps_its_scenes() -> None:
    catalogue = LiveCatalogue(sealed())
    older = catalogue.view
    catalogue.apply([put("new", 0, "comedy")])
    assert "new" not in shown(older)
    assert len(older.scene_mask("comedies")) == len(older)


def test_a_bundle_that_was_sealed_before_there_were_scenes_shows_the_same() -> None:
    scenes = scenes_of(sealed())
    files = {name: digest for name, digest in sealed().manifest.files.items() if name != FILE}
    before = type(sealed())(sealed().path, sealed().manifest.model_copy(update={"files": files}))
    np.testing.assert_array_equal(open_scenes(before, scenes)["comedies"], open_scenes(sealed(), scenes)["comedies"])


def test_a_scene_suits_the_contexts_of_its_rule() -> None:
    scene = scenes_of(sealed())["comedies"]
    assert scene.suits({"hour": "20"})
    assert not scene.suits({"hour": "9"})
    assert not scene.suits({})


def test_an_unknown_scene_is_refused_by_name() -> None:
    with pytest.raises(RequestError, match="scene: found 'dramas'; known scenes are comedies"):
        LiveCatalogue(sealed()).view.scene_mask("dramas")
