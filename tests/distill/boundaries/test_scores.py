"""ODS, OIS and AP from counts: by hand, and by the original's loops written out."""

from __future__ import annotations

import numpy as np
import pytest

from densedistill.distill.boundaries import BoundaryCounts, score_boundaries
from densedistill.distill.errors import RequestError


def counts(recalled: list[int], true: int, precise: list[int], predicted: list[int]) -> BoundaryCounts:
    return BoundaryCounts(
        recalled=np.array(recalled),
        true=np.full(len(recalled), true),
        precise=np.array(precise),
        predicted=np.array(predicted),
    )


def random_counts(seed: int, thresholds: int = 99) -> BoundaryCounts:
    """Counts that fall with the threshold, as those of maps do; the last thresholds predict nothing."""
    random = np.random.default_rng(seed)
    predicted = np.sort(random.integers(0, 9000, thresholds))[::-1] * (np.arange(thresholds) < thresholds - 3)
    precise = (predicted * np.linspace(0.2, 0.95, thresholds)).astype(int)
    return counts((precise * 3.1).astype(int).tolist(), 30000, precise.tolist(), predicted.tolist())


def f(recall: float, precision: float) -> float:
    return 2 * precision * recall / (precision + recall + (precision + recall == 0))


def test_figures_by_hand() -> None:
    first = counts([9, 6], 10, [9, 6], [20, 8])
    second = counts([10, 2], 11, [10, 2], [10, 2])
    found = score_boundaries([first, second], np.array([0.25, 0.75]))
    assert found.recall.tolist() == [19 / 21, 8 / 21]
    assert found.precision.tolist() == [19 / 30, 8 / 10]
    assert [image.threshold for image in found.images] == [0.75, 0.25]
    assert found.images[0].f == pytest.approx(f(0.6, 0.75))
    assert found.images[1].f == pytest.approx(f(10 / 11, 1))
    # Each image at its own best: 6 of 10 and 10 of 11 recalled, 6 of 8 and 10 of 10 right.
    assert found.ois == pytest.approx(f(16 / 21, 16 / 18))
    assert found.ods >= f(19 / 21, 19 / 30)
    # Linear between recalls 8/21 and 19/21, nothing outside: 0.39, 0.40 ... 0.90.
    line = [0.8 + (recall / 100 - 8 / 21) / (11 / 21) * (19 / 30 - 0.8) for recall in range(39, 91)]
    assert found.ap == pytest.approx(sum(line) / 100)


@pytest.mark.parametrize("seed", range(5))
def test_figures_by_the_original_s_loops(seed: int) -> None:
    images = [random_counts(10 * seed + place) for place in range(4)]
    thresholds = np.linspace(0.01, 0.99, 99)
    found = score_boundaries(images, thresholds)
    total = np.array([[image.recalled, image.true, image.precise, image.predicted] for image in images]).sum(axis=0)
    recall, precision = total[0] / total[1], total[2] / np.maximum(total[3], 1)
    best = (f(recall[0], precision[0]), thresholds[0])
    for place in range(1, 99):
        for share in np.linspace(0, 1, 100):
            r, p, t = (a[place] * share + a[place - 1] * (1 - share) for a in (recall, precision, thresholds))
            if f(r, p) > best[0]:
                best = (f(r, p), t)
    assert (found.ods, found.ods_threshold) == pytest.approx(best)
    pooled = np.zeros(4)
    for image in images:
        fs = [
            f(a / b, c / max(d, 1))
            for a, b, c, d in zip(image.recalled, image.true, image.precise, image.predicted, strict=True)
        ]
        place = int(np.argmax(fs))
        pooled += [image.recalled[place], image.true[place], image.precise[place], image.predicted[place]]
    assert found.ois == pytest.approx(f(pooled[0] / pooled[1], pooled[2] / pooled[3]))


def test_nothing_predicted_is_zero_and_not_undefined() -> None:
    found = score_boundaries([counts([0, 0], 10, [0, 0], [0, 0])], np.array([0.3, 0.6]))
    assert found.metrics() == {"ods": 0.0, "ods_threshold": 0.3, "ois": 0.0, "ap": 0.0}
    empty = score_boundaries([counts([0], 0, [0], [5])], np.array([0.5]))
    assert empty.ods == 0.0


def test_a_curve_of_one_point_has_no_area() -> None:
    # As in the original: a map of two levels that is perfect has ODS 1 and AP 0.
    found = score_boundaries([counts([10, 10], 10, [10, 10], [10, 10])], np.array([0.3, 0.6]))
    assert (found.ods, found.ois, found.ap) == (1.0, 1.0, 0.0)


def test_images_are_needed() -> None:
    with pytest.raises(RequestError, match="no image was scored"):
        score_boundaries([])


def test_the_curve_is_plain_numbers() -> None:
    found = score_boundaries([random_counts(0)]).curve()
    assert set(found) == {"threshold", "recall", "precision"}
    assert all(len(column) == 99 and type(column[0]) is float for column in found.values())
