// Small tools that every formula may use; they are put in front of its source.
const linspace = (low, high, count) => Array.from({ length: count }, (_, i) => low + ((high - low) * i) / Math.max(1, count - 1));
const geomspace = (low, high, count) => linspace(Math.log(low), Math.log(high), count).map(Math.exp);
const sum = (values) => values.reduce((a, b) => a + b, 0);
const fixed = (value, digits = 2) => value.toFixed(digits).replace("-", "−");

// Karras levels, largest first, with the final zero: steps + 1 numbers.
function karras(steps, low, high, rho) {
  if (steps === 1) return [high, 0];
  return [...linspace(high ** (1 / rho), low ** (1 / rho), steps).map((v) => v ** rho), 0];
}

// Variance that an affine denoiser with ridge gives an eigenvalue of the covariance.
function generatedVariance(eigenvalue, sigmas, ridge = 0) {
  let variance = sigmas[0] ** 2;
  for (let j = 0; j + 1 < sigmas.length; j++) {
    const g = eigenvalue / (eigenvalue + sigmas[j] ** 2 + ridge);
    variance *= (g + (sigmas[j + 1] / sigmas[j]) * (1 - g)) ** 2;
  }
  return variance;
}

// Posterior weights of the points at squared distances d2, without overflow.
function softmax(d2, sigma) {
  const least = d2.reduce((a, b) => Math.min(a, b), Infinity);
  const w = Array.from(d2, (d) => Math.exp((least - d) / (2 * sigma ** 2))), total = sum(w);
  return w.map((v) => v / total);
}
