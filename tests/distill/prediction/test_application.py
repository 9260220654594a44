"""What is told of an image, by the shape of its prediction."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from densedistill.distill.errors import RequestError
from densedistill.distill.prediction.application import as_bytes, by_shape, class_colours, ranked

IMAGE = torch.zeros(3, 4, 5)


def test_scores_are_ranked_with_names() -> None:
    scores = torch.tensor([0.1, 0.5, 0.05, 0.2, 0.12, 0.03])
    row = by_shape(scores, IMAGE, ("a", "b", "c", "d", "e", "f")).row
    assert [row[f"label_{rank}"] for rank in range(1, 6)] == ["b", "d", "e", "a", "c"]
    assert [row[f"score_{rank}"] for rank in range(1, 6)] == pytest.approx([0.5, 0.2, 0.12, 0.1, 0.05], abs=1e-6)
    assert "label_6" not in row
    assert ranked(scores[:2], IMAGE, ()).row == {"label_1": "1", "score_1": 0.5, "label_2": "0", "score_2": 0.1}


def test_a_map_is_grey_and_an_image_has_colours() -> None:
    levels = torch.linspace(-0.2, 1.2, 20).view(1, 4, 5)
    outcome = by_shape(levels, IMAGE, ())
    assert outcome.row == {}
    assert list(outcome.pictures) == [""]
    np.testing.assert_array_equal(outcome.pictures[""], (levels[0].clamp(0, 1) * 255).round().numpy())
    colours = torch.rand(3, 4, 5)
    picture = by_shape(colours, IMAGE, ()).pictures[""]
    np.testing.assert_array_equal(picture, (colours * 255).round().permute(1, 2, 0).numpy())


def test_bytes_of_a_tall_image_are_those_of_its_strips() -> None:
    tall = torch.rand(3, 700, 2, generator=torch.Generator().manual_seed(0))
    np.testing.assert_array_equal(as_bytes(tall), (tall * 255).round().permute(1, 2, 0).numpy())


def test_classes_make_a_map_of_numbers_an_overlay_and_shares() -> None:
    scores = torch.zeros(3, 4, 5)
    scores[1] = 0.5
    scores[2, 0] = 1.0
    outcome = by_shape(scores, torch.ones(3, 4, 5), ("sky", "road", "tree"))
    assert list(outcome.pictures) == ["", "_overlay"]
    assert outcome.pictures[""].tolist() == [[2] * 5, [1] * 5, [1] * 5, [1] * 5]
    # 0.55 of the class's colour and 0.45 of white.
    expected = np.rint(0.55 * class_colours(3).astype(np.float64)[[2, 1]] + 0.45 * 255)
    np.testing.assert_array_equal(outcome.pictures["_overlay"][[0, 1], 0], expected)
    assert outcome.row == {"share_sky": 0.0, "share_road": 0.75, "share_tree": 0.25}


def test_many_classes_take_16_bits() -> None:
    scores = torch.zeros(300, 2, 2)
    scores[299] = 1
    numbers = by_shape(scores, torch.zeros(3, 2, 2), tuple(map(str, range(300)))).pictures[""]
    assert numbers.dtype == np.uint16
    assert numbers.tolist() == [[299, 299], [299, 299]]


def test_colours_are_those_of_voc_and_differ() -> None:
    colours = class_colours(256)
    assert colours[:4].tolist() == [[0, 0, 0], [128, 0, 0], [0, 128, 0], [128, 128, 0]]
    assert len({tuple(colour) for colour in colours.tolist()}) == 256


@pytest.mark.parametrize("shape", [(2, 4, 5), (4, 5), (1, 3, 4, 5)])
def test_other_shapes_need_the_task_s_word(shape: tuple[int, ...]) -> None:
    with pytest.raises(RequestError, match=r"TaskSpec\.application"):
        by_shape(torch.zeros(shape), IMAGE, ())


def test_a_map_of_classes_has_its_image_s_size() -> None:
    with pytest.raises(RequestError, match="does not fit its image"):
        by_shape(torch.zeros(2, 8, 10), IMAGE, ("a", "b"))
