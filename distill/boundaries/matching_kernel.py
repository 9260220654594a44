"""One-to-one matching of pixels as compiled loops.

A picture is a row of places, line by line, with a border so wide that no offset leads out of it. Arrays, wherever they
are named:

    predicted     (places,) uint8 0/1
    true          (T,) int64 places of the true pixels
    offsets       (K,) int64 from a place to those that it may be matched with, nearest first, each with its opposite
    rings         (R + 1,) int64, where in `offsets` each distance begins, and the end
    true_of       (places,) int32, the partner of each predicted pixel, or -1
    predicted_of  (places,) int32, the partner of each true pixel, or -1
"""

from __future__ import annotations

import numpy as np

from densedistill.distill.boundaries.compiled import compiled


@compiled
def match_nearest(
    predicted: np.ndarray,
    true: np.ndarray,
    offsets: np.ndarray,
    rings: np.ndarray,
    true_of: np.ndarray,
    predicted_of: np.ndarray,
    annotator: int,
) -> int:
    """Match each true pixel with a predicted one that is still free, the nearest pairs first; returns how many.

    Which of several equally near pixels is taken varies with the pixel and the annotator, as by chance: the original's
    solver prefers none either. Always the same one would cost up to 2 % of the precise pixels, since a pixel is precise
    that the matching with any annotator takes.
    """
    matched = 0
    for ring in range(len(rings) - 1):
        first, width = rings[ring], rings[ring + 1] - rings[ring]
        for place in true:
            if predicted_of[place] >= 0:
                continue
            turn = (place * 40503 + annotator * 30011) >> 7
            for step in range(width):
                other = place + offsets[first + (turn + step) % width]
                if predicted[other] and true_of[other] < 0:
                    true_of[other], predicted_of[place] = place, other
                    matched += 1
                    break
    return matched


@compiled
def match_more(
    predicted: np.ndarray,
    true: np.ndarray,
    offsets: np.ndarray,
    true_of: np.ndarray,
    predicted_of: np.ndarray,
    scratch: np.ndarray,
    stamp: int,
) -> int:
    """Enlarge a matching until no larger one exists; returns by how many pairs.

    From each true pixel left alone the shortest augmenting path is searched, breadth first. What a search in vain has
    visited is set aside for good, since no later path leads through it: all of these together look at every pair once.
    No pixel that has a partner is left without one.

    Args:
        scratch: (3, places) int32; row 0 is below `stamp` everywhere, and at most `stamp + T` afterwards.
        stamp: number of the first search, above 0.
    """
    visited, came_from, queue = scratch[0], scratch[1], scratch[2]
    search, aside, more = stamp, stamp, 0
    for root in true:
        if predicted_of[root] >= 0:
            continue
        search += 1
        length, head, end = 0, 0, -1
        source = root
        while True:
            for offset in offsets:
                other = source + offset
                if predicted[other] and visited[other] != search and visited[other] != aside:
                    visited[other], came_from[other] = search, source
                    queue[length] = other
                    length += 1
                    if true_of[other] < 0:
                        end = other
                        break
            if end >= 0 or head == length:
                break
            source = true_of[queue[head]]
            head += 1
        if end < 0:
            for place in range(length):
                visited[queue[place]] = aside
            continue
        more += 1
        while end >= 0:
            source = came_from[end]
            following = predicted_of[source]
            true_of[end], predicted_of[source] = source, end
            end = following
    return more


@compiled
def count_matches(
    predicted: np.ndarray,
    pixels: np.ndarray,
    true: np.ndarray,
    starts: np.ndarray,
    offsets: np.ndarray,
    rings: np.ndarray,
    scratch: np.ndarray,
    stamp: int,
) -> tuple[int, int]:
    """True pixels matched, summed over annotators, and predicted pixels matched with any of them.

    Args:
        pixels: (N,) int64 places of the predicted pixels.
        true: the true pixels of one annotator after another.
        starts: (annotators + 1,) int64, where in `true` each begins, and the end.
        scratch: (6, places) int32; rows 0 to 2 as `match_more` takes them, rows 3 and 4 of any content, row 5 without
            `stamp`.
        stamp: as `match_more` takes it; the next call's is to be larger by T + annotators.
    """
    true_of, predicted_of, near = scratch[3], scratch[4], scratch[5]
    # A true pixel with nothing predicted around it costs a look at every place within reach, and twice for each
    # annotator. Where little is predicted most are such, and marking the surroundings of what is tells them apart.
    sparse = 2 * len(pixels) < len(true)
    if sparse:
        for place in pixels:
            for offset in offsets:
                near[place + offset] = stamp
    hit = np.zeros(len(pixels), np.uint8)
    recalled = 0
    for annotator in range(len(starts) - 1):
        drawn = true[starts[annotator] : starts[annotator + 1]]
        if sparse:
            drawn = drawn[near[drawn] == stamp]
        for place in pixels:
            true_of[place] = -1
        for place in drawn:
            predicted_of[place] = -1
        recalled += match_nearest(predicted, drawn, offsets, rings, true_of, predicted_of, annotator)
        first = stamp + starts[annotator] + annotator
        recalled += match_more(predicted, drawn, offsets, true_of, predicted_of, scratch[:3], first)
        for place in range(len(pixels)):
            if true_of[pixels[place]] >= 0:
                hit[place] = 1
    return recalled, int(hit.sum())
