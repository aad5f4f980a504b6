// The perfect denoiser in the plane: an average of the training points, weighted by closeness.
export default function (state, data) {
  const { sigma, y1, y2 } = state;
  const x = Array.from(data.points, (p) => p[0]), y = Array.from(data.points, (p) => p[1]);
  const w = softmax(x.map((_, i) => (x[i] - y1) ** 2 + (y[i] - y2) ** 2), sigma);
  const mean = [sum(x.map((v, i) => w[i] * v)), sum(y.map((v, i) => w[i] * v))];
  const effective = 1 / sum(w.map((v) => v * v)), sorted = [...w].sort((a, b) => b - a).slice(0, 12);
  const facts = `The average of ${fixed(effective, 1)} training points, effectively; the nearest one has weight ${fixed(sorted[0], 2)}.`;
  return {
    plane: [
      { mark: "points", x, y, color: "data", size: w.map((v) => 2 + 11 * Math.sqrt(v)), opacity: 0.75, label: "training points, sized by weight" },
      { mark: "ellipse", cx: y1, cy: y2, rx: sigma, ry: sigma, angle: 0, color: "noise", dash: true, width: 1.4 },
      { mark: "arrows", x0: y1, y0: y2, x1: mean[0], y1: mean[1], color: "denoiser", width: 2.4 },
      { mark: "points", x: [y1], y: [y2], color: "ink", size: 5, shape: "cross", label: "noisy y" },
      { mark: "points", x: [mean[0]], y: [mean[1]], color: "denoiser", size: 6, label: "denoised" },
    ],
    weights: [{ mark: "bars", x: sorted.map((_, i) => i + 1), y: sorted, width: 0.8, color: "data" }],
    alt: `Training points in the plane and a noisy point at (${fixed(y1)}, ${fixed(y2)}), σ = ${fixed(sigma, 3)}, denoised to (${fixed(mean[0])}, ${fixed(mean[1])}). ${facts}`,
    caption: facts,
  };
}
