// Mathematics of the playground: pure functions of arrays, float64 throughout.
//
// data = {x, n, d, w}: n points of d numbers, one after the other in x, and their weights w
// (sum 1). A denoiser is a function sigma => (y, out, from, to): it prepares a noise level once,
// then fills rows from … to - 1 of `out` with the estimates for these rows of y.

// Uniform numbers in [0, 1) from a seed (mulberry32): the same in every browser.
function uniforms(seed) {
  let state = Math.imul(seed | 0, 0x9e3779b1) ^ 0x5bd1e995;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}

// Standard normal numbers from uniform ones (Box and Muller).
function normals(uniform) {
  let spare = null;
  return () => {
    if (spare !== null) {
      const kept = spare;
      spare = null;
      return kept;
    }
    const r = Math.sqrt(-2 * Math.log(1 - uniform())), angle = 2 * Math.PI * uniform();
    spare = r * Math.sin(angle);
    return r * Math.cos(angle);
  };
}

// The distribution function of N(0, 1), to 1e-7 (Abramowitz and Stegun 26.2.17).
function normalBelow(z) {
  const t = 1 / (1 + 0.2316419 * Math.abs(z));
  const poly = t * (0.31938153 + t * (-0.356563782 + t * (1.781477937 + t * (-1.821255978 + t * 1.330274429))));
  const tail = (Math.exp((-z * z) / 2) / Math.sqrt(2 * Math.PI)) * poly;
  return z > 0 ? 1 - tail : tail;
}

// Karras levels, largest first, with the final zero: steps + 1 numbers.
function karrasLevels(steps, low = 0.002, high = 80, rho = 7) {
  const levels = new Float64Array(steps + 1), a = high ** (1 / rho), b = low ** (1 / rho);
  for (let j = 0; j < steps; j++) levels[j] = (steps === 1 ? a : a + ((b - a) * j) / (steps - 1)) ** rho;
  return levels;
}

// data from points in one array, equally likely unless weights are given.
function dataset(x, d, weights) {
  const n = x.length / d, w = new Float64Array(n).fill(1 / n);
  if (weights) w.set(weights);
  return { x: Float64Array.from(x), n, d, w };
}

// Mean (d) and covariance (d × d, by rows) of weighted points.
function momentsOf({ x, n, d, w }) {
  const mean = new Float64Array(d), cov = new Float64Array(d * d), c = new Float64Array(d);
  for (let i = 0; i < n; i++) for (let a = 0; a < d; a++) mean[a] += w[i] * x[i * d + a];
  for (let i = 0; i < n; i++) {
    for (let a = 0; a < d; a++) c[a] = x[i * d + a] - mean[a];
    for (let a = 0; a < d; a++) {
      const left = w[i] * c[a];
      for (let b = 0; b <= a; b++) cov[a * d + b] += left * c[b];
    }
  }
  for (let a = 0; a < d; a++) for (let b = 0; b < a; b++) cov[b * d + a] = cov[a * d + b];
  return { mean, cov };
}

// Eigenvalues, largest first, and eigenvectors (as rows) of a symmetric d × d matrix: Jacobi's rotations.
function eigenSymmetric(matrix, d) {
  const a = Float64Array.from(matrix), v = new Float64Array(d * d);
  for (let i = 0; i < d; i++) v[i * d + i] = 1;
  const size = a.reduce((s, e) => s + e * e, 0);
  for (let sweep = 0; sweep < 40; sweep++) {
    let off = 0;
    for (let p = 0; p < d; p++) for (let q = 0; q < p; q++) off += a[p * d + q] ** 2;
    if (off <= 1e-30 * size) break;
    for (let p = 0; p < d; p++) for (let q = p + 1; q < d; q++) rotate(a, v, d, p, q);
  }
  const order = Array.from({ length: d }, (_, i) => i).sort((i, j) => a[j * d + j] - a[i * d + i]);
  const values = Float64Array.from(order, (i) => Math.max(0, a[i * d + i])), vectors = new Float64Array(d * d);
  order.forEach((i, row) => vectors.set(v.subarray(i * d, i * d + d), row * d));
  return { values, vectors };
}

// One rotation of Jacobi: makes entry (p, q) zero. Rows of v collect the eigenvectors.
function rotate(a, v, d, p, q) {
  const apq = a[p * d + q];
  if (apq === 0) return;
  const theta = (a[q * d + q] - a[p * d + p]) / (2 * apq);
  const t = Math.sign(theta || 1) / (Math.abs(theta) + Math.sqrt(theta * theta + 1)), c = 1 / Math.sqrt(t * t + 1), s = t * c;
  for (let k = 0; k < d; k++) {
    const u = a[k * d + p], w = a[k * d + q];
    a[k * d + p] = c * u - s * w;
    a[k * d + q] = s * u + c * w;
  }
  for (let k = 0; k < d; k++) {
    const u = a[p * d + k], w = a[q * d + k];
    a[p * d + k] = c * u - s * w;
    a[q * d + k] = s * u + c * w;
    const e = v[p * d + k], f = v[q * d + k];
    v[p * d + k] = c * e - s * f;
    v[q * d + k] = s * e + c * f;
  }
}

// ---------------------------------------------------------------- denoisers

// Bayes: the average of all points, weighted by w_i exp(-|y - x_i|² / 2σ²).
function bayesDenoiser({ x, n, d, w }) {
  const distance = new Float64Array(n), sum = new Float64Array(d);
  const measure = d === 2 ? squaresInPlane : squares;
  return (sigma) => {
    const c = 1 / (2 * sigma * sigma);
    return (y, out, from, to) => {
      for (let i = from; i < to; i++) {
        const least = measure(x, d, y, i, distance, 40 / c);
        let total = 0;
        sum.fill(0);
        for (let k = 0; k < n; k++) {
          const e = (distance[k] - least) * c;
          if (!(e < 40)) continue; // below 5e-18 of the largest weight
          const share = w[k] * Math.exp(-e);
          total += share;
          for (let a = 0; a < d; a++) sum[a] += share * x[k * d + a];
        }
        for (let a = 0; a < d; a++) out[i * d + a] = sum[a] / total;
      }
    };
  };
}

// Squared distances from row i of y to all points, into `distance`; returns the least. A point is
// given up (Infinity) as soon as it is farther than the nearest so far by more than `slack`.
function squares(x, d, y, i, distance, slack) {
  let least = Infinity;
  for (let k = 0; k < distance.length; k++) {
    let r = 0;
    for (let a = 0; a < d && r <= least + slack; ) {
      const stop = Math.min(d, a + 16);
      for (; a < stop; a++) {
        const gap = y[i * d + a] - x[k * d + a];
        r += gap * gap;
      }
    }
    distance[k] = r <= least + slack ? r : Infinity;
    if (r < least) least = r;
  }
  return least;
}

// The same in the plane, where it has to be fast.
function squaresInPlane(x, d, y, i, distance) {
  const u = y[2 * i], v = y[2 * i + 1];
  let least = Infinity;
  for (let k = 0; k < distance.length; k++) {
    const a = u - x[2 * k], b = v - x[2 * k + 1], r = a * a + b * b;
    distance[k] = r;
    if (r < least) least = r;
  }
  return least;
}

// The same in blocks of coordinates that do not see one another: places = [[coordinates of block 0], …].
function blockDenoiser(data, places) {
  const blocks = places.map((place) => {
    const seen = new Map(), k = place.length; // equal values once, with their joint weight
    for (let i = 0; i < data.n; i++) {
      const point = place.map((a) => data.x[i * data.d + a]), key = point.join();
      seen.set(key, { point, w: (seen.get(key)?.w ?? 0) + data.w[i] });
    }
    const kept = [...seen.values()];
    return bayesDenoiser(dataset(kept.flatMap((e) => e.point), k, kept.map((e) => e.w)));
  });
  return (sigma) => {
    const ready = blocks.map((block) => block(sigma));
    const widest = Math.max(...places.map((p) => p.length)), y1 = new Float64Array(widest), out1 = new Float64Array(widest);
    return (y, out, from, to) => {
      for (let i = from; i < to; i++)
        places.forEach((place, b) => {
          for (let a = 0; a < place.length; a++) y1[a] = y[i * data.d + place[a]];
          ready[b](y1, out1, 0, 1);
          for (let a = 0; a < place.length; a++) out[i * data.d + place[a]] = out1[a];
        });
    };
  };
}

// Affine: D(y) = μ + U_k Λ_k (Λ_k + σ²)⁻¹ U_kᵀ (y - μ). rank k = d: the best affine map;
// rank k < d: the best linear bottleneck of that width.
function affineDenoiser({ mean, values, vectors }, rank = mean.length) {
  const d = mean.length;
  return (sigma) => {
    const a = new Float64Array(d * d);
    for (let k = 0; k < rank; k++) {
      const g = values[k] / (values[k] + sigma * sigma), u = vectors.subarray(k * d, k * d + d);
      for (let i = 0; i < d; i++) for (let j = 0; j < d; j++) a[i * d + j] += g * u[i] * u[j];
    }
    return (y, out, from, to) => {
      for (let r = from; r < to; r++)
        for (let i = 0; i < d; i++) {
          let s = mean[i];
          for (let j = 0; j < d; j++) s += a[i * d + j] * (y[r * d + j] - mean[j]);
          out[r * d + i] = s;
        }
    };
  };
}

// Mean and eigenpairs of the data: all that an affine map or a linear bottleneck sees.
function spectrumOf(data) {
  const { mean, cov } = momentsOf(data);
  return { mean, ...eigenSymmetric(cov, data.d) };
}

// The same for circular convolutions: one mean for all pixels, the covariance averaged over shifts.
function circularSpectrum(data, [high, wide]) {
  const d = data.d, { mean, cov } = momentsOf(data), level = mean.reduce((s, v) => s + v, 0) / d, by = new Float64Array(d);
  const shift = (i, j) => ((((j / wide) | 0) - ((i / wide) | 0) + high) % high) * wide + (((j % wide) - (i % wide) + wide) % wide);
  for (let i = 0; i < d; i++) for (let j = 0; j < d; j++) by[shift(i, j)] += (cov[i * d + j] + (mean[i] - level) * (mean[j] - level)) / d;
  const matrix = Float64Array.from({ length: d * d }, (_, k) => by[shift((k / d) | 0, k % d)]);
  return { mean: new Float64Array(d).fill(level), ...eigenSymmetric(matrix, d) };
}

// Nodes t_k and weights of Gauss's quadrature for N(0, 1): exact to degree 2 count - 1 (Golub and Welsch).
function gaussHermite(count) {
  const jacobi = new Float64Array(count * count);
  for (let k = 1; k < count; k++) jacobi[k * count + k - 1] = jacobi[(k - 1) * count + k] = Math.sqrt(k);
  const shiftBy = 2 * Math.sqrt(count); // eigenvalues are clipped at zero above
  for (let k = 0; k < count; k++) jacobi[k * count + k] = shiftBy;
  const { values, vectors } = eigenSymmetric(jacobi, count);
  return { nodes: values.map((v) => v - shiftBy), weights: values.map((_, k) => vectors[k * count] ** 2) };
}

// The best polynomial of given degree for one coordinate, at one noise level.
//
// p_σ is replaced by nodes x_i + σ t_k that give every moment up to 2 · degree + 1 exactly; the
// recurrence of Stieltjes makes polynomials π_j orthonormal on them, in the variable
// (y - centre) / scale; the coefficients are E[x π_j(y)].
function fitPolynomial(values, weights, sigma, degree, { nodes, weights: masses } = gaussHermite(degree + 2)) {
  const n = values.length, m = nodes.length, size = n * m;
  let centre = 0, spread = 0;
  for (let i = 0; i < n; i++) centre += weights[i] * values[i];
  for (let i = 0; i < n; i++) spread += weights[i] * (values[i] - centre) ** 2;
  const scale = Math.sqrt(spread + sigma * sigma), alpha = [], beta = [0], coefficients = [];
  const t = new Float64Array(size), mass = new Float64Array(size);
  let now = new Float64Array(size).fill(1), before = new Float64Array(size), next = new Float64Array(size);
  for (let i = 0; i < n; i++)
    for (let k = 0; k < m; k++) {
      t[i * m + k] = (values[i] - centre + sigma * nodes[k]) / scale;
      mass[i * m + k] = weights[i] * masses[k];
    }
  for (let j = 0; j <= degree; j++) {
    let a = 0, c = 0, norm = 0;
    for (let i = 0; i < size; i++) {
      const p = mass[i] * now[i];
      a += p * now[i] * t[i];
      c += p * (values[(i / m) | 0] - centre);
    }
    alpha.push(a);
    coefficients.push(c);
    for (let i = 0; i < size; i++) {
      next[i] = (t[i] - a) * now[i] - beta[j] * before[i];
      norm += mass[i] * next[i] * next[i];
    }
    beta.push(Math.sqrt(norm));
    for (let i = 0; i < size; i++) next[i] /= beta[j + 1];
    [before, now, next] = [now, next, before];
  }
  return { centre, scale, alpha, beta, coefficients };
}

// Value of that polynomial at y.
function polynomialAt({ centre, scale, alpha, beta, coefficients }, y) {
  const t = (y - centre) / scale;
  let now = 1, before = 0, s = centre;
  for (let j = 0; j < coefficients.length; j++) {
    s += coefficients[j] * now;
    const next = ((t - alpha[j]) * now - beta[j] * before) / beta[j + 1];
    before = now;
    now = next;
  }
  return s;
}

// Polynomial of given degree in each coordinate by itself.
function polynomialDenoiser({ x, n, d, w }, degree) {
  const columns = Array.from({ length: d }, (_, a) => Float64Array.from({ length: n }, (_, i) => x[i * d + a]));
  const rule = gaussHermite(degree + 2);
  return (sigma) => {
    const fits = columns.map((column) => fitPolynomial(column, w, sigma, degree, rule));
    return (y, out, from, to) => {
      for (let i = from * d; i < to * d; i++) out[i] = polynomialAt(fits[i % d], y[i]);
    };
  };
}

// ---------------------------------------------------------------- k words

// k-means of weighted points from given centres: Lloyd's algorithm. Returns centres and shares.
function lloyd({ x, n, d, w }, centres, rounds = 40) {
  const k = centres.length / d, where = new Int32Array(n).fill(-1);
  let shares = new Float64Array(k);
  for (let round = 0; round < rounds; round++) {
    let moved = false;
    for (let i = 0; i < n; i++) {
      const best = nearestRow(centres, d, x, i);
      moved = moved || best !== where[i];
      where[i] = best;
    }
    if (!moved) break;
    const sums = new Float64Array(k * d);
    shares = new Float64Array(k);
    for (let i = 0; i < n; i++) {
      shares[where[i]] += w[i];
      for (let a = 0; a < d; a++) sums[where[i] * d + a] += w[i] * x[i * d + a];
    }
    centres = centres.map((c, j) => (shares[(j / d) | 0] > 0 ? sums[j] / shares[(j / d) | 0] : c));
  }
  return { centres, shares };
}

// Index of the row of `rows` (m × d) nearest to row i of y.
function nearestRow(rows, d, y, i) {
  let best = 0, least = Infinity;
  for (let k = 0, at = 0; at < rows.length; k++) {
    let r = 0;
    for (let a = 0; a < d; a++, at++) r += (y[i * d + a] - rows[at]) ** 2;
    if (r < least) {
      least = r;
      best = k;
    }
  }
  return best;
}

// k words for the data: the best of several runs of Lloyd from k-means++ starts.
function kMeans(data, k, seed = 1, tries = 6) {
  const { x, n, d, w } = data;
  let best = null;
  for (let run = 0; run < tries; run++) {
    const uniform = uniforms(seed + run), gap = new Float64Array(n).fill(1), centres = new Float64Array(k * d);
    for (let c = 0; c < k; c++) {
      const total = gap.reduce((s, g, i) => s + w[i] * g, 0);
      let left = uniform() * total, i = 0;
      while (i < n - 1 && (left -= w[i] * gap[i]) > 0) i++;
      centres.set(x.subarray(i * d, i * d + d), c * d);
      for (let j = 0; j < n; j++) {
        let r = 0;
        for (let a = 0; a < d; a++) r += (x[j * d + a] - x[i * d + a]) ** 2;
        gap[j] = c ? Math.min(gap[j], r) : r;
      }
    }
    const found = lloyd(data, centres);
    let cost = 0;
    for (let i = 0; i < n; i++) {
      const c = nearestRow(found.centres, d, x, i);
      for (let a = 0; a < d; a++) cost += w[i] * (x[i * d + a] - found.centres[c * d + a]) ** 2;
    }
    if (!best || cost < best.cost) best = { ...found, cost };
  }
  return best;
}

// ---------------------------------------------------------------- sampling and laws

// A sampler that can be interrupted: y' = D(y) + (σ'/σ)(y - D(y)), all states kept in `path`.
function sampler(denoiser, start, d, sigmas) {
  const n = start.length / d, estimate = new Float64Array(start.length), path = [start];
  let row = 0, ready = null, next = null;
  const run = {
    path, n, d, sigmas,
    get done() { return path.length - 1; },
    get finished() { return path.length === sigmas.length; },
    // One piece of work: `rows` samples of the step in hand.
    work(rows = n) {
      if (run.finished) return;
      const j = path.length - 1, y = path[j], ratio = sigmas[j + 1] / sigmas[j], to = Math.min(n, row + rows);
      ready = ready || denoiser(sigmas[j]);
      next = next || new Float64Array(start.length);
      ready(y, estimate, row, to);
      for (let i = row * d; i < to * d; i++) next[i] = ratio === 0 ? estimate[i] : estimate[i] + ratio * (y[i] - estimate[i]);
      row = to;
      if (row === n) {
        path.push(next);
        row = 0;
        ready = next = null;
      }
    },
    all() {
      while (!run.finished) run.work();
      return path[path.length - 1];
    },
  };
  return run;
}

// Exact law of an affine sampler on a finite schedule: mean (d), and variances along the eigenvectors.
function gaussianLaw({ mean, values, vectors }, sigmas, rank = mean.length) {
  const d = mean.length, center = Float64Array.from(mean), variances = new Float64Array(d);
  for (let k = 0; k < d; k++) {
    const u = vectors.subarray(k * d, k * d + d), offset = u.reduce((s, v, a) => s + v * mean[a], 0);
    let gain = 1;
    for (let j = 0; j + 1 < sigmas.length; j++) {
      const g = k < rank ? values[k] / (values[k] + sigmas[j] ** 2) : 0;
      gain *= g + (sigmas[j + 1] / sigmas[j]) * (1 - g);
    }
    variances[k] = (sigmas[0] * gain) ** 2;
    for (let a = 0; a < d; a++) center[a] -= gain * offset * u[a];
  }
  return { mean: center, variances, vectors };
}

// Law of a sampler that treats coordinates separately: N(0, σ_0²) pushed forward through all steps.
// Short intervals are carried along with their probability and laid into `bins` bins of [low, high]
// (several branches add up). Returns for each coordinate the probability of each bin.
function pushForward(denoiser, d, sigmas, [low, high], bins, cells = 2000) {
  const start = new Float64Array((cells + 1) * d);
  for (let i = 0; i <= cells; i++) start.fill(sigmas[0] * (-5.2 + (10.4 * i) / cells), i * d, i * d + d);
  const end = sampler(denoiser, start, d, sigmas).all();
  return Array.from({ length: d }, (_, a) => {
    const out = new Float64Array(bins), unit = bins / (high - low);
    for (let i = 0; i < cells; i++) {
      const mass = normalBelow(start[i * d + d] / sigmas[0]) - normalBelow(start[i * d] / sigmas[0]);
      const u = (end[i * d + a] - low) * unit, v = (end[i * d + d + a] - low) * unit;
      if (Number.isFinite(u) && Number.isFinite(v)) spread(out, Math.min(u, v), Math.max(u, v), mass);
    }
    return out;
  });
}

// Lay `mass` evenly over [u, v], in units of bins; what falls outside is lost.
function spread(out, u, v, mass) {
  if (v - u < 1e-9) {
    const k = Math.floor(u);
    if (k >= 0 && k < out.length) out[k] += mass;
    return;
  }
  for (let k = Math.max(0, Math.floor(u)); k < Math.min(out.length, Math.ceil(v)); k++)
    out[k] += (mass * (Math.min(v, k + 1) - Math.max(u, k))) / (v - u);
}

// ---------------------------------------------------------------- numbers under the picture

// Share of the samples that lie within `near` of a data point; rows that escaped count as new.
function copiedShare(samples, { x, d }, near) {
  const n = samples.length / d;
  let hits = 0;
  for (let i = 0; i < n; i++) {
    const k = nearestRow(x, d, samples, i);
    let r = 0;
    for (let a = 0; a < d; a++) r += (samples[i * d + a] - x[k * d + a]) ** 2;
    if (Math.sqrt(r) <= near) hits++;
  }
  return hits / n;
}

// Total variance of samples over that of the data, and the share of samples beyond 50 times its spread.
function spreadOf(samples, data) {
  const d = data.d, { mean, cov } = momentsOf(data), kept = [];
  let total = 0;
  for (let a = 0; a < d; a++) total += cov[a * d + a];
  const n = samples.length / d, reach = 50 * Math.sqrt(total);
  for (let i = 0; i < n; i++) {
    let r = 0;
    for (let a = 0; a < d; a++) r += (samples[i * d + a] - mean[a]) ** 2;
    if (Math.sqrt(r) <= reach) for (let a = 0; a < d; a++) kept.push(samples[i * d + a]);
  }
  const of = kept.length ? momentsOf(dataset(kept, d)).cov : new Float64Array(d * d);
  let generated = 0;
  for (let a = 0; a < d; a++) generated += of[a * d + a];
  return { ratio: generated / total, escaped: 1 - kept.length / d / n, root: Math.sqrt(total) };
}

// Codebook: the word nearest to the posterior mean.
function codebookDenoiser(data, centres) {
  const bayes = bayesDenoiser(data), d = data.d;
  return (sigma) => {
    const mean = bayes(sigma);
    return (y, out, from, to) => {
      mean(y, out, from, to);
      for (let i = from; i < to; i++) {
        const k = nearestRow(centres, d, out, i);
        for (let a = 0; a < d; a++) out[i * d + a] = centres[k * d + a];
      }
    };
  };
}
