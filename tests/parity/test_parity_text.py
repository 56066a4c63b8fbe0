"""The exported text encoder, opened by tokenizers and onnxruntime alone, against transformers and torch."""

from pathlib import Path

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer

from model.errors import GateError
from model.export.parity import neighbour_recall, probe_texts, prove_text
from model.export.text import export_text_encoder
from model.features.sessions import open_session
from model.features.text import open_tokenizer, text_vectors
from model.nn.encoder import TextEncoder
from tests.graphs import multilingual_encoder

CHINESE = ["红楼梦", "三国演义 第一回", "golden river", "东京 night 物语", "a", "龙"]


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> tuple[TextEncoder, Path, dict[str, object]]:
    """A random XLM-RoBERTa with a unigram tokenizer of Chinese, Japanese and English, low-rank updates included."""
    folder = tmp_path_factory.mktemp("text")
    with torch.random.fork_rng():
        torch.manual_seed(0)
        encoder = TextEncoder(str(multilingual_encoder(folder / "source")), max_tokens=12, tuning="lora")
        with torch.no_grad():
            for parameter in encoder.parameters():
                if parameter.requires_grad:
                    parameter.normal_(std=0.05)
    return encoder, folder, export_text_encoder(encoder, folder)


def test_a_multilingual_encoder_keeps_its_neighbours(exported: tuple[TextEncoder, Path, dict[str, object]]) -> None:
    encoder, folder, said = exported
    found = prove_text(encoder, folder)
    assert found["cosine"] > 0.999
    assert found["neighbours"] >= 0.9
    assert said["name"] == encoder.name
    assert said["max_tokens"] == 12
    assert sorted(path.name for path in folder.glob("*.*")) == ["text_encoder.onnx", "tokenizer.json"]


def test_chinese_titles_are_different_texts(exported: tuple[TextEncoder, Path, dict[str, object]]) -> None:
    encoder, folder, _ = exported
    tokenizer = open_tokenizer(folder / "tokenizer.json", 12)
    vectors = text_vectors(open_session(folder / "text_encoder.onnx"), tokenizer, CHINESE, encoder.width)
    np.testing.assert_allclose((vectors * encoder.encode(CHINESE).numpy()).sum(1), 1.0, atol=2e-3)
    assert (vectors @ vectors.T)[~np.eye(len(CHINESE), dtype=bool)].max() < 0.9999


def test_the_tokenizer_file_cuts_and_pads_as_transformers_does(
    exported: tuple[TextEncoder, Path, dict[str, object]],
) -> None:
    encoder, folder, _ = exported
    texts = [*CHINESE, "river " * 40]
    ids, mask = encoder.tokens(texts)
    read = Tokenizer.from_file(str(folder / "tokenizer.json")).encode_batch(texts)
    assert [one.ids for one in read] == ids.tolist()
    assert [one.attention_mask for one in read] == mask.tolist()


def test_padding_does_not_move_an_exported_vector(exported: tuple[TextEncoder, Path, dict[str, object]]) -> None:
    encoder, folder, _ = exported
    ids, mask = (part.numpy() for part in encoder.tokens(CHINESE))
    session = open_session(folder / "text_encoder.onnx")
    (together,) = session.run(["text"], {"input_ids": ids, "attention_mask": mask})
    for row, alone in enumerate(mask.sum(1)):
        (single,) = session.run(
            ["text"], {"input_ids": ids[row : row + 1, :alone], "attention_mask": mask[row : row + 1, :alone]}
        )
        np.testing.assert_allclose(single[0], together[row], atol=1e-5)


def test_another_encoder_is_refused(exported: tuple[TextEncoder, Path, dict[str, object]]) -> None:
    encoder, folder, _ = exported
    other = TextEncoder(encoder.name, max_tokens=12)
    with torch.no_grad():
        for parameter in other.net.encoder.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.3)
    with pytest.raises(GateError, match=r"text encoder, (cosine|neighbours): found .*; it must be 0\.9"):
        prove_text(other, folder, CHINESE)


def test_probes_are_of_the_tokenizers_own_words(exported: tuple[TextEncoder, Path, dict[str, object]]) -> None:
    texts = probe_texts(exported[0], 30)
    assert texts == probe_texts(exported[0], 30)
    assert len(set(texts)) > 25
    assert not any("<pad>" in text for text in texts)


def test_neighbour_recall_counts_what_stays() -> None:
    line = np.stack([np.cos(np.arange(30) / 20), np.sin(np.arange(30) / 20)], axis=1).astype(np.float32)
    assert neighbour_recall(line, line) == 1.0
    assert 0.2 < neighbour_recall(np.random.default_rng(0).permutation(line), line) < 0.6
    assert neighbour_recall(line[:1], line[:1]) == 1.0
