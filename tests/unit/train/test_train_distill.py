"""A teacher on a world where words decide: the first word of a title says who likes it, and no feature does."""

import numpy as np
import pytest
import torch

from model.config import Task
from model.data.log import Records
from model.features.ranking import candidate_feature_names, user_feature_names
from model.features.spec import TaskSpec
from model.nn.encoder import TextEncoder
from model.nn.heads import TaskValues
from model.nn.settings import NetSettings
from model.nn.teacher import ITEM_TOKENS, USER_TOKENS, Teacher
from model.train.batches import ranker_batch
from model.train.distill import (
    SAMPLE,
    Reader,
    Taught,
    distillation,
    fit_teacher,
    narrowed,
    profile_texts,
    read,
    sampled,
    soft_labels,
)
from model.train.metrics import auc
from model.train.rank import Objective, slate_losses
from model.train.slates import EMPTY, OFFERED, POSITIVE, Slates
from model.train.teach import capped, loss_of
from tests.graphs import ADJECTIVES, NOUNS, tiny_encoder
from tests.nets import small_model, spec_of

TITLES = [f"{adjective} {noun}" for adjective in ADJECTIVES for noun in NOUNS]
KIND = np.repeat(np.arange(len(ADJECTIVES)) % 2, len(NOUNS))
SPEC = spec_of((TaskSpec(name="like", kind="binary"), TaskSpec(name="rating", kind="regression", low=1, high=5)))
OBJECTIVE = Objective(
    SPEC,
    [Task(name="like", kind="binary", label="value > 3"), Task(name="rating", kind="regression", label="value")],
)
SETTINGS = NetSettings(dropout=0.0)
CANDIDATES = 6


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory) -> Reader:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        encoder = TextEncoder(str(tiny_encoder(tmp_path_factory.mktemp("encoder"))))
    return Reader(encoder, SPEC, TITLES, ["age 24" if user % 2 else "" for user in range(400)])


def world(users: int, seed: int = 0) -> Slates:
    """One slate a user: what was viewed is of the kind the user likes; a candidate is liked if it is of that kind."""
    generator = np.random.default_rng(seed)
    user, width = np.arange(users), SPEC.rank_history
    rows = np.stack([generator.choice(np.flatnonzero(one % 2 == KIND), width, replace=False) for one in user])
    candidates = generator.integers(0, len(TITLES), (users, CANDIDATES))
    like = (KIND[candidates] == user[:, None] % 2).astype(np.float32)
    role = np.full((users, CANDIDATES), OFFERED, np.int8)
    role[:, 0] = POSITIVE
    return Slates(
        user, user, candidates, role, np.stack([like, 1 + 4 * like], axis=-1),
        np.zeros((users, CANDIDATES, len(candidate_feature_names(SPEC))), np.float32),
        np.zeros((users, len(user_feature_names(SPEC))), np.float32), np.zeros((users, SPEC.dim), np.float32),
        np.zeros((users, SPEC.max_profile), np.int32), np.zeros((users, 2), np.int64), rows,
        np.ones((users, width), np.int64), np.ones((users, width), np.float32), np.ones((users, width), np.int64),
        np.ones(users, bool), np.ones(users, bool), np.zeros((users, CANDIDATES), np.float32),
    )  # fmt: skip


@pytest.fixture(scope="module")
def teacher(reader: Reader) -> Teacher:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        slates = world(320)
        return fit_teacher(reader, [slates], [slates.labels], SETTINGS, loss_of(OBJECTIVE), np.random.default_rng(0))


def test_a_teacher_tells_by_the_words_what_new_users_like(teacher: Teacher, reader: Reader) -> None:
    slates = world(60, seed=9)
    said = soft_labels(teacher, reader, slates)
    like = slates.labels[..., 0].ravel()
    assert auc(like, said[..., 0].ravel()) > 0.9
    untrained = soft_labels(Teacher(reader.words(), SPEC, SETTINGS).eval(), reader, slates)
    assert auc(like, untrained[..., 0].ravel()) < 0.7
    rating = said[..., 1].ravel()
    assert rating[like == 1].mean() > rating[like == 0].mean() + 1
    assert (said[..., 1] >= 1).all()
    assert (said[..., 1] <= 5).all()


def test_a_candidates_company_and_padding_change_nothing(teacher: Teacher, reader: Reader) -> None:
    slates = world(5)
    together = soft_labels(teacher, reader, slates)
    one = narrowed(slates, np.full((5, 1), 2))
    np.testing.assert_allclose(soft_labels(teacher, reader, one)[:, 0], together[:, 2], atol=1e-5)
    role = slates.role.copy()
    role[:, 4] = EMPTY
    hidden = soft_labels(teacher, reader, slates.replaced(role=role))
    assert np.isnan(hidden[:, 4]).all()
    np.testing.assert_allclose(np.delete(hidden, 4, 1), np.delete(together, 4, 1), atol=1e-5)


def test_a_user_is_read_as_profile_then_newest_events_with_their_values(reader: Reader) -> None:
    slates = world(2)
    told = reader.encoder.tokenizer.decode([one for one in reader.users(slates)[1] if one >= 0])
    newest, before = (TITLES[slates.rows[1, -back]] for back in (1, 2))
    compact = told.replace(" ##", "").replace(" ", "")
    high = f"{SPEC.value_high:.3g}"
    assert compact.startswith(f"age24view{high}{newest}view{high}{before}".replace(" ", ""))
    assert reader.users(slates).shape == (2, USER_TOKENS)


def test_newcomers_are_read_like_the_item_they_are_and_padding_is_nothing(reader: Reader) -> None:
    rows = np.asarray([[3, 3 + len(TITLES), -1]])
    tokens = reader.candidates(rows)
    assert tokens.shape == (1, 3, ITEM_TOKENS)
    np.testing.assert_array_equal(tokens[0, 0], tokens[0, 1])
    assert (tokens[0, 2] == -1).all()


def test_samples_hold_what_happened_and_padding_last() -> None:
    role = np.full((3, 20), OFFERED, np.int8)
    role[0, 5:] = EMPTY
    shown = sampled(role, SAMPLE, np.random.default_rng(0))
    assert shown.shape == (3, SAMPLE)
    assert (shown[:, 0] == 0).all()
    assert set(shown[0, :5].tolist()) == set(range(5))
    assert all(len(set(row.tolist())) == SAMPLE for row in shown)


def test_unlabelled_candidates_teach_the_student() -> None:
    model, slates = small_model(spec=SPEC), world(8)
    unlabelled = np.full_like(slates.labels, np.nan)
    vectors = torch.randn(len(TITLES), SPEC.dim)
    soft = np.random.default_rng(0).normal(size=unlabelled.shape).astype(np.float32) + 2
    gradients = {}
    for name, taught in (("alone", None), ("taught", Taught.of(0.5, [slates], [soft]))):
        model.zero_grad()
        by_task = slate_losses(model, OBJECTIVE, slates, unlabelled, vectors, taught=taught)
        by_task.sum().backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
        gradients[name] = sum(float(one.grad.abs().sum()) for one in model.ranker.parameters() if one.grad is not None)
    assert gradients["alone"] == 0.0
    assert gradients["taught"] > 0.01


def test_soft_labels_are_found_again_by_moment_and_candidates() -> None:
    slates, other = world(6), world(6, seed=1)
    soft = np.arange(6 * CANDIDATES * 2, dtype=np.float32).reshape(6, CANDIDATES, 2)
    taught = Taught.of(1.0, [slates.take(slice(0, 4)), slates.take(slice(4, 6))], [soft[:4], soft[4:]])
    places = np.asarray([5, 0, 3])
    np.testing.assert_array_equal(taught.labels(slates.take(places), 2), soft[places])
    assert np.isnan(taught.labels(other, 2)).all()
    assert float(taught.loss(other, torch.zeros(6, CANDIDATES, 2), TaskValues(SPEC.tasks)).sum()) == 0.0


def test_a_student_that_says_what_the_teacher_says_has_nothing_to_learn() -> None:
    values = TaskValues(SPEC.tasks)
    raw = torch.randn(4, 5, 2, requires_grad=True)
    distillation(raw, values(raw).detach(), values).sum().backward()  # type: ignore[no-untyped-call]  # torch leaves it so
    assert raw.grad is not None
    assert float(raw.grad.abs().max()) < 1e-6
    nothing = torch.full((4, 5, 2), torch.nan)
    assert float(distillation(raw, nothing, values).detach().sum()) == 0.0


def test_parts_are_capped_by_their_share() -> None:
    kept = capped([world(30), world(10)], 20, np.random.default_rng(0))
    assert [len(part) for part in kept] == [15, 5]
    assert (np.diff(kept[0].row) > 0).all()
    assert [len(part) for part in capped([world(3)], 20, np.random.default_rng(0))] == [3]


def test_profiles_are_told_in_words() -> None:
    records = Records({}, {"age": [24.0, None], "likes": [["film", "music"], None]})
    assert profile_texts(records, 2) == ["age 24.0, likes film music", ""]


def test_readings_are_those_of_the_module(teacher: Teacher, reader: Reader) -> None:
    slates = world(3)
    raw = read(teacher, reader, slates)
    assert raw.shape == (3, CANDIDATES, 2)
    np.testing.assert_allclose(teacher.values(raw).detach().numpy(), soft_labels(teacher, reader, slates), atol=1e-5)
    assert ranker_batch(slates, torch.zeros(len(TITLES), SPEC.dim))["candidate_vectors"].shape[1] == CANDIDATES


def test_the_encoders_words_stay_as_they_are(teacher: Teacher, reader: Reader) -> None:
    torch.testing.assert_close(teacher.words, reader.words() / reader.words().std())
    assert not any(name == "words" for name, _ in teacher.named_parameters())
