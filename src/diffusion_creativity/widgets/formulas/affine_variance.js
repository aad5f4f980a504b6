// Spectrum of the data → spectrum that a linear denoiser and a finite schedule generate.
export default function (state, data) {
  const { steps, sigma_max, rho, ridge } = state;
  const sigmas = karras(steps, data.sigma_min, sigma_max, rho);
  const eigenvalues = Array.from(data.eigenvalues), rank = eigenvalues.map((_, i) => i + 1);
  const finite = eigenvalues.map((v) => generatedVariance(v, sigmas, ridge));
  const limit = eigenvalues.map((v) => sigma_max ** 2 * (v / (v + ridge) || 0) ** 0 * odeShare(v, sigma_max, ridge));
  const kept = sum(finite) / sum(eigenvalues);
  const ratio = finite.map((v, i) => v / eigenvalues[i]);
  return {};
}
