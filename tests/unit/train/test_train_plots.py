"""The report's plots stand alone: well-formed, named, without ids that could clash and without colours of a theme."""

from xml.etree import ElementTree

import numpy as np
import pytest

from model.train import plots
from model.train.page import figures_table, page, shown

TENTHS = {str(one): {"recommendations": 0.1, "past events": 0.2, "items": 3.0} for one in range(1, 11)}
TOLD = {most: {"polyrank ndcg@10": 0.1, "polyrank hr@10": 0.2, "moments": 9.0} for most in ("0", "1")}
ITEMS = {"0": {"moments": 3.0, "polyrank recall@50": 0.5}, "1–4": {"moments": 3.0}}
EPOCHS = [
    {"epoch": 1, "tower/loss": 2.0, "tower/ndcg@10": 0.1}, {"epoch": 1, "refit/tower/loss": 1.5},
    {"epoch": 1, "ranker/loss/like": 0.6, "ranker/valid/like": 0.7, "alone/like/ranker/loss/like": 0.5},
]  # fmt: skip
DRAWN = {
    "reliability": lambda: plots.reliability({"like": [(0.1, 0.2, 5), (0.5, 0.4, 9)]}, {"like": 0.1}),
    "curves": lambda: plots.curves(EPOCHS),
    "exposure": lambda: plots.exposure(TENTHS),
    "amounts": lambda: plots.by_amount(TOLD, ITEMS),
    "lorenz": lambda: plots.lorenz(np.arange(9), np.arange(9)[::-1].copy()),
}


def words(svg: str) -> list[str]:
    return [
        "".join(one.itertext()).strip() for one in ElementTree.fromstring(svg).iter("{http://www.w3.org/2000/svg}text")
    ]


@pytest.mark.parametrize("name", DRAWN)
def test_a_plot_is_one_named_element_that_follows_the_page(name: str) -> None:
    svg = DRAWN[name]()
    assert ElementTree.fromstring(svg).get("aria-label")
    assert "currentColor" in svg
    assert "#010203" not in svg
    assert "<script" not in svg
    assert 'xlink:href="http' not in svg


def test_the_same_plot_is_the_same_text() -> None:
    assert DRAWN["curves"]() == DRAWN["curves"]()


def test_training_and_validation_are_lines_of_one_panel() -> None:
    said = words(plots.curves(EPOCHS))
    assert {"tower: loss", "tower: ndcg@10", "like: loss", "training", "validation", "second fit"} <= set(said)
    assert said.count("like: loss") == 1
    assert plots.panel_of("alone/like/ranker/loss/like") is plots.panel_of("epoch") is None


def test_bars_and_points_name_what_they_stand_for() -> None:
    assert {"recommendations", "past events", "1", "10"} <= set(words(plots.exposure(TENTHS)))
    assert {"NDCG@10", "HR@10", "Recall@50", "events told of the user"} <= set(words(plots.by_amount(TOLD, ITEMS)))
    assert "like (error 0.100)" in words(DRAWN["reliability"]())


def test_values_are_as_people_read_them() -> None:
    assert [shown(one) for one in (3.0, 0.12341, float("nan"), "worse", 7)] == ["3", "0.1234", "–", "worse", "7"]


def test_what_comes_from_the_data_is_escaped() -> None:
    table = figures_table({"<b>": {"a&b": "<i>"}})
    assert "<b>" not in table
    assert "&lt;b&gt;" in table
    assert "a&amp;b" in table
    assert '<td class="n worse">worse' in figures_table({"x": {"verdict": "worse"}})
    made = page("<x>", [], [("One part", ["text"])])
    assert '<a href="#one-part">' in made
    assert '<h2 id="one-part">' in made
