// A target of the reader's own, as text for a link and as data; drawing.py is its twin in Python.
//
// Strokes: "s1", then strokes parted by ".", each a row of corners; a corner is two of 64 signs, its
// column from the left and its row from below. Small images: "p1", then 11 signs for each image of
// 8 × 8 pixels, row by row, six pixels a sign; the last two bits are zero.

const SIGNS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
const SHEET = { side: 64, half: 1.5, corners: 300, thickness: 0.03, dot: 0.1, images: 9, pixels: 8 };
const EXAMPLE = { strokes: "s1TtWxZ0d2i2n0qxsttpslphlfgegYgT.gK", pixels: "p1AGaZgYFCJBgPEKlgaWZQjwGCRC_0JaWn4gcO9gaWZQjw" };

// Strokes as lists of corners [column, row], or null where the text is none.
function strokesOf(text) {
  if (typeof text !== "string" || text.length > 3 * SHEET.corners + 2) return null;
  if (!/^s1(?:(?:[\w-]{2})+(?:\.(?:[\w-]{2})+)*)?$/.test(text)) return null;
  const strokes = text.slice(2).split(".").filter(Boolean).map((s) => Array.from({ length: s.length / 2 }, (_, i) => [SIGNS.indexOf(s[2 * i]), SIGNS.indexOf(s[2 * i + 1])]));
  return strokes.reduce((n, s) => n + s.length, 0) <= SHEET.corners ? strokes : null;
}

const textOfStrokes = (strokes) => "s1" + strokes.map((s) => s.map(([c, r]) => SIGNS[c] + SIGNS[r]).join("")).join(".");

// Images as lists of 64 zeros and ones, or null where the text is none.
function imagesOf(text) {
  if (typeof text !== "string" || !/^p1(?:[\w-]{10}[AEIMQUYcgkosw048]){1,9}$/.test(text)) return null;
  return text.slice(2).match(/.{11}/g).map((part) => Array.from({ length: 64 }, (_, i) => (SIGNS.indexOf(part[(i / 6) | 0]) >> (5 - (i % 6))) & 1));
}

function textOfImages(images) {
  const signs = (bits) => Array.from({ length: 11 }, (_, k) => SIGNS[[0, 1, 2, 3, 4, 5].reduce((v, j) => 2 * v + (bits[6 * k + j] ?? 0), 0)]).join("");
  return "p1" + images.map(signs).join("");
}

const readable = { strokes: (text) => strokesOf(text) !== null, pixels: (text) => imagesOf(text) !== null };

// 1,000 points along the strokes; an empty sheet counts as one dot in its middle.
function strokesData(text = EXAMPLE.strokes) {
  const drawn = strokesOf(text) ?? strokesOf(EXAMPLE.strokes), unit = (2 * SHEET.half) / SHEET.side;
  const lines = drawn.map((s) => s.map(([c, r]) => [(c + 0.5) * unit - SHEET.half, (r + 0.5) * unit - SHEET.half]));
  return strokes(lines.length ? lines : [[[0, 0]]], SHEET.thickness);
}

// Each image as a point of 64 numbers: paper is -1, ink 1.
function pixelsData(text = EXAMPLE.pixels) {
  return dataset((imagesOf(text) ?? imagesOf(EXAMPLE.pixels)).flatMap((bits) => bits.map((b) => 2 * b - 1)), SHEET.pixels ** 2);
}

// The corners of a stroke that matter (Douglas and Peucker): the others lie within `near` of the line.
function simplified(stroke, near) {
  if (stroke.length < 3) return stroke;
  const [a, b] = [stroke[0], stroke[stroke.length - 1]], [u, v] = [b[0] - a[0], b[1] - a[1]], square = u * u + v * v;
  const off = ([x, y]) => { // from the piece between a and b
    const t = square ? Math.max(0, Math.min(1, ((x - a[0]) * u + (y - a[1]) * v) / square)) : 0;
    return Math.hypot(x - a[0] - t * u, y - a[1] - t * v);
  };
  let far = 0, most = near;
  for (let i = 1; i < stroke.length - 1; i++) if (off(stroke[i]) > most) [far, most] = [i, off(stroke[i])];
  if (!far) return square ? [a, b] : [a];
  return [...simplified(stroke.slice(0, far + 1), near).slice(0, -1), ...simplified(stroke.slice(far), near)];
}

// The same with as many corners as there is room for; null where there is none.
function fitted(stroke, room) {
  for (let near = 0.6; room > 0 && near < SHEET.side; near *= 1.5) {
    const short = simplified(stroke, near);
    if (short.length <= room) return short;
  }
  return null;
}
