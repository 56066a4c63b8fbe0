"""Tuning the text encoder, on a world where the first word of a title says who reads it and no two groups share one."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from pydantic import JsonValue

from model.config import Recipe, Training
from model.data.loading import load
from model.data.log import Dataset, Log
from model.encoding import CACHE, run_encoder
from model.errors import TrainingError
from model.features.neighbours import Neighbours
from model.features.sessions import open_session
from model.features.text import open_tokenizer, text_vectors
from model.nn.encoder import TextEncoder
from model.train.channels import cosine, interaction_matrix
from model.train.encode import held_out, tune
from model.train.kin import Kin, Pairs, kin_of
from model.train.plan import make_plan
from model.train.record import Record
from tests.graphs import ADJECTIVES, NOUNS, tiny_encoder
from tests.logs import make_log
from tests.worlds import GENRES, write_world

TEXTS = [f"{adjective} {noun}" for adjective in ADJECTIVES for noun in NOUNS]
GROUP = np.repeat(np.arange(len(ADJECTIVES)) % 2, len(NOUNS))  # of each text, by its adjective
NEW = np.arange(len(TEXTS)) % 5 == 0  # items without events
NONE = np.empty(0, np.int64)
SETTINGS = Training(encoder_steps=100, encoder_rate=5e-3)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return tiny_encoder(tmp_path_factory.mktemp("encoder"))


@pytest.fixture(scope="module")
def kin() -> Kin:
    """Eighty users read twelve items of their group each; new items are read by nobody, and nothing else is known."""
    generator = np.random.default_rng(0)
    user = np.repeat(np.arange(80), 12)
    items = [generator.choice(np.flatnonzero((one % 2 == GROUP) & ~NEW), 12, replace=False) for one in range(80)]
    log = make_log(user, np.concatenate(items)).by_user(80)
    together = cosine(interaction_matrix(log, len(TEXTS)), 1.0, 20)
    nothing = Neighbours.build(NONE, NONE, np.empty(0), len(TEXTS))
    return Kin(together, nothing, np.zeros((len(TEXTS), 1), np.int32), 1, np.ones(len(TEXTS), bool))


@pytest.fixture(scope="module", params=["lora", "full"])
def tuned(request: pytest.FixtureRequest, folder: Path, kin: Kin) -> tuple[TextEncoder, dict[str, float]]:
    mode: Literal["lora", "full"] = request.param
    with torch.random.fork_rng():
        torch.manual_seed(1)
        encoder = TextEncoder(str(folder), 8, mode)
        settings = SETTINGS.model_copy(update={"encoder_mode": mode})
        return encoder, tune(encoder, TEXTS, kin, settings, np.random.default_rng(1), lambda *_: None)


def of_a_group(vectors: NDArray[np.float32]) -> float:
    """Share of the ten texts nearest to a new item's that are of its group, those with a word in common left out."""
    scores = vectors @ vectors.T
    words = [set(text.split()) for text in TEXTS]
    scores[np.asarray([[bool(one & other) for other in words] for one in words])] = -np.inf
    near = np.argsort(-scores[NEW], axis=1)[:, :10]
    return float((GROUP[near] == GROUP[NEW][:, None]).mean())


def test_new_items_lie_by_those_their_readers_would_read(
    tuned: tuple[TextEncoder, dict[str, float]], folder: Path
) -> None:
    encoder, said = tuned
    frozen = of_a_group(TextEncoder(str(folder), 8).encode(TEXTS).numpy())
    assert of_a_group(encoder.encode(TEXTS).numpy()) > max(frozen + 0.2, 0.8)
    assert said["tuned"] > said["frozen"] + 0.1
    assert said["steps"] > 0


def test_what_does_not_help_held_out_items_is_not_kept(folder: Path, kin: Kin) -> None:
    before = TextEncoder(str(folder), 8)
    encoder, settings = TextEncoder(str(folder), 8, "full"), Training(encoder_mode="full", encoder_rate=1e-12)
    said = tune(encoder, TEXTS, kin, settings, np.random.default_rng(0), lambda *_: None)
    assert said == {"frozen": said["frozen"], "tuned": said["frozen"], "steps": 0}
    assert (encoder.encode(TEXTS) == before.encode(TEXTS)).all()


def test_held_out_items_are_in_no_pair(kin: Kin) -> None:
    held = held_out(kin, np.random.default_rng(0))
    assert len(held) == np.ceil(0.1 * kin.known.sum())
    rows, near = Pairs(kin, ~np.isin(np.arange(len(TEXTS)), held)).draw(2000, np.random.default_rng(0))
    assert not np.isin(held, np.concatenate([rows, near])).any()
    assert all(other in kin.together.of(int(row)).rows for row, other in zip(rows[:50], near[:50], strict=True))
    assert len(np.unique(rows)) == (kin.known.sum() - len(held))


def test_kin_are_no_negatives() -> None:
    def table(*pairs: tuple[int, int]) -> Neighbours:
        source, target = np.asarray(pairs, np.int64).T
        return Neighbours.build(source, target, np.ones(len(pairs)), 5)

    kin = Kin(table((0, 1)), table((3, 2)), np.zeros((5, 1), np.int32), 1, np.ones(5, bool))
    found = kin.related(np.asarray([0, 2, 4]), np.asarray([1, 3, 4]))
    assert found.tolist() == [[True, False, False], [False, True, False], [False, False, True]]


def test_without_events_there_is_nothing_to_tune_on(folder: Path, kin: Kin) -> None:
    nothing = replace(kin, together=kin.alike)
    settings = Training(encoder_mode="lora")
    with pytest.raises(TrainingError, match=r"training\.encoder_mode: found 'lora'; use frozen: too few items"):
        tune(TextEncoder(str(folder)), TEXTS, nothing, settings, np.random.default_rng(0), lambda *_: None)


@dataclass(frozen=True)
class World:
    recipe: Recipe
    dataset: Dataset
    texts: list[str]


def title(item: str) -> str:
    """A title whose first word is one of two that the genre has, so that half of its kin share no word with it."""
    genre, number = item.split("/")
    return f"{ADJECTIVES[2 * GENRES.index(genre) + int(number) % 2]} {NOUNS[int(number) % len(NOUNS)]}"


@pytest.fixture
def world(tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    """The world of tests/worlds.py under other titles, with the cache in a folder of its own."""
    monkeypatch.chdir(tmp_path)
    changes: dict[str, JsonValue] = {
        "training.encoder": str(folder),
        "training.encoder_steps": 25,
        "training.lexical_dim": 0,
        "training.encoder_rate": 0.005,
        "training.max_tokens": 24,
    }
    recipe = Recipe.load(write_world(tmp_path / "data")).under("quick", changes | {"training.encoder_mode": "lora"})
    dataset = load(recipe)
    threads = torch.get_num_threads()
    yield World(recipe, dataset, [title(dataset.items.id(row)) for row in range(len(dataset.items))])
    torch.set_num_threads(threads)


def other_future(log: Log) -> Log:
    """The log with the items of every row outside the base put in another order."""
    plan = make_plan(log)
    later = np.setdiff1d(np.arange(len(log)), np.flatnonzero(log.split < 2)[plan.base])
    item = log.item.copy()
    item[later] = np.roll(item[later], 7)
    return replace(log, item=item)


def test_kin_by_users_and_by_content_are_of_the_genre(world: World) -> None:
    kin = kin_of(world.recipe, world.dataset, world.texts)
    genre = np.asarray([world.dataset.items.id(row).split("/")[0] for row in range(len(world.dataset.items))])
    for table, least in ((kin.together, 0.9), (kin.alike, 1.0)):
        some = np.flatnonzero(np.diff(table.indptr))
        assert np.mean(genre[some] == genre[table.indices[table.indptr[some]]]) >= least
    assert kin.told.all()
    assert not kin.known[world.dataset.items.rows(["comedy/20"])].any()


def test_what_comes_after_the_base_changes_nothing(world: World) -> None:
    one, other = (
        kin_of(world.recipe, replace(world.dataset, log=log), world.texts)
        for log in (world.dataset.log, other_future(world.dataset.log))
    )
    for name in ("indptr", "indices", "weights"):
        np.testing.assert_array_equal(getattr(one.together, name), getattr(other.together, name))
    np.testing.assert_array_equal(one.attributes, other.attributes)


def test_a_tuned_encoder_is_exported_and_its_vectors_are_kept_apart(world: World, tmp_path: Path) -> None:
    record = Record(tmp_path / "run")
    encoder = run_encoder(world.recipe, world.dataset, world.texts, record)
    record.close()
    assert record.figures["encoder"]["tuned"] > record.figures["encoder"]["frozen"]
    assert encoder.gate["neighbours"] >= 0.9
    vectors = encoder.vectors(world.texts, 1)
    session = open_session(encoder.folder / "text_encoder.onnx")
    tokenizer = open_tokenizer(encoder.folder / "tokenizer.json", encoder.info.max_tokens)
    assert (text_vectors(session, tokenizer, world.texts, encoder.width) == vectors).all()
    assert [path.stem for path in (CACHE / "texts").iterdir()] == [encoder.info.digest[:16]]
    frozen = TextEncoder(world.recipe.training.encoder, 24).encode(world.texts).numpy()
    assert (vectors * frozen).sum(1).mean() < 0.99
