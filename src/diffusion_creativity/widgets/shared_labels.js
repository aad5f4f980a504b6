// Places for the labels of points: the twin of labels.py, which says what is done here.
const RADIUS = 12, BODY = 0.6 * RADIUS, RINGS = [0, 12, 26, 44], ROUNDS = 4;
const SIDES = [[1, 0, 0], [-1, 0, 1], [1, -1, 1], [1, 1, 1], [0, -1, 2], [0, 1, 2], [-1, -1, 2], [-1, 1, 2]];

const around = (x, y, r) => [x - r, y - r, x + r, y + r];
const total = (items, f) => items.reduce((s, item) => s + f(item), 0);

function overlap(a, b) {
  const wide = Math.min(a[2], b[2]) - Math.max(a[0], b[0]), high = Math.min(a[3], b[3]) - Math.max(a[1], b[1]);
  return wide > 0 && high > 0 ? wide * high : 0;
}

function cheapest(items, cost) {
  let best = null, least = Infinity;
  for (const item of items) {
    const c = cost(item);
    if (c < least) [best, least] = [item, c];
  }
  return best;
}

const quietest = (boxes, busy) => cheapest(boxes, (box) => total(busy, (b) => overlap(box, b)));

function placesAround([x, y], [w, h], bounds) {
  const inside = [], outside = [];
  for (const ring of RINGS)
    for (const [u, v, extra] of SIDES) {
      const away = ring + (u && v ? BODY : RADIUS), left = x + u * (away + w / 2) - w / 2, top = y + v * (away + h / 2) - h / 2;
      const box = [left, top, left + w, top + h], out = w * h - overlap(box, bounds);
      (out < 1e-6 ? inside : outside).push([box, 4 * extra + 3 * ring + 9 * out]);
    }
  return inside.length ? inside : outside;
}

function placeLabels(points, sizes, blocked, thin, bounds) {
  const markers = points.map(([x, y]) => around(x, y, BODY)), choices = points.map((p, i) => placesAround(p, sizes[i], bounds));
  const crowd = points.map(([x, y]) => total(markers, (m) => overlap(around(x, y, 60), m)));
  const order = points.map((_, i) => i).sort((a, b) => crowd[b] - crowd[a] || a - b), boxes = points.map(() => null);
  const covered = (i, box) => total([...markers, ...blocked, ...boxes.filter((b, j) => b && j !== i)], (b) => overlap(box, b));
  const cost = (i, [box, extra]) => extra + 3 * covered(i, box) + total(thin, (b) => overlap(box, b)) / 6;
  for (let round = 0; round < ROUNDS; round++) for (const i of order) boxes[i] = cheapest(choices[i], (c) => cost(i, c))[0];
  return { boxes, covered: total(boxes.map((box, i) => [box, i]), ([box, i]) => covered(i, box)) };
}
