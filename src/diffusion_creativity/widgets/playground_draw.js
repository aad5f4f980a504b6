// Pictures of the playground: everything on canvas, in the colours that the theme has now.

const BINS = 121, WIDE_BINS = 61; // of densities; odd, so that 0 is the middle of one

// Half the width of the window that holds data and generated law.
function reachOf(data) {
  let far = 0, square = 0;
  for (let i = 0; i < data.x.length; i++) {
    far = Math.max(far, Math.abs(data.x[i]));
    square += data.w[(i / data.d) | 0] * data.x[i] ** 2;
  }
  return Math.max(1.25 * far, 2.7 * Math.sqrt(square / data.d));
}

// The window follows the cloud of samples as its noise falls.
const windowAt = (reach, sigma) => Math.sqrt(reach * reach + (2.6 * sigma) ** 2);

function coloursOf(root) {
  const style = getComputedStyle(root);
  return Object.fromEntries(["data", "law", "generated", "line", "soft", "ink", "panel", "edge"].map((name) => [name, style.getPropertyValue(`--dc-${name}`).trim()]));
}

// A canvas fitted to its place on the page, ready in CSS pixels, with a frame around.
function pen(canvas, colours) {
  const box = { w: Math.max(60, canvas.clientWidth), h: Math.max(60, canvas.clientHeight) }, sharp = Math.min(2, devicePixelRatio || 1);
  const wide = Math.round(box.w * sharp), high = Math.round(box.h * sharp);
  if (canvas.width !== wide || canvas.height !== high) Object.assign(canvas, { width: wide, height: high });
  const c = canvas.getContext("2d");
  c.setTransform(wide / box.w, 0, 0, high / box.h, 0, 0);
  c.clearRect(0, 0, box.w, box.h);
  c.globalAlpha = 1;
  c.strokeStyle = colours.line;
  c.lineWidth = 1;
  c.strokeRect(0.5, 0.5, box.w - 1, box.h - 1);
  return { c, ...box };
}

// Points of the plane in the window [-half, half]², layer by layer, straight into pixels: where the
// processor draws, this is many times as fast as paths. A layer is [x, colour, radius, opacity].
function clouds({ c }, half, colours, layers) {
  const { width, height } = c.canvas, sharp = c.getTransform().a, image = c.createImageData(width, height);
  const [r, g, b] = rgbOf(colours.panel);
  new Uint32Array(image.data.buffer).fill(((255 << 24) | (b << 16) | (g << 8) | r) >>> 0);
  for (const [x, colour, radius, opacity] of layers) splat(image, x, half, rgbOf(colour), radius * sharp, opacity);
  c.putImageData(image, 0, 0);
  c.strokeRect(0.5, 0.5, width / sharp - 1, height / sharp - 1);
}

const rgbOf = (hex) => [1, 3, 5].map((i) => parseInt(hex.slice(i, i + 2), 16));

// Round dots with soft edges, laid over what is there.
function splat({ data, width, height }, x, half, [r, g, b], radius, opacity) {
  const unit = width / (2 * half), reach = radius + 0.5;
  for (let i = 0; i < x.length; i += 2) {
    const u = width / 2 + x[i] * unit, v = height / 2 - x[i + 1] * unit;
    if (!(u > -reach && u < width + reach && v > -reach && v < height + reach)) continue;
    const right = Math.min(width - 1, Math.floor(u + reach)), low = Math.min(height - 1, Math.floor(v + reach));
    for (let row = Math.max(0, Math.floor(v - reach)); row <= low; row++)
      for (let column = Math.max(0, Math.floor(u - reach)); column <= right; column++) {
        const far = reach - Math.sqrt((column + 0.5 - u) ** 2 + (row + 0.5 - v) ** 2);
        if (far <= 0) continue;
        const a = opacity * Math.min(1, far), at = 4 * (row * width + column);
        data[at] += a * (r - data[at]);
        data[at + 1] += a * (g - data[at + 1]);
        data[at + 2] += a * (b - data[at + 2]);
      }
  }
}

// Larger dots, larger with their share.
function weightedDots(area, { x, w, n }, half, colour) {
  const unit = area.w / (2 * half), most = Math.max(...w);
  area.c.fillStyle = colour;
  for (let i = 0; i < n; i++) {
    if (!w[i]) continue;
    area.c.beginPath();
    area.c.arc(area.w / 2 + x[2 * i] * unit, area.h / 2 - x[2 * i + 1] * unit, 2 + 6 * Math.sqrt(w[i] / most), 0, 6.2832);
    area.c.fill();
  }
}

// A density on a grid of bins: the colour of the law, the denser the more opaque.
function heat({ c, w, h }, columns, rows, colour) {
  const tile = document.createElement("canvas"), n = columns.length;
  tile.width = tile.height = n;
  const t = tile.getContext("2d"), image = t.createImageData(n, n), rgb = rgbOf(colour);
  const top = Math.max(...columns) * Math.max(...rows) || 1;
  for (let i = 0; i < n; i++) for (let j = 0; j < n; j++) image.data.set([...rgb, 235 * Math.sqrt((columns[j] * rows[n - 1 - i]) / top)], 4 * (i * n + j));
  t.putImageData(image, 0, 0);
  c.imageSmoothingEnabled = true;
  c.drawImage(tile, 0, 0, w, h);
}

// Ellipses that hold 39 % and 86 % of a Gaussian (one and two standard deviations).
function gaussianInPlane({ c, w, h }, { mean, variances, vectors }, half, colour) {
  const unit = w / (2 * half), turn = Math.atan2(-vectors[1], vectors[0]);
  for (const [times, alpha] of [[2, 0.18], [1, 0.35]]) {
    c.beginPath();
    c.ellipse(w / 2 + mean[0] * unit, h / 2 - mean[1] * unit, times * Math.sqrt(variances[0]) * unit, Math.max(0.01, times * Math.sqrt(variances[1]) * unit), turn, 0, 6.2832);
    c.fillStyle = c.strokeStyle = colour;
    c.globalAlpha = alpha;
    c.fill();
    c.globalAlpha = 1;
    c.lineWidth = times === 1 ? 2.5 : 1.5;
    c.stroke();
  }
}

// Probabilities of equal bins as a filled outline; `top` fixes the scale.
function histogram({ c, w, h }, bins, colour, top) {
  const base = h - 18, step = w / bins.length;
  c.beginPath();
  c.moveTo(0, base);
  bins.forEach((b, i) => {
    const y = base - Math.min(1.05, b / top) * (base - 14);
    c.lineTo(i * step, y);
    c.lineTo((i + 1) * step, y);
  });
  c.lineTo(w, base);
  c.fillStyle = colour;
  c.globalAlpha = 0.55;
  c.fill();
  c.globalAlpha = 1;
}

// The axis under a density, with the numbers that fit its window.
function axis({ c, w, h }, half, colours) {
  const raw = half / 2.2, decade = 10 ** Math.floor(Math.log10(raw)), step = decade * [1, 2, 5, 10].find((m) => m * decade >= raw * 0.999);
  c.strokeStyle = colours.edge;
  c.fillStyle = colours.soft;
  c.lineWidth = 1;
  c.font = "11px system-ui, sans-serif";
  c.textAlign = "center";
  c.beginPath();
  c.moveTo(0, h - 17.5);
  c.lineTo(w, h - 17.5);
  c.stroke();
  for (let k = -Math.floor((half * 0.93) / step); k * step <= half * 0.93; k++)
    c.fillText(String(+(k * step).toPrecision(3)).replace("-", "−"), w / 2 + (k * step * w) / (2 * half), h - 5);
}

// Weighted numbers counted in `bins` equal bins of [-half, half].
function counted(x, w, half, bins, d = 1, a = 0) {
  const out = new Float64Array(bins);
  for (let i = 0; i < w.length; i++) {
    const k = Math.floor(((x[i * d + a] + half) / (2 * half)) * bins);
    if (k >= 0 && k < bins) out[k] += w[i];
  }
  return out;
}

// Probabilities of the bins under N(mean, variance).
function gaussianBins(mean, variance, half, bins) {
  const s = Math.sqrt(variance) || 1e-9, edge = (k) => normalBelow(((2 * half * k) / bins - half - mean) / s);
  return Float64Array.from({ length: bins }, (_, k) => edge(k + 1) - edge(k));
}

// Images side by side in a square; values in [-1, 1] times `contrast`.
function tiles({ c, w, h }, x, d, [high, wide], count, contrast = 1) {
  const across = Math.ceil(Math.sqrt(count)), gap = 3, cell = (w - gap * (across + 1)) / across, tall = (cell * high) / wide;
  const tile = document.createElement("canvas");
  Object.assign(tile, { width: wide, height: high });
  const t = tile.getContext("2d"), image = t.createImageData(wide, high);
  c.imageSmoothingEnabled = false;
  for (let k = 0; k < Math.min(count, x.length / d); k++) {
    for (let p = 0; p < d; p++) {
      const v = Math.max(0, Math.min(255, 127.5 * (1 + contrast * x[k * d + p])));
      image.data[4 * p] = image.data[4 * p + 1] = image.data[4 * p + 2] = v;
      image.data[4 * p + 3] = 255;
    }
    t.putImageData(image, 0, 0);
    c.drawImage(tile, gap + (k % across) * (cell + gap), gap + Math.floor(k / across) * (tall + gap), cell, tall);
  }
}

// ---------------------------------------------------------------- the three panels

const SHOWN = 36; // images in a panel

function drawData(canvas, problem, reach, colours) {
  const area = pen(canvas, colours), { data, kind } = problem;
  if (kind === "plane") clouds(area, reach, colours, [[data.x, colours.data, 1.6, 0.75]]);
  else if (kind === "line") onLine(area, binned(data, reach), reach, colours.data, colours);
  else tiles(area, data.x, data.d, problem.shape, SHOWN);
}

// Few atoms fill single bins; many points are smoothed over wider ones.
const binned = (data, reach) => counted(data.x, data.w, reach, data.n > 200 ? WIDE_BINS : BINS);

function onLine(area, bins, reach, colour, colours) {
  histogram(area, bins, colour, Math.max(...bins) || 1);
  axis(area, reach, colours);
}

// What drawing a law needs and takes long to compute: done once for each problem and schedule.
function preparedLaw(law, problem, reach) {
  const { data, kind } = problem;
  if (kind === "images") return { ...law, draws: drawsOf(law, problem) };
  if (law.kind === "separate") return { ...law, bins: pushForward(law.denoiser, data.d, law.sigmas, [-reach, reach], BINS) };
  if (law.kind === "product") return { ...law, bins: [0, 1].map((a) => counted(data.x, data.w, reach, WIDE_BINS, 2, a)) };
  return law;
}

function drawLaw(canvas, law, problem, reach, colours) {
  const area = pen(canvas, colours), { kind } = problem, colour = colours.law;
  if (kind === "images") tiles(area, law.draws, problem.data.d, problem.shape, SHOWN);
  else if (kind === "line") {
    const bins = law.bins?.[0] ?? (law.kind === "gaussian" ? gaussianBins(law.mean[0], law.variances[0], reach, BINS) : binned(law.data, reach));
    onLine(area, bins, reach, colour, colours);
  } else if (law.kind === "gaussian") gaussianInPlane(area, law, reach, colour);
  else if (law.bins) heat(area, law.bins[0], law.bins[1], colour);
  else if (law.sampled) weightedDots(area, { ...law.data, w: law.data.w.map(() => 1) }, reach, colour);
  else clouds(area, reach, colours, [[law.data.x, colour, 1.6, law.data.n > 2000 ? 0.5 : 0.75]]);
}

// Independent draws from a law of images, with random numbers of their own.
function drawsOf(law, { data }) {
  const uniform = uniforms(90210), normal = normals(uniform), d = data.d, out = new Float64Array(SHOWN * d);
  const pick = ({ w, n }) => { let left = uniform(), k = 0; while (k < n - 1 && (left -= w[k]) > 0) k++; return k; };
  if (law.kind === "separate") return sampler(law.denoiser, out.map(() => law.sigmas[0] * normal()), d, law.sigmas).all();
  for (let i = 0; i < SHOWN; i++) {
    const row = out.subarray(i * d, i * d + d);
    if (law.kind === "gaussian") {
      row.set(law.mean);
      for (let k = 0; k < d; k++) {
        const z = normal() * Math.sqrt(law.variances[k]);
        for (let a = 0; a < d; a++) row[a] += z * law.vectors[k * d + a];
      }
    } else if (law.kind === "blocks") {
      for (const place of law.places) { const k = pick(data); for (const a of place) row[a] = data.x[k * d + a]; }
    } else { const k = pick(law.data); row.set(law.data.x.subarray(k * d, k * d + d)); }
  }
  return out;
}

// Samples on their way: y of all samples at noise level sigma, the data faintly behind them.
function drawSamples(canvas, y, sigma, problem, law, reach, colours) {
  const area = pen(canvas, colours), { data, kind } = problem, half = windowAt(reach, sigma);
  if (kind === "plane") {
    const behind = [data.x, colours.soft, 1, 0.3];
    if (sigma === 0 && law.sampled) { // many samples on few places
      clouds(area, half, colours, [behind]);
      const w = new Float64Array(law.data.n);
      for (let i = 0; i < y.length / 2; i++) w[nearestRow(law.data.x, 2, y, i)]++;
      weightedDots(area, { ...law.data, w }, half, colours.generated);
    } else clouds(area, half, colours, [behind, [y, colours.generated, 1.7, 0.85]]);
  } else if (kind === "line") {
    const bins = counted(y, new Float64Array(y.length).fill(1 / y.length), half, WIDE_BINS);
    onLine(area, bins, half, colours.generated, colours);
  } else tiles(area, y, data.d, problem.shape, SHOWN, 1 / Math.sqrt(1 + sigma * sigma));
}
