"""`polyrank recommend` and `polyrank score` from the command line to the file, equal to the engine of the service."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet

from app.batch.tables import read_table, write_table
from app.cli import main
from app.pipeline.request import RecommendRequest
from app.pipeline.scenes import scene_score
from app.pipeline.user import UserInput
from model.events import Event, History
from tests.bundles import START
from tests.pipelines import COLD, ITEMS, NOW, make_engine, put, sealed, sealed_path, seen_of, shared_engine

TASKS = ["interest", "like", "rating"]


def polyrank(*arguments: object) -> int:
    return main([str(one) for one in arguments])


def recommended(tmp_path: Path, *arguments: object) -> pa.Table:
    out = tmp_path / "lists.parquet"
    assert polyrank("recommend", sealed_path(), "--out", out, *arguments) == 0
    return parquet.read_table(out)


def scored(tmp_path: Path, pairs: dict[str, Any], *arguments: object) -> pa.Table:
    write_table(tmp_path / "pairs.parquet", pairs)
    out = tmp_path / "scores.parquet"
    assert polyrank("score", sealed_path(), "--pairs", tmp_path / "pairs.parquet", "--out", out, *arguments) == 0
    return parquet.read_table(out)


def values(table: pa.Table) -> np.ndarray[Any, Any]:
    return np.column_stack([table[name].to_numpy() for name in TASKS])


def by_clock(time: float) -> list[int]:
    """Context ids of a moment of which only the clock tells: no device, the hour."""
    return [0, 1 + int(time // 3600) % 24]


def whole_log() -> dict[str, list[Any]]:
    """The log that the bundle was made from, in the service's words, oldest first."""
    bundle, rows = sealed(), []
    for user in range(len(bundle.users)):
        history = bundle.user_history(user)
        for row, kind, value, time in zip(
            history.rows.tolist(), history.types.tolist(), history.values.tolist(), history.times.tolist(), strict=True
        ):
            rows.append((time, f"u{user}", f"i{row}", bundle.spec.event_types[kind - 1], value))
    rows.sort()
    columns = list(zip(*rows, strict=True))
    return dict(zip(("timestamp", "user_id", "item_id", "type", "value"), map(list, columns), strict=True))


def test_scenes_are_those_of_the_engine_in_each_users_context(tmp_path: Path) -> None:
    write_table(tmp_path / "who.csv", {"user_id": ["u1", "u2", "u1"], "hour": ["20", "20", "9"]})
    table = recommended(tmp_path, "--users", tmp_path / "who.csv", "--target", "scene", "--n", 3, "--now", NOW)
    told = table.select(["user_id", "item_id", "rank"]).to_pylist()
    assert told == [{"user_id": name, "item_id": "comedies", "rank": 1} for name in ("u1", "u2")]
    request = RecommendRequest(user_id="u1", scene="comedies", n=10, context={"hour": "20"}, now=NOW)
    alone = make_engine().recommend(UserInput("u1"), request)
    assert table["score"][0].as_py() == pytest.approx(scene_score(alone.scores.tolist()))
    np.testing.assert_allclose(values(table)[0], alone.values[:5].mean(axis=0), rtol=1e-5)


def test_lists_are_those_of_the_engine(tmp_path: Path) -> None:
    table = recommended(tmp_path, "--users", "all", "--n", 7)
    assert table.column_names == ["user_id", "item_id", "rank", "score", *TASKS]
    assert table["rank"].to_pylist() == list(range(1, 8)) * 20
    assert table["user_id"].to_pylist() == [f"u{row}" for row in range(20) for _ in range(7)]
    for user in (0, 7, 19):
        history, mine = sealed().user_history(user), table.slice(7 * user, 7)
        now = float(history.times[-1]) if len(history) else float("nan")
        request = RecommendRequest(user_id=f"u{user}", n=7, now=now)
        ranked = shared_engine().recommend(UserInput(f"u{user}"), request)
        assert tuple(mine["item_id"].to_pylist()) == ranked.item_ids
        np.testing.assert_array_equal(mine["score"].to_numpy(), ranked.scores)
        np.testing.assert_array_equal(values(mine), ranked.values)


def test_a_batch_equals_single_requests(tmp_path: Path) -> None:
    together = recommended(tmp_path, "--users", "all", "--n", 5)
    (tmp_path / "one.txt").write_text("u7", encoding="utf-8")
    assert recommended(tmp_path, "--users", tmp_path / "one.txt", "--n", 5).equals(together.slice(35, 5))


def test_lists_in_a_context_that_keep_what_was_seen(tmp_path: Path) -> None:
    write_table(tmp_path / "users.csv", {"user_id": ["u3", "u3"], "device": ["mobile", "desktop"]})
    table = recommended(tmp_path, "--users", tmp_path / "users.csv", "--n", 30, "--seen", "keep", "--now", NOW)
    assert table.column_names == ["user_id", "device", "item_id", "rank", "score", *TASKS]
    had = set(sealed().user_history(3).rows.tolist())
    for place, device in enumerate(("mobile", "desktop")):
        mine = table.slice(30 * place, 30)
        assert mine["device"].to_pylist() == [device] * 30
        request = RecommendRequest(user_id="u3", n=30, now=NOW, context={"device": device}, exclude_seen=False)
        ranked = shared_engine().recommend(UserInput("u3"), request)
        assert tuple(mine["item_id"].to_pylist()) == ranked.item_ids
        np.testing.assert_array_equal(mine["score"].to_numpy(), ranked.scores)
        offered = {item for item, by in zip(ranked.item_ids, ranked.channels, strict=True) if "again" in by}
        assert offered
        assert offered <= {f"i{row}" for row in had}


def test_users_that_nobody_knows_are_answered(tmp_path: Path) -> None:
    (tmp_path / "users.txt").write_text("stranger\nu3\n", encoding="utf-8")
    table = recommended(tmp_path, "--users", tmp_path / "users.txt", "--n", 4)
    assert table["user_id"].to_pylist() == ["stranger"] * 4 + ["u3"] * 4


def test_a_moment_can_be_chosen(tmp_path: Path) -> None:
    lists = [
        values(recommended(tmp_path, "--users", "all", "--n", 5, *now))
        for now in ((), ("--now", "last"), ("--now", NOW), ("--now", "now"))
    ]
    np.testing.assert_array_equal(lists[0], lists[1])
    assert not np.array_equal(lists[0], lists[2])
    assert not np.array_equal(lists[2], lists[3])


def test_only_these_items(tmp_path: Path) -> None:
    write_table(tmp_path / "items.csv", {"item_id": [f"i{row}" for row in range(ITEMS - COLD, ITEMS)]})
    table = recommended(tmp_path, "--users", "all", "--n", 60, "--items", tmp_path / "items.csv")
    assert set(table["item_id"].to_pylist()) == {f"i{row}" for row in range(ITEMS - COLD, ITEMS)}
    assert len(table) == 20 * COLD


def test_lists_longer_than_a_request_may_be(tmp_path: Path) -> None:
    table = recommended(tmp_path, "--users", "all", "--n", 500)
    for user, size in zip(*np.unique(table["user_id"].to_pylist(), return_counts=True), strict=True):
        assert size == ITEMS - len(seen_of(str(user)))


def test_histories_of_a_log_replace_the_bundles(tmp_path: Path) -> None:
    write_table(
        tmp_path / "events.csv",
        {"user_id": ["u1", "new"], "item_id": ["i3", "i4"], "type": ["like", "view"], "timestamp": [NOW, NOW + 1]},
    )
    (tmp_path / "users.txt").write_text("u1\nnew\nu2\n", encoding="utf-8")
    table = recommended(
        tmp_path, "--users", tmp_path / "users.txt", "--n", 60, "--events", tmp_path / "events.csv"
    ).to_pandas()
    lists = {user: set(rows["item_id"]) for user, rows in table.groupby("user_id")}
    everything = {f"i{row}" for row in range(ITEMS)}
    assert lists["u1"] == everything - {"i3"}
    assert lists["new"] == everything - {"i4"}
    assert lists["u2"] == everything - seen_of("u2")
    engine = make_engine()
    engine.apply_events([Event("", "like", "u1", "i3", NOW), Event("", "view", "new", "i4", NOW + 1)])
    given = History.of([3], [2], [np.nan], [NOW], [by_clock(NOW)])
    alone = engine.recommend(UserInput("u1", given=given), RecommendRequest(user_id="u1", n=60, now=NOW))
    assert table[table.user_id == "u1"]["item_id"].tolist() == list(alone.item_ids)


def test_a_log_without_times_is_read_in_its_order(tmp_path: Path) -> None:
    write_table(tmp_path / "events.csv", {"user_id": ["a", "a"], "item_id": ["i3", "i4"], "type": ["like", "view"]})
    (tmp_path / "users.txt").write_text("a", encoding="utf-8")
    table = recommended(tmp_path, "--users", tmp_path / "users.txt", "--n", 60, "--events", tmp_path / "events.csv")
    given = History.of([3, 4], [2, 1], [np.nan] * 2, [np.nan] * 2)
    request = RecommendRequest(user_id="a", n=60, now=float("nan"))
    assert table["item_id"].to_pylist() == list(make_engine().recommend(UserInput("a", given=given), request).item_ids)
    assert set(table["item_id"].to_pylist()) == {f"i{row}" for row in range(ITEMS)} - {"i3", "i4"}
    pairs = {"user_id": ["a"], "item_id": ["i1"]}
    found = values(scored(tmp_path, pairs, "--events", tmp_path / "events.csv"))
    assert np.isfinite(found).all()


def test_scores_of_pairs_are_those_of_the_engine(tmp_path: Path) -> None:
    users, items = ["u1", "u2", "u1", "stranger"], ["i3", "i3", "i59", "i1"]
    pairs = {"user_id": users, "item_id": items, "timestamp": [NOW] * 4}
    table = scored(tmp_path, {**pairs, "row_id": [4, 3, 2, 1], "like": [1, 0, 1, 0], "device": ["mobile"] * 4})
    assert table.column_names == ["user_id", "item_id", "timestamp", "row_id", "device", *TASKS]
    assert table["row_id"].to_pylist() == [4, 3, 2, 1]
    for place, (user, item) in enumerate(zip(users, items, strict=True)):
        request = RecommendRequest(user_id=user, now=NOW, context={"device": "mobile"})
        alone = shared_engine().score(UserInput(user), request, [item])
        np.testing.assert_allclose(values(table)[place], alone[0], atol=2e-5)


def test_scores_know_only_what_came_before(tmp_path: Path) -> None:
    """Each pair as if the service had stood at its moment: history and counters from the log, strictly before."""
    log = whole_log()
    write_table(tmp_path / "events.parquet", log)
    asked = list(range(0, len(log["user_id"]), 37))
    pairs = {
        "user": [log["user_id"][place] for place in asked],
        "item": [log["item_id"][place] for place in asked],
        "time": [log["timestamp"][place] for place in asked],
    }
    found = values(scored(tmp_path, pairs, "--events", tmp_path / "events.parquet"))
    rows = sealed().items.rows(log["item_id"])
    kinds = [sealed().spec.type_id(one) for one in log["type"]]
    for number, place in enumerate(asked):
        engine, now = make_engine(), log["timestamp"][place]
        before = [at for at, time in enumerate(log["timestamp"]) if time < now]
        counters = type(engine.live.counters).empty(ITEMS, 3, sealed().spec.half_lives)
        for at in before:
            counters.add(rows[at], kinds[at], log["timestamp"][at], log["value"][at])
        counters.contexts, engine.live.counters = engine.live.counters.contexts, counters
        mine = [at for at in before if log["user_id"][at] == log["user_id"][place]]
        told = [[column[at] for at in mine] for column in (rows, kinds, log["value"], log["timestamp"])]
        clock = np.reshape([by_clock(time) for time in told[3]], (-1, 2)).astype(np.int64)
        given = History.of(told[0], told[1], told[2], told[3], clock)
        request = RecommendRequest(user_id=log["user_id"][place], now=now)
        alone = engine.score(UserInput(request.user_id, given=given), request, [log["item_id"][place]])
        np.testing.assert_allclose(found[number], alone[0], atol=2e-5)


def test_the_future_changes_no_score(tmp_path: Path) -> None:
    log, half = whole_log(), START + 15 * 86400
    past = {
        name: [one for one, time in zip(column, log["timestamp"], strict=True) if time < half]
        for name, column in log.items()
    }
    pairs = {"user_id": ["u1", "u2", "u3"], "item_id": ["i1", "i2", "i3"], "timestamp": [half] * 3}
    write_table(tmp_path / "whole.parquet", log)
    write_table(tmp_path / "past.parquet", past)
    whole, cut = (values(scored(tmp_path, pairs, "--events", tmp_path / f"{one}.parquet")) for one in ("whole", "past"))
    np.testing.assert_array_equal(whole, cut)


def test_items_that_nobody_knows_are_scored_by_their_counters(tmp_path: Path) -> None:
    write_table(
        tmp_path / "events.csv",
        {
            "user_id": [f"u{row}" for row in range(10)],
            "item_id": ["hot"] * 10,
            "type": ["view"] * 10,
            "timestamp": [NOW] * 10,
        },
    )
    pairs = {"user_id": ["u1"] * 3, "item_id": ["hot", "quiet", "calm"], "timestamp": [NOW + 60] * 3}
    found = values(scored(tmp_path, pairs, "--events", tmp_path / "events.csv"))
    assert np.isfinite(found).all()
    assert not np.allclose(found[0], found[1])
    np.testing.assert_allclose(found[1], found[2], atol=2e-5)


def test_pairs_without_time_use_everything_the_log_holds(tmp_path: Path) -> None:
    write_table(tmp_path / "events.csv", {"user_id": ["u1"], "item_id": ["i3"], "type": ["like"], "timestamp": [NOW]})
    pairs = {"user_id": ["u1"], "item_id": ["i1"]}
    with_log = values(scored(tmp_path, pairs, "--events", tmp_path / "events.csv"))
    assert not np.allclose(with_log, values(scored(tmp_path, pairs)))


def test_csv_in_csv_out(tmp_path: Path) -> None:
    (tmp_path / "pairs.csv").write_text("user,item,row_id\nu1,i3,9\n", encoding="utf-8")
    assert polyrank("score", sealed_path(), "--pairs", tmp_path / "pairs.csv", "--out", tmp_path / "s.csv") == 0
    table = read_table(tmp_path / "s.csv")
    assert table.column_names == ["user", "item", "row_id", *TASKS]
    assert table["row_id"].to_pylist() == [9]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("recommend", "BUNDLE", "--users", "all", "--out", "x.xlsx"), "name it .parquet, .csv or .tsv"),
        (("recommend", "BUNDLE", "--users", "gone.csv", "--out", "x.csv"), "gone.csv: found 'no such file'"),
        (("recommend", "BUNDLE", "--users", "all", "--out", "x.csv", "--now", "soon"), "--now: found 'soon'"),
        (("recommend", "BUNDLE", "--users", "all", "--out", "x.csv", "--target", "user"), "no links between users"),
        (("recommend", "nowhere", "--users", "all", "--out", "x.csv"), "nowhere"),
        (("score", "BUNDLE", "--pairs", "gone.csv", "--out", "x.csv"), "gone.csv: found 'no such file'"),
    ],
)
def test_what_cannot_be_done_is_one_line(
    arguments: tuple[str, ...], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    said = [str(sealed_path()) if one == "BUNDLE" else one for one in arguments]
    assert polyrank(*said) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


@pytest.mark.parametrize("n", ["0", "-3", "many"])
def test_a_length_that_cannot_be_is_refused(n: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        polyrank("recommend", "b", "--users", "all", "--out", "x.csv", "--n", n)
    assert "--n" in capsys.readouterr().err


def test_run_time_items_do_not_disturb_a_batch() -> None:
    """The catalogue of a batch is the bundle's own, whatever another engine in the process has put."""
    engine = make_engine()
    put(engine, "new")
    assert shared_engine().catalogue.row("new") == -1
