// Spectrum of the data → spectrum that a linear denoiser generates with a finite schedule.
export default function (state, data) {
  const { steps, sigma_max, rho, ridge } = state;
  const low = data.sigma_min, sigmas = karras(steps, low, sigma_max, rho);
  const target = Array.from(data.eigenvalues), rank = target.map((_, i) => i + 1);
  const finite = target.map((v) => generatedVariance(v, sigmas, ridge));
  // Infinitely many steps down to sigma_min, then the last one to zero.
  const limit = target.map((v) => {
    const c = v + ridge;
    return sigma_max ** 2 * (low / sigma_max) ** ((2 * ridge) / c)
      * ((low ** 2 + c) / (sigma_max ** 2 + c)) ** (v / c) * (v / (c + low ** 2)) ** 2;
  });
  const share = (values) => values.map((v, i) => v / target[i]);
  const total = (100 * sum(finite)) / sum(target), weakest = (100 * finite.at(-1)) / target.at(-1);
  const facts = `${steps} steps keep ${fixed(total, 1)} % of the total variance and ${fixed(weakest, 1)} % in the weakest direction.`;
  return {
    spectrum: [
      { mark: "line", x: rank, y: limit, color: "law", dash: true, label: "infinitely many steps" },
      { mark: "points", x: rank, y: target, color: "data", size: 3.2, label: "data" },
      { mark: "points", x: rank, y: finite, color: "generated", size: 3.2, shape: "ring", width: 1.6, label: "generated" },
    ].map(legend),
    ratio: [
      { mark: "hline", y: 1, color: "data", dash: true, label: "data" },
      { mark: "line", x: target, y: share(limit), color: "law", dash: true },
      { mark: "line", x: target, y: share(finite), color: "generated", width: 2.5 },
    ],
    alt: `Two plots against the eigenvalues of the data, ridge ${fixed(ridge, 3)}, largest noise level ${fixed(sigma_max, 1)}, schedule exponent ${fixed(rho, 1)}. ${facts}`,
    caption: facts,
  };
}

// In the left panel names stand in the legend: three curves end at the same place.
function legend(mark) {
  return mark.mark === "line" ? { ...mark, x: [mark.x], y: [mark.y] } : mark;
}
