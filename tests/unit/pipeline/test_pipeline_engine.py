"""The engine's answers: filters, exclusions, fallback, explanations, refusals."""

from typing import Any

import numpy as np
import pytest

from app.pipeline.answer import Reason
from app.pipeline.request import RecommendRequest, SessionEvent
from app.pipeline.rerank import item_similarity
from app.pipeline.settings import EngineSettings
from app.pipeline.user import UserInput
from model.errors import RequestError
from tests.bundles import item_record
from tests.pipelines import ITEMS, NOW, make_engine, put, recommend, sealed, seen_of, shared_engine


def test_an_unknown_user_gets_what_is_popular_and_that_is_marked() -> None:
    found = recommend(shared_engine(), "nobody-knows", n=10)
    assert found.fallback == "popular"
    assert len(found) == 10
    assert {name for names in found.channels for name in names} <= {"popular", "fresh"}


def test_context_moves_the_popular_list() -> None:
    engine = make_engine(popular=15, fresh=0)
    mobile = recommend(engine, None, n=15, context={"device": "mobile"})
    desktop = recommend(engine, None, n=15, context={"device": "desktop"})
    assert set(mobile.item_ids) != set(desktop.item_ids)


def test_a_session_or_a_profile_is_personal() -> None:
    engine = shared_engine()
    assert recommend(engine, None, history=[SessionEvent("i3", "like")]).fallback is None
    assert recommend(engine, "u19").fallback is None  # no history, but a profile
    assert recommend(engine, "u1").fallback is None


def test_hidden_and_deleted_items_are_never_answered() -> None:
    engine = make_engine()
    first, second, *_ = recommend(engine, n=60).item_ids
    engine.catalogue.hide(first)
    engine.catalogue.delete(second)
    for query in (None, "quiet comedy"):
        assert not {first, second} & set(recommend(engine, n=60, query=query).item_ids)
    assert not {first, second} & set(engine.popular(RecommendRequest(n=60, now=NOW)).item_ids)


def test_a_new_item_is_offered_as_fresh_and_ranked_by_the_same_heads() -> None:
    engine = make_engine()
    put(engine, "brand-new", "quiet garden comedy", genres=["comedy"])
    found = recommend(engine, n=60)
    place = found.item_ids.index("brand-new")
    assert "fresh" in found.channels[place]
    assert np.isfinite(found.values[place]).all()


def test_only_items_limits_the_answer() -> None:
    only = ("i1", "i57", "nowhere", "i59")
    found = recommend(shared_engine(), exclude_seen=False, only_items=only)
    assert set(found.item_ids) == {"i1", "i57", "i59"}


def test_quotas_silence_a_channel() -> None:
    found = recommend(make_engine(quotas={"popular": 0, "fresh": 0, "graph": 0}), n=20)
    assert {name for names in found.channels for name in names} <= {"tower", "cooccurrence"}


def test_few_candidates_still_fill_a_long_list() -> None:
    engine = make_engine(candidates=3)
    assert len(recommend(engine, n=30)) == 30


def test_a_tower_quota_does_not_keep_the_list_short() -> None:
    engine = make_engine(quotas={"tower": 1, "popular": 1, "fresh": 0, "graph": 0, "cooccurrence": 0})
    assert len(recommend(engine, n=30)) == 30


def test_the_bundles_diversity_is_used_when_none_is_asked() -> None:
    varied, plain = make_engine(diversity=0.9), make_engine()
    assert recommend(varied, n=20).item_ids == recommend(plain, n=20, diversity=0.9).item_ids
    assert recommend(varied, n=20, diversity=0.0).item_ids == recommend(plain, n=20).item_ids


def test_diversity_shows_what_differs() -> None:
    engine = shared_engine()

    def alike(diversity: float) -> float:
        found = recommend(engine, n=5, diversity=diversity, exclude_seen=False)
        rows = np.asarray([engine.catalogue.row(one) for one in found.item_ids])
        return float(item_similarity(engine.catalogue, rows).mean())

    assert alike(1.0) < alike(0.5) < alike(0.0)


def reasons(**asked: Any) -> dict[str, tuple[Reason, ...]]:
    found = recommend(shared_engine(), n=10, explain=True, **asked)
    assert found.reasons is not None
    return dict(zip(found.item_ids, found.reasons, strict=True))


def test_reasons_name_a_history_item_what_is_shared_channels_and_tasks() -> None:
    seen = seen_of("u1")
    kinds: set[str] = set()
    for item_id, why in reasons().items():
        kinds |= {one.kind for one in why}
        assert [one.facts["task"] for one in why if one.kind == "task"] == ["interest", "like", "rating"]
        for one in why:
            if one.kind == "because":
                assert one.facts["item_id"] in seen
                assert one.text == f"because of your {said(one)} of {one.facts['title']}"
                assert float(one.facts.get("value", 5.0)) >= 3
            if one.kind == "attribute" and one.facts["attribute"] == "genres":
                assert one.facts["values"] == item_record(int(item_id[1:])).attributes["genres"][0]  # type: ignore[index]  # a list
    assert kinds == {"because", "attribute", "channel", "task"}


def said(reason: Reason) -> str:
    value = reason.facts.get("value")
    return str(reason.facts["event"]) if value is None else f"{reason.facts['event']} {value}"


def test_without_a_history_there_is_no_because() -> None:
    assert {one.kind for why in reasons(user_id="nobody-knows").values() for one in why} == {"channel", "task"}


def test_reasons_only_when_asked() -> None:
    assert recommend(shared_engine()).reasons is None


def test_an_answer_with_nothing_allowed_is_empty() -> None:
    found = recommend(shared_engine(), only_items=(), explain=True)
    assert len(found) == 0
    assert found.reasons == ()


def test_scores_of_pairs_are_those_of_the_list() -> None:
    engine, request = shared_engine(), RecommendRequest(user_id="u1", now=NOW)
    found = engine.recommend(UserInput("u1"), request)
    np.testing.assert_allclose(engine.score(UserInput("u1"), request, found.item_ids), found.values, atol=2e-5)


def test_pairs_with_unknown_items_are_refused() -> None:
    with pytest.raises(RequestError, match=r"item_id: found 'nowhere'; ask for items of the catalogue"):
        shared_engine().score(UserInput("u1"), RecommendRequest(now=NOW), ["i1", "nowhere"])


def test_unknown_tasks_and_attributes_are_refused() -> None:
    with pytest.raises(RequestError, match=r"task_weights: found 'buy'; known tasks are interest, like, rating"):
        recommend(shared_engine(), task_weights={"buy": 1})
    with pytest.raises(RequestError, match=r"filter attribute: found 'colour'"):
        recommend(shared_engine(), include={"colour": ["red"]})


def test_the_cheap_path_is_full_and_marked() -> None:
    engine = shared_engine()
    found = engine.popular(RecommendRequest(n=60, now=NOW, explain=True))
    assert len(set(found.item_ids)) == ITEMS
    assert found.fallback == "popular"
    assert (np.diff(found.scores) <= 0).all()
    assert ((found.scores > 0) & (found.scores < 1)).all()
    assert found.values.shape == (ITEMS, 0)
    assert found.reasons == ((),) * ITEMS
    assert len(engine.popular(RecommendRequest(n=5, now=NOW))) == 5


def test_settings_are_read_from_the_recipe() -> None:
    assert EngineSettings.of_bundle(sealed()) == EngineSettings()
    recipe: dict[str, Any] = {
        **sealed().manifest.recipe,
        "serving": {"candidates": 50, "seen": ["like"], "quotas": {"graph": 3}},
    }
    bundle = type(sealed())(sealed().path, sealed().manifest.model_copy(update={"recipe": recipe}))
    told = EngineSettings.of_bundle(bundle, "auto")
    assert (told.candidates, told.seen, told.quotas, told.device) == (50, ("like",), {"graph": 3}, "auto")
