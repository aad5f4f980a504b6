// Noisy density, best denoiser and the step that Tweedie's formula takes, for data on a line.
export default function (state, data) {
  const { sigma, y } = state;
  const points = Array.from(data.points), spread = data.variance + sigma ** 2, scale = Math.sqrt(spread);
  const weights = (u) => softmax(points.map((p) => (u - p) ** 2), scale);
  const denoise = (u) => {
    const w = weights(u);
    return sum(points.map((p, i) => w[i] * (p + (data.variance / spread) * (u - p))));
  };
  const density = (u) => sum(points.map((p) => Math.exp(-((u - p) ** 2) / (2 * spread))));
  const grid = linspace(data.low, data.high, 321), p = grid.map(density), top = Math.max(...p);
  const at = Math.min(density(y) / top, 1), x_hat = denoise(y), score = (x_hat - y) / sigma ** 2;
  const facts = `y = ${fixed(y)} is denoised to ${fixed(x_hat)}: the score ${fixed(score)} times σ² = ${fixed(sigma ** 2, 3)} is the step ${fixed(x_hat - y)}.`;
  return {
    density: [
      { mark: "area", x: grid, low: 0, high: p.map((v) => v / top), color: "noise", opacity: 0.35 },
      { mark: "line", x: grid, y: p.map((v) => v / top), color: "noise" },
      { mark: "points", x: points, y: points.map(() => 0), color: "data", size: 5, label: "data" },
      { mark: "arrows", x0: y, y0: at, x1: x_hat, y1: at, color: "denoiser", width: 2.4, label: "step σ² ∇ log p" },
      { mark: "points", x: [y], y: [at], color: "ink", size: 5, shape: "cross", label: "noisy y" },
    ],
    denoiser: [
      { mark: "line", x: [data.low, data.high], y: [data.low, data.high], color: "muted", dash: true, label: "y itself", label_at: 0 },
      { mark: "line", x: grid, y: grid.map(denoise), color: "denoiser", width: 2.5, label: "denoiser" },
      { mark: "arrows", x0: y, y0: y, x1: y, y1: x_hat, color: "denoiser" },
      { mark: "points", x: [y], y: [x_hat], color: "denoiser", size: 5 },
      { mark: "points", x: [y], y: [y], color: "ink", size: 5, shape: "cross" },
    ],
    alt: `Left: density of noisy data at σ = ${fixed(sigma, 3)}. Right: the denoiser as a curve. ${facts}`,
    caption: facts,
  };
}
