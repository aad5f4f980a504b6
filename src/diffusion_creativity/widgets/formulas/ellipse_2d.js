// Whatever the target in the plane, a linear denoiser generates a Gaussian: an ellipse.
export default function (state, data) {
  const { target, steps } = state;
  const points = Array.from(data.targets[target]), x = points.map((p) => p[0]), y = points.map((p) => p[1]);
  const n = x.length, mx = sum(x) / n, my = sum(y) / n;
  const a = sum(x.map((v) => (v - mx) ** 2)) / n, c = sum(y.map((v) => (v - my) ** 2)) / n;
  const b = sum(x.map((v, i) => (v - mx) * (y[i] - my))) / n;
  const half = Math.hypot((a - c) / 2, b), angle = Math.atan2(2 * b, a - c) / 2;
  const least = (a + c) / 2 - half; // below rounding: the target is a line
  const target_variances = [(a + c) / 2 + half, least > 1e-12 * (a + c) ? least : 0];
  const sigmas = karras(steps, data.sigma_min, data.sigma_max, 7);
  const sd = target_variances.map((v) => Math.sqrt(generatedVariance(v, sigmas)));
  const u = [Math.cos(angle), Math.sin(angle)], gain = sd.map((s) => s / data.sigma_max);
  // From z to a sample: along each axis of the ellipse, mean + gain · (sigma_max z − mean).
  const along = [mx * u[0] + my * u[1], my * u[0] - mx * u[1]].map((m, k) => m * (1 - gain[k]));
  const turn = (p, q) => [u[0] * p - u[1] * q, u[1] * p + u[0] * q];
  const samples = Array.from(data.noise, (z) => turn(along[0] + sd[0] * (u[0] * z[0] + u[1] * z[1]), along[1] + sd[1] * (u[0] * z[1] - u[1] * z[0])));
  const [cx, cy] = turn(...along);
  const shares = sd.map((s, k) => (target_variances[k] ? (100 * s ** 2) / target_variances[k] : 0));
  const facts = `Target ${target}, ${steps} steps: the samples have ${fixed(shares[0], 1)} % and ${fixed(shares[1], 1)} % of the target's variance along the two axes.`;
  const outline = (s, more) => ({ mark: "ellipse", rx: 2 * s[0], ry: 2 * s[1], angle, ...more });
  return {
    data: [
      { mark: "points", x, y, color: "data", size: 1.8, opacity: 0.8 },
      outline(target_variances.map(Math.sqrt), { cx: mx, cy: my, color: "ink", dash: true, width: 1.4, label: "mean ± 2 standard deviations" }),
    ],
    generated: [
      { mark: "points", x: samples.map((p) => p[0]), y: samples.map((p) => p[1]), color: "generated", size: 1.8, opacity: 0.8 },
      outline(sd, { cx, cy, color: "law", width: 2, label: "predicted law" }),
    ],
    alt: `Left: the target. Right: samples inside an ellipse. ${facts}`,
    caption: facts,
  };
}
