"""The text encoder: any folder in the Hugging Face layout, pooled, tuned and merged."""

from pathlib import Path

import pytest
import torch

from model.errors import TrainingError
from model.nn.encoder import DEFAULT, TextEncoder, encoder_path
from tests.graphs import tiny_encoder

TEXTS = ["golden river", "", "quiet storm in the hidden garden", "golden river", "   "]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return tiny_encoder(tmp_path_factory.mktemp("encoder"))


def test_vectors_have_length_one_and_empty_texts_are_zero(folder: Path) -> None:
    encoder = TextEncoder(str(folder))
    vectors = encoder.encode(TEXTS, batch=2)
    torch.testing.assert_close(vectors.norm(dim=-1), torch.tensor([1.0, 0.0, 1.0, 1.0, 0.0]))
    torch.testing.assert_close(vectors[0], vectors[3])
    assert not torch.allclose(vectors[0], vectors[2])
    assert encoder.training


def test_padding_is_not_pooled(folder: Path) -> None:
    encoder = TextEncoder(str(folder)).eval()
    ids, mask = encoder.tokens(["golden river", "quiet storm in the hidden garden"])
    alone = encoder(*encoder.tokens(["golden river"]))
    torch.testing.assert_close(encoder(ids, mask)[0], alone[0], atol=1e-5, rtol=1e-4)


def test_texts_are_cut_at_what_is_asked_and_what_the_encoder_can_read(folder: Path) -> None:
    assert TextEncoder(str(folder), max_tokens=5).tokens(["river " * 90])[0].shape == (1, 5)
    assert TextEncoder(str(folder), max_tokens=500).max_tokens == 62


@pytest.mark.parametrize(("tuning", "learns"), [("frozen", "none"), ("lora", "some"), ("full", "all")])
def test_tuning_says_what_learns(folder: Path, tuning: str, learns: str) -> None:
    encoder = TextEncoder(str(folder), tuning=tuning)  # type: ignore[arg-type]  # parametrised
    flags = [parameter.requires_grad for parameter in encoder.parameters()]
    assert {"none": not any(flags), "some": any(flags) and not all(flags), "all": all(flags)}[learns]


def test_merged_updates_say_the_same(folder: Path) -> None:
    encoder = TextEncoder(str(folder), tuning="lora").eval()
    with torch.no_grad():
        for parameter in encoder.parameters():
            if parameter.requires_grad:
                parameter.normal_(std=0.1)
    frozen, before = TextEncoder(str(folder)).encode(TEXTS), encoder.encode(TEXTS)
    encoder.merge()
    encoder.merge()
    torch.testing.assert_close(encoder.encode(TEXTS), before, atol=1e-5, rtol=1e-4)
    assert not torch.allclose(before, frozen, atol=1e-3)
    assert not any("lora" in name for name, _ in encoder.named_parameters())


def test_the_default_comes_with_a_package() -> None:
    assert encoder_path(DEFAULT) == encoder_path("sentence-transformers/all-MiniLM-L6-v2")
    assert (Path(encoder_path(DEFAULT)) / "model.safetensors").is_file()
    assert encoder_path("intfloat/multilingual-e5-small") == "intfloat/multilingual-e5-small"


def test_what_is_no_encoder_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(TrainingError, match=r"text encoder: found '.*'; give a folder with a Hugging Face encoder"):
        TextEncoder(str(tmp_path))


def test_a_tokenizer_that_cannot_be_saved_is_refused(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Slow:
        is_fast = False

    monkeypatch.setattr("model.nn.encoder._opened", lambda *_args, **_options: Slow())
    with pytest.raises(TrainingError, match="choose one whose tokenizer can be saved as a tokenizer"):
        TextEncoder(str(folder))
