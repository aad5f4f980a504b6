// What the playground offers: targets, and for each architecture its denoiser, its law and its words.

const POINTS = 1000;

// ---------------------------------------------------------------- targets

function drawn(make, d = 2, seed = 7) {
  const uniform = uniforms(seed), normal = normals(uniform), x = new Float64Array(POINTS * d);
  for (let i = 0; i < POINTS; i++) x.set(make(uniform, normal, i), i * d);
  return dataset(x, d);
}

// Points along strokes, each a list of corners, with a little Gaussian noise; one corner is a dot.
function strokes(lines, thickness) {
  const part = (start, end) => ({ start, end, long: Math.hypot(end[0] - start[0], end[1] - start[1]) || SHEET.dot });
  const parts = lines.flatMap((line) => (line.length > 1 ? line.slice(1).map((end, i) => part(line[i], end)) : [part(line[0], line[0])]));
  const total = parts.reduce((s, p) => s + p.long, 0);
  return drawn((uniform, normal) => {
    let left = uniform() * total, k = 0;
    while (k < parts.length - 1 && left > parts[k].long) left -= parts[k++].long;
    const { start, end, long } = parts[k], t = left / long;
    return [start[0] + t * (end[0] - start[0]) + thickness * normal(), start[1] + t * (end[1] - start[1]) + thickness * normal()];
  });
}

const bow = (x, y, rx, ry, from, to) => Array.from({ length: 13 }, (_, i) => [x + rx * Math.cos(from + ((to - from) * i) / 12), y + ry * Math.sin(from + ((to - from) * i) / 12)]);
const LETTERS = [
  [[-1.05, 0.55], [-0.8, -0.55], [-0.55, 0.35], [-0.3, -0.55], [-0.05, 0.55]],
  [[0.25, -0.55], [0.25, 0.55], ...bow(0.35, 0, 0.7, 0.55, Math.PI / 2, -Math.PI / 2), [0.25, -0.55]],
];

// The middles of 1,000 equally likely pieces of a law on the line.
function quantiles(inverse) {
  return dataset(Float64Array.from({ length: POINTS }, (_, i) => inverse((i + 0.5) / POINTS)), 1);
}

// The inverse of an increasing function, by halving.
function invert(below, low, high) {
  return (share) => {
    let a = low, b = high;
    for (let i = 0; i < 60; i++) [a, b] = below((a + b) / 2) < share ? [(a + b) / 2, b] : [a, (a + b) / 2];
    return (a + b) / 2;
  };
}

const TARGETS = {
  ring: { label: "Ring", kind: "plane", the: "the ring", make: () => drawn((u, z) => { const a = 2 * Math.PI * u(), r = 0.9 + 0.05 * z(); return [r * Math.cos(a), r * Math.sin(a)]; }) },
  spiral: { label: "Spiral", kind: "plane", the: "the spiral", make: () => drawn((u, z) => { const t = u(), a = 3 * Math.PI * t, r = 0.2 + 0.8 * t; return [r * Math.cos(a) + 0.03 * z(), r * Math.sin(a) + 0.03 * z()]; }) },
  moons: { label: "Two moons", kind: "plane", the: "the two moons", make: () => drawn((u, z, i) => { const a = Math.PI * u(), s = i % 2 ? -1 : 1; return [0.62 * s * Math.cos(a) - 0.31 * s + 0.04 * z(), s * (0.62 * Math.sin(a) - 0.16) + 0.04 * z()]; }) },
  checkerboard: { label: "Checkerboard", kind: "plane", the: "the checkerboard", make: () => drawn((u) => { const i = Math.floor(4 * u()), j = 2 * Math.floor(2 * u()) + (i % 2); return [(i + u()) / 2 - 1, (j + u()) / 2 - 1]; }) },
  mixture: { label: "Gaussian mixture", kind: "plane", the: "the Gaussian mixture", make: () => drawn((u, z) => { const k = Math.floor(5 * u()), a = (2 * Math.PI * k) / 5 + 0.5; return [0.85 * Math.cos(a) + 0.09 * z(), 0.6 * Math.sin(a) + 0.09 * z()]; }) },
  letters: { label: "Letters", kind: "plane", the: "the letters", make: () => strokes(LETTERS, 0.025) },
  bimodal: { label: "Two bumps", kind: "line", the: "the two bumps", make: () => quantiles(invert((x) => 0.5 * normalBelow((x - 1) / 0.3) + 0.5 * normalBelow((x + 1) / 0.3), -4, 4)) },
  atoms: { label: "Three atoms", kind: "line", the: "the three atoms", make: () => dataset([-Math.sqrt(3), 0, Math.sqrt(3)], 1, [1 / 6, 2 / 3, 1 / 6]) },
  uniform: { label: "Uniform", kind: "line", the: "the uniform law", make: () => quantiles((p) => Math.sqrt(3) * (2 * p - 1)) },
  skewed: { label: "Skewed", kind: "line", the: "the skewed law", make: () => quantiles((p) => 0.8 * (-Math.log(1 - p) - 1)) },
  drawn: { label: "Your drawing", kind: "plane", the: "your drawing", sketch: "strokes", group: "own", make: strokesData },
  pixels: { label: "Your images", kind: "images", the: "your own set", sketch: "pixels", group: "own", shape: [SHEET.pixels, SHEET.pixels], make: pixelsData },
};

const GROUPS = { plane: "In the plane, 1,000 points", line: "On a line", images: "Small images", own: "Draw it yourself" };

// ---------------------------------------------------------------- architectures

// The orbit of the data: quarter turns in the plane, the mirror on a line, circular shifts of images.
function orbit(data, kind, shape) {
  const { x, n, d } = data, copies = [];
  if (kind === "line") copies.push((i) => [x[i]], (i) => [-x[i]]);
  else if (kind === "plane") for (const [c, s] of [[1, 0], [0, 1], [-1, 0], [0, -1]]) copies.push((i) => [c * x[2 * i] - s * x[2 * i + 1], s * x[2 * i] + c * x[2 * i + 1]]);
  else {
    const [high, wide] = shape;
    for (let v = 0; v < high; v++) for (let h = 0; h < wide; h++)
      copies.push((i) => Array.from({ length: d }, (_, p) => x[i * d + ((((p / wide) | 0) + v) % high) * wide + (((p % wide) + h) % wide)]));
  }
  const out = new Float64Array(copies.length * n * d), w = new Float64Array(copies.length * n);
  copies.forEach((copy, k) => { for (let i = 0; i < n; i++) { out.set(copy(i), (k * n + i) * d); w[k * n + i] = data.w[i] / copies.length; } });
  return { x: out, n: copies.length * n, d, w };
}

// Square blocks of `size` pixels of an image, as lists of places; single coordinates without a shape.
function placesOf(d, shape, size = 1) {
  if (!shape || size === 1) return Array.from({ length: d }, (_, a) => [a]);
  const [high, wide] = shape, places = [];
  for (let r = 0; r < high; r += size) for (let c = 0; c < wide; c += size) {
    const place = [];
    for (let i = r; i < Math.min(high, r + size); i++) for (let j = c; j < Math.min(wide, c + size); j++) place.push(i * wide + j);
    places.push(place);
  }
  return places;
}

const thing = { plane: ["point", "points", "coordinate"], line: ["point", "points", "coordinate"], images: ["image", "images", "pixel"] };
const symmetry = { plane: ["quarter turn", "quarter turns"], line: ["mirror image", "mirror images"], images: ["circular shift", "circular shifts"] };
const few = (k, one, many) => (k === 1 ? `1 ${one}` : `${k.toLocaleString("en")} ${many}`);

// Each entry: for which targets, and what others lack; its parameter; fit(problem) gives denoiser and law(sigmas); words(problem) says it.
// A problem is {data, kind, shape, the, value}, value that of the parameter.
const ARCHITECTURES = {
  bayes: {
    label: "Bayes (free)", kinds: ["plane", "line", "images"],
    fit: ({ data }) => ({ denoiser: bayesDenoiser(data), law: () => ({ kind: "atoms", data }) }),
    words: ({ data, kind, the }) => `It sees everything: ${data.n > 1 ? `each of the ${few(data.n, ...thing[kind])}` : `the only ${thing[kind][0]}`} of ${the}. It generates ${data.n > 1 ? `these ${thing[kind][1]}` : `this ${thing[kind][0]}`} again, and nothing else: copies.`,
    law: (p) => (p.data.n > 1 ? `the ${p.data.n.toLocaleString("en")} ${thing[p.kind][1]} themselves` : `the ${thing[p.kind][0]} itself`),
  },
  equivariant: {
    label: "Equivariant", kinds: ["plane", "line", "images"],
    fit: ({ data, kind, shape }) => { const all = orbit(data, kind, shape); return { denoiser: bayesDenoiser(all), law: () => ({ kind: "atoms", data: all }), orbit: all }; },
    words: ({ kind, the }) => `It must treat a noisy ${thing[kind][0]} and its ${symmetry[kind][1]} alike, and is free otherwise. So it sees the ${thing[kind][1]} of ${the} together with their ${symmetry[kind][1]}, and generates each of these equally often.`,
    law: (p) => `every ${thing[p.kind][0]} and its ${symmetry[p.kind][1]}`,
  },
  affine: {
    label: "Affine", kinds: ["plane", "line", "images"],
    fit: ({ data }) => { const s = spectrumOf(data); return { denoiser: affineDenoiser(s), law: (sigmas) => ({ kind: "gaussian", ...gaussianLaw(s, sigmas) }) }; },
    words: ({ kind, the }) => `It sees ${kind === "line" ? "the mean and the variance" : "the mean and the covariance"} of ${the}, and no more. It generates a Gaussian, whatever the shape of the target.`,
    law: () => "a Gaussian",
  },
  convolution: {
    label: "Convolution", kinds: ["images"], needs: "images",
    fit: ({ data, shape }) => { const s = circularSpectrum(data, shape); return { denoiser: affineDenoiser(s), law: (sigmas) => ({ kind: "gaussian", ...gaussianLaw(s, sigmas) }) }; },
    words: ({ the }) => `It sees the average brightness and the power spectrum of ${the}: how pixels at a given distance vary together, not where they are. It generates a stationary Gaussian texture.`,
    law: () => "a stationary Gaussian texture",
  },
  polynomial: {
    label: "Polynomial", kinds: ["plane", "line", "images"],
    parameter: { name: "p", label: "Degree p", low: () => 1, high: () => 5, start: 3 },
    fit: ({ data, value }) => { const denoiser = polynomialDenoiser(data, value); return { denoiser, law: (sigmas) => ({ kind: "separate", denoiser, sigmas }) }; },
    words: ({ kind, the, value, data }) => {
      const each = kind === "line" ? "" : `of each ${thing[kind][2]} by itself, `;
      const sees = `It sees the moments ${each}up to order ${2 * value} of ${the}.`;
      if (value === 1) return `${sees} A polynomial of degree 1 is affine: it generates ${kind === "line" ? "a Gaussian" : `independent Gaussian ${thing[kind][2]}s`}.`;
      if (data.n === 3 && kind === "line") return value < 5 ? `${sees} The moments of the three atoms agree with those of N(0, 1) to order 5, so up to degree 4 the best polynomial is affine: it generates a Gaussian, not atoms.` : `${sees} Order 6 is the first moment that differs from those of N(0, 1): degree 5 sees it, and the atoms appear.`;
      return `${sees} It generates noise pushed through polynomials${kind === "line" ? "" : `, one ${thing[kind][2]} independent of the others`}.${value % 2 ? "" : " An even degree is lopsided: one tail may leak away."}`;
    },
    law: (p) => (p.kind === "line" ? "N(0, σ²) pushed through polynomials" : "independent coordinates, each pushed through polynomials"),
  },
  bottleneck: {
    label: "Linear bottleneck", kinds: ["plane", "images"], needs: "two dimensions",
    parameter: { name: "k", label: "Rank k", low: () => 1, high: ({ kind, data }) => (kind === "plane" ? 1 : Math.min(data.d, 40)), start: 1 },
    fit: ({ data, value }) => { const s = spectrumOf(data); return { denoiser: affineDenoiser(s, value), law: (sigmas) => ({ kind: "gaussian", ...gaussianLaw(s, sigmas, value) }) }; },
    words: ({ the, value }) => `It sees the mean of ${the} and its ${value === 1 ? "direction" : `${value} directions`} of largest variance. It generates a Gaussian on ${value === 1 ? "a line" : `a flat piece of ${value} dimensions`}: nothing leaves it.`,
    law: (p) => (p.value === 1 ? "a Gaussian on a line" : `a Gaussian in ${p.value} dimensions`),
  },
  coordinates: {
    label: "Coordinatewise", kinds: ["plane"], needs: "points in the plane",
    fit: ({ data }) => ({ denoiser: blockDenoiser(data, placesOf(2)), law: () => ({ kind: "product", data }) }),
    words: ({ the }) => `Each coordinate has a free denoiser of its own, which sees only that coordinate of ${the}. It generates every pairing of a horizontal with a vertical position, independently.`,
    law: () => "the product of the two marginals",
  },
  pixelwise: {
    label: "Pixelwise", kinds: ["images"], needs: "images",
    fit: ({ data }) => ({ denoiser: blockDenoiser(data, placesOf(data.d)), law: () => ({ kind: "blocks", data, places: placesOf(data.d) }) }),
    words: ({ the }) => `Each pixel has a free denoiser of its own, which sees only the values of that pixel in ${the}. It generates independent pixels, each with the right values.`,
    law: () => "independent pixels",
  },
  blocks: {
    label: "Blockwise", kinds: ["images"], needs: "images",
    parameter: { name: "b", label: "Side of a block", low: () => 2, high: ({ shape }) => Math.max(2, Math.min(...shape) - 1), start: 4 },
    fit: ({ data, shape, value }) => { const places = placesOf(data.d, shape, value); return { denoiser: blockDenoiser(data, places), law: () => ({ kind: "blocks", data, places }) }; },
    words: ({ the, value, data, shape }) => `Each block of ${value} × ${value} pixels sees only that part of ${the}. It generates chimeras: each block is copied, from ${few(placesOf(data.d, shape, value).length, "image", "images")} chosen independently.`,
    law: () => "all recombinations of blocks",
  },
  codebook: {
    label: "Codebook", kinds: ["plane", "line", "images"],
    parameter: { name: "k", label: "Words k", low: () => 1, high: ({ data }) => Math.min(30, data.n), start: 6 },
    fit: ({ data, value }) => { const { centres, shares } = kMeans(data, value); return { denoiser: codebookDenoiser(data, centres), law: () => ({ kind: "atoms", data: dataset(centres, data.d, shares), sampled: true }) }; },
    words: ({ the, value, kind }) => `Only one of ${few(value, "word", "words")} passes its bottleneck, so it sees the ${value === 1 ? "mean" : `${value} cells of k-means`} of ${the}. It generates the ${few(value, "centre", "centres")} of these cells${kind === "images" ? ", average images" : ""}; how often each, we know by sampling only.`,
    law: (p) => few(p.value, "centre of k-means", "centres of k-means"),
  },
};
