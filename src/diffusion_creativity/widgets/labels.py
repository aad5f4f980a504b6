"""Places for the labels of points, so that they cover neither each other nor a point.

shared_labels.js is the twin of this module in the browser; a test compares them.
"""

from __future__ import annotations

from collections.abc import Sequence

Box = tuple[float, float, float, float]  # left, top, right, bottom; y grows downwards

RADIUS = 12.0  # how near to a point its label may come
BODY = 0.6 * RADIUS  # what a marker covers
_RINGS = (0.0, 12.0, 26.0, 44.0)  # further and further from the point
# Directions with what each costs: to the right is where a reader looks first.
_SIDES = (
    (1, 0, 0),
    (-1, 0, 1),
    (1, -1, 1),
    (1, 1, 1),
    (0, -1, 2),
    (0, 1, 2),
    (-1, -1, 2),
    (-1, 1, 2),
)
_ROUNDS = 4


def place(
    points: Sequence[tuple[float, float]], sizes: Sequence[tuple[float, float]],
    blocked: Sequence[Box], thin: Sequence[Box], bounds: Box,
) -> tuple[list[Box], float]:  # fmt: skip
    """A box for the label of each point, and the area on which something is still covered.

    Labels move in turn to where they cost least, a few rounds long. Other labels, markers and
    `blocked` cost their area, `thin` boxes (error bars) a sixth of it.
    """
    markers = [around(x, y, BODY) for x, y in points]
    choices = [_choices(*p, *s, bounds) for p, s in zip(points, sizes, strict=True)]
    crowd = [sum(overlap(around(*p, 60), m) for m in markers) for p in points]
    order = sorted(range(len(points)), key=lambda i: (-crowd[i], i))
    placed: list[Box | None] = [None] * len(points)

    def covered(i: int, box: Box) -> float:
        others = [b for j, b in enumerate(placed) if j != i and b is not None]
        return sum(overlap(box, b) for b in (*markers, *blocked, *others))

    def cost(i: int, box: Box, extra: float) -> float:
        return extra + 3 * covered(i, box) + sum(overlap(box, b) for b in thin) / 6

    for _ in range(_ROUNDS):
        for i in order:
            placed[i] = min(choices[i], key=lambda c: cost(i, *c))[0]
    boxes = [b for b in placed if b is not None]
    return boxes, sum(covered(i, b) for i, b in enumerate(boxes))


def quietest(boxes: Sequence[Box], busy: Sequence[Box]) -> Box:
    """The first of the `boxes` on which least of what is `busy` lies."""
    return min(boxes, key=lambda box: sum(overlap(box, b) for b in busy))


def around(x: float, y: float, radius: float) -> Box:
    """The square around a point."""
    return (x - radius, y - radius, x + radius, y + radius)


def overlap(a: Box, b: Box) -> float:
    """Area that two boxes share."""
    wide, high = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    return wide * high if wide > 0 and high > 0 else 0.0


def _choices(x: float, y: float, w: float, h: float, bounds: Box) -> list[tuple[Box, float]]:
    """Boxes around a point, with what each costs by itself; those outside only if all are."""
    inside, outside = [], []
    for ring in _RINGS:
        for u, v, extra in _SIDES:
            away = ring + (BODY if u and v else RADIUS)
            left, top = x + u * (away + w / 2) - w / 2, y + v * (away + h / 2) - h / 2
            box = (left, top, left + w, top + h)
            out = w * h - overlap(box, bounds)
            (inside if out < 1e-6 else outside).append((box, 4 * extra + 3 * ring + 9 * out))
    return inside or outside
