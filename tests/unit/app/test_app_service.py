"""Workers over one state: each follows what the others change, through bundle switches and restarts."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import orjson
import pytest
from starlette.testclient import TestClient

from app.main import create_app
from app.problems import Problem
from app.routes.endpoint import Call, Reply
from app.routes.recommend import recommend
from app.service import SLOW, Service
from app.state.memory import MemoryStore
from app.state.store import StoredItem
from app.wire import RecommendBody
from model.bundle import MANIFEST
from model.errors import BundleError
from model.features import fused
from tests.serving import ONE, TWO, FlakyStore, bundles, damage, eventually, ids, make_service, serving


@pytest.fixture(scope="module")
def quiet() -> Iterator[TestClient]:
    with serving() as client:
        yield client


def everything(client: TestClient) -> list[str]:
    return ids(client.post("/recommend", json={"n": 200, "exclude_seen": False}))


def test_a_service_without_native_loops_says_so(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level("WARNING"), serving():
        pass
    assert not caplog.records
    monkeypatch.setattr(fused, "NATIVE", False)
    with caplog.at_level("WARNING"), serving() as client:
        assert client.post("/recommend", json={}).status_code == 200
    assert [one.message for one in caplog.records] == [SLOW]


def test_what_one_worker_is_told_the_other_knows_within_a_second() -> None:
    store = MemoryStore()
    with serving(store) as one, serving(store) as two:
        one.put("/items/new", json={"text": {"title": "brand new"}})
        one.patch("/items/i1", json={"hidden": True})
        one.delete("/items/i2")
        one.put("/items/i3", json={"text": {"title": "changed"}})
        assert eventually(lambda: "new" in everything(two), 1.0)
        assert eventually(lambda: not {"i1", "i2"} & set(everything(two)), 1.0)
        live = two.app.state.service.live  # type: ignore[attr-defined] # the ASGI app's state
        assert eventually(lambda: live.catalogue.record(live.catalogue.row("i3")).text == {"title": "changed"}, 1.0)


def test_run_time_changes_outlive_a_restart_and_a_bundle_switch(tmp_path: Path) -> None:
    store, folder = MemoryStore(), bundles(tmp_path)
    with serving(store, bundles=folder) as client:
        client.put("/items/new", json={"text": {"title": "brand new"}})
        client.delete("/items/i2")
        client.patch("/items/i1", json={"hidden": True})
    with serving(store, bundles=folder) as client:
        for version in (ONE, TWO, ONE):
            client.post(f"/bundles/{version}/activate")
            found = everything(client)
            assert "new" in found
            assert not {"i1", "i2"} & set(found)


def test_an_activation_reaches_every_worker_and_the_next_start(tmp_path: Path) -> None:
    store, folder = MemoryStore(), bundles(tmp_path)
    with serving(store, bundles=folder) as one, serving(store, bundles=folder) as two:
        assert one.get("/bundles").json()["active"] == ONE
        assert one.post(f"/bundles/{TWO}/activate").json() == {"active": TWO, "previous": ONE}
        assert one.post("/recommend", json={}).json()["bundle"] == TWO
        assert eventually(lambda: two.post("/recommend", json={}).json()["bundle"] == TWO, 2.0)
        listed = one.get("/bundles").json()["bundles"]
        assert [(one["version"], one["active"], one["sealed"]) for one in listed] == [
            (TWO, True, True),
            (ONE, False, True),
        ]
        assert f'version="{TWO}"' in two.get("/metrics").text
        assert f'version="{ONE}"' not in two.get("/metrics").text
    with serving(store, bundles=folder) as client:
        assert client.get("/readyz").json()["bundle"] == TWO


def test_a_damaged_bundle_is_refused_by_file_and_the_live_one_stays(tmp_path: Path) -> None:
    folder = bundles(tmp_path)
    damage(folder / TWO / "ranker.onnx")
    with serving(bundles=folder) as client:
        answer = client.post(f"/bundles/{TWO}/activate")
        assert answer.status_code == 409
        assert "ranker.onnx" in answer.json()["detail"]
        assert client.post("/recommend", json={"user_id": "u1"}).json()["bundle"] == ONE


@pytest.mark.parametrize("version", ["nowhere", "..", "current", "%2e%2e%2fx", "a/b", ONE + "/x", "x" * 256])
def test_a_version_that_is_not_there_is_not_found(quiet: TestClient, version: str) -> None:
    answer = quiet.post(f"/bundles/{version.replace('..', '%2E%2E')}/activate")
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (404, "version")


def test_a_worker_without_the_active_bundle_keeps_its_own_until_the_files_are_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.service.RETRY_REFUSED_S", 0.05)
    store, folder = MemoryStore(), bundles(tmp_path)
    (folder / TWO).rename(tmp_path / "elsewhere")
    with serving(store, bundles=folder) as client:
        asyncio.run(store.activate(TWO))
        assert eventually(lambda: "polyrank_bundles_refused_total 0.0" not in client.get("/metrics").text)
        assert client.get("/readyz").json()["bundle"] == ONE
        (tmp_path / "elsewhere").rename(folder / TWO)
        assert eventually(lambda: client.get("/readyz").json()["bundle"] == TWO)


def test_a_start_with_a_damaged_active_bundle_serves_the_current_one(tmp_path: Path) -> None:
    store, folder = MemoryStore(), bundles(tmp_path)
    asyncio.run(store.activate(TWO))
    damage(folder / TWO / MANIFEST)
    with serving(store, bundles=folder) as client:
        assert client.get("/readyz").json()["bundle"] == ONE


def test_a_start_without_any_good_bundle_is_refused(tmp_path: Path) -> None:
    folder = bundles(tmp_path)
    damage(folder / ONE / "SEAL")

    async def start(service: Service) -> None:
        await service.start()

    with pytest.raises(BundleError, match="SEAL"):
        asyncio.run(start(make_service(bundles=folder)))
    with pytest.raises(BundleError, match=r"current: found None; train one"):
        asyncio.run(start(make_service(bundles=tmp_path)))


def test_a_renamed_bundle_is_refused(tmp_path: Path) -> None:
    folder = bundles(tmp_path)
    (folder / TWO).rename(folder / "renamed")
    with serving(bundles=folder) as client:
        answer = client.post("/bundles/renamed/activate")
        assert (answer.status_code, "rename the folder" in answer.json()["detail"]) == (409, True)


def test_a_bundle_that_cannot_answer_is_refused_whatever_it_raises(tmp_path: Path) -> None:
    service = make_service(bundles=bundles(tmp_path))
    real = service._open

    def opened(path: Path) -> object:
        if path.name == TWO:
            raise ValueError("no such operator")
        return real(path)

    service._open = opened  # type: ignore[assignment] # a fault no real file shows
    with TestClient(create_app(service)) as client:
        answer = client.post(f"/bundles/{TWO}/activate")
        assert (answer.status_code, "no such operator" in answer.json()["detail"]) == (409, True)


def test_started_without_state_it_waits_since_it_cannot_know_what_was_deleted() -> None:
    store = FlakyStore()
    with serving(store) as client:
        client.delete("/items/i2")
    store.away = True  # type: ignore[attr-defined] # set in its __init__
    with serving(store) as client:
        answer = client.get("/readyz")
        assert (answer.status_code, answer.json()["status"], answer.json()["state"]) == (503, "starting", "away")
        answer = client.post("/recommend", json={})
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "2")
        assert client.get("/healthz").status_code == 200
        store.away = False  # type: ignore[attr-defined] # set in its __init__
        assert eventually(lambda: client.get("/readyz").status_code == 200)
        assert "i2" not in everything(client)


def test_a_state_that_goes_and_comes_back_is_told() -> None:
    store = FlakyStore()
    with serving(store) as client:
        assert client.get("/readyz").json() == {"status": "ready", "bundle": ONE, "state": "ok", "detail": ""}
        store.away = True  # type: ignore[attr-defined] # set in its __init__
        assert eventually(lambda: client.get("/readyz").json()["status"] == "degraded")
        assert client.get("/readyz").status_code == 200
        assert "polyrank_state_up 0.0" in client.get("/metrics").text
        assert client.put("/items/x", json={}).status_code == 503
        store.away = False  # type: ignore[attr-defined] # set in its __init__
        assert eventually(lambda: client.get("/readyz").json()["status"] == "ready")


def test_the_loop_outlives_a_fault_of_its_own() -> None:
    store = MemoryStore()
    with serving(store) as client:
        real, store.follow = store.follow, broken  # type: ignore[method-assign, assignment] # a fault no real store shows
        assert eventually(lambda: client.get("/readyz").status_code == 200, 0.1)
        store.follow = real  # type: ignore[method-assign] # mended
        asyncio.run(store.put_item(StoredItem("late", {"title": "late"})))
        assert eventually(lambda: "late" in everything(client))


async def broken(*_: object) -> object:
    raise RuntimeError("broken")


def with_service(use: Callable[[Service], Awaitable[None]], store: MemoryStore | None = None) -> None:
    async def run() -> None:
        service = make_service(store)
        await service.start()
        try:
            await use(service)
        finally:
            await service.stop()

    asyncio.run(run())


def test_an_older_change_never_undoes_a_newer_one() -> None:
    async def use(service: Service) -> None:
        newer = StoredItem("x", {"title": "newer"}, version=9)
        service.live.apply([newer])
        service.live.apply(
            [replace(newer, text={"title": "older"}, version=8), StoredItem("x", deleted=True, version=9)]
        )
        view = service.live.catalogue.view
        assert view.record(view.row("x")).text == {"title": "newer"}
        assert view.visible[view.row("x")]

    with_service(use)


def test_attributes_that_another_bundle_knew_are_left_out() -> None:
    async def use(service: Service) -> None:
        attributes = {"genres": ["comedy"], "release_year": "long ago", "colour": "red"}
        service.live.apply([StoredItem("x", {}, attributes, version=1)])
        view = service.live.catalogue.view
        assert view.record(view.row("x")).attributes == {"genres": ["comedy"]}

    with_service(use)


def test_text_vectors_are_taken_over_only_from_the_same_encoder() -> None:
    async def use(service: Service) -> None:
        live = service.live
        ones = (b"\x00\x00\x80\x3f") * live.bundle.spec.text_dim
        told = StoredItem("x", {"title": "storm"}, text_vector=ones, encoder=live.encoder_digest, version=1)
        live.apply([told, replace(told, item_id="y", encoder="another"), replace(told, item_id="z", text_vector=b"")])
        view = live.catalogue.view
        x, y, z = view.texts(np.asarray([view.row(one) for one in "xyz"]))
        assert set(x.tolist()) == {1.0}
        assert (y == z).all()
        assert set(y.tolist()) != {1.0}

    with_service(use)


def test_a_merge_that_is_always_overtaken_gives_up() -> None:
    class Hurried(MemoryStore):
        async def put_item(self, item: StoredItem, expected: int | None = None) -> int:
            return 0 if expected is not None else await super().put_item(item)

    with serving(Hurried()) as client:
        answer = client.patch("/items/i1", json={"hidden": True})
        assert (answer.status_code, answer.json()["type"]) == (409, "urn:polyrank:problem:conflict")


def test_before_the_start_nothing_is_answered() -> None:
    async def use() -> None:
        service = make_service()
        assert (service.ready, service.loaded) == (False, None)
        with pytest.raises(Problem, match="starting"):
            _ = service.live

    asyncio.run(use())


def test_no_request_is_dropped_while_bundles_change(tmp_path: Path) -> None:
    async def use() -> None:
        service = make_service(bundles=bundles(tmp_path))
        await service.start()
        answers, done = list[Reply](), asyncio.Event()

        async def ask() -> None:
            while not done.is_set():
                asked = RecommendBody.model_validate({"user_id": f"u{len(answers) % 20}"})
                answers.append(await recommend(Call(service, asked, "", b"")))

        asking = [asyncio.create_task(ask()) for _ in range(4)]
        for version in (TWO, ONE, TWO, ONE):
            await service.activate(version)
            await asyncio.sleep(0.05)
        done.set()
        await asyncio.gather(*asking)
        await service.stop()
        shapes = [orjson.loads(one.body) for one in answers]
        assert {one["bundle"] for one in shapes} == {ONE, TWO}
        assert not [one for one in shapes if one["degraded"] or one["fallback"] or len(one["items"]) != 20]

    asyncio.run(use())


def test_what_cannot_be_warmed_is_only_slower() -> None:
    service = make_service()
    with TestClient(create_app(service)) as client:
        service.live.warm = None  # type: ignore[assignment, method-assign] # a fault no real file shows
        client.portal.call(service._warm)  # type: ignore[union-attr] # open within the block
        assert client.put("/items/x", json={"text": {"title": "storm"}}).status_code == 201
