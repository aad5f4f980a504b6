"""The playground's JavaScript against the package and against float64 sums, and what it refuses."""

import re

import numpy as np
import pytest
import torch
from scipy import stats

import diffusion_creativity as dc
from diffusion_creativity.denoisers.bottleneck import LinearBottleneck
from diffusion_creativity.widgets import Playground
from diffusion_creativity.widgets.playground import ARCHITECTURES, STEPS, TARGETS

RNG = np.random.default_rng(5)
CLOUD = RNG.normal(size=(60, 2)) @ np.array([[1.0, 0.4], [0.0, 0.5]]) + [0.3, -0.2]
IMAGES = RNG.uniform(-1, 1, size=(12, 4, 4))
ATOMS = ([-np.sqrt(3), 0.0, np.sqrt(3)], [1 / 6, 2 / 3, 1 / 6])
LEVELS = (0.002, 0.1, 0.7, 3.0, 80.0)


def noisy(x, sigma, n=20):
    """Noisy data of shape (n, *shape), float64."""
    picked = RNG.integers(len(x), size=n)
    return x[picked] + sigma * RNG.normal(size=(n, *x.shape[1:]))


def compare(js, make, x, expected, rtol=1e-9, **values):
    """JavaScript's denoiser against Python's, at all levels."""
    x = np.asarray(x, float)
    flat = x.reshape(len(x), -1)
    for sigma in LEVELS:
        y = noisy(x, sigma)
        found = js(
            f"const data = dataset(x, d); return on({make}, sigma, y, d);",
            x=flat.ravel(), d=flat.shape[1], sigma=sigma, y=y.ravel(), **values,
        )  # fmt: skip
        wanted = np.asarray(expected(torch.from_numpy(y), sigma)).ravel()
        np.testing.assert_allclose(found, wanted, rtol=rtol, atol=rtol * np.abs(x).max())


# ---------------------------------------------------------------- denoisers


@pytest.mark.parametrize("x", [CLOUD, IMAGES], ids=["plane", "images"])
def test_affine(js, x):
    denoiser = dc.denoisers.Affine.fit(torch.from_numpy(x))
    compare(js, "affineDenoiser(spectrumOf(data))", x, denoiser)


@pytest.mark.parametrize("rank", [1, 3])
def test_bottleneck(js, rank):
    denoiser = LinearBottleneck.fit(torch.from_numpy(IMAGES), rank=rank)
    compare(js, "affineDenoiser(spectrumOf(data), rank)", IMAGES, denoiser, rank=rank)


@pytest.mark.parametrize("x", [CLOUD, IMAGES], ids=["plane", "images"])
def test_bayes(js, x):
    compare(js, "bayesDenoiser(data)", x, dc.denoisers.Bayes.fit(torch.from_numpy(x)))


def test_blocks_are_bayes_of_each_part(js):
    places = [[0, 1, 4, 5], [2, 3, 6, 7], [8, 9, 12, 13], [10, 11, 14, 15]]
    flat = torch.from_numpy(IMAGES).flatten(1)

    def expected(y, sigma):
        out = torch.empty_like(y.flatten(1))
        for place in places:
            out[:, place] = dc.denoisers.Bayes.fit(flat[:, place])(y.flatten(1)[:, place], sigma)
        return out

    assert js("return placesOf(16, [4, 4], 2);") == places
    compare(js, "blockDenoiser(data, placesOf(16, [4, 4], 2))", IMAGES, expected)


def test_coordinates_are_bayes_of_each(js):
    columns = [dc.denoisers.Bayes.fit(torch.from_numpy(CLOUD[:, [a]])) for a in range(2)]

    def expected(y, sigma):
        return torch.cat([column(y[:, [a]], sigma) for a, column in enumerate(columns)], 1)

    compare(js, "blockDenoiser(data, placesOf(2))", CLOUD, expected)


def test_equal_values_of_a_coordinate_count_together(js):
    x = np.array([[0.0], [0.0], [1.0]])
    expected = dc.denoisers.Bayes.fit(torch.from_numpy(x))
    compare(js, "blockDenoiser(data, placesOf(1))", x, expected)


def test_equivariant_is_bayes_of_the_orbit(js):
    shifts = [np.roll(IMAGES, (v, h), axis=(1, 2)) for v in range(4) for h in range(4)]
    expected = dc.denoisers.Bayes.fit(torch.from_numpy(np.concatenate(shifts)))
    compare(js, 'bayesDenoiser(orbit(data, "images", [4, 4]))', IMAGES, expected)
    turns = [CLOUD @ np.linalg.matrix_power([[0, 1], [-1, 0]], k) for k in range(4)]
    expected = dc.denoisers.Bayes.fit(torch.from_numpy(np.concatenate(turns)))
    compare(js, 'bayesDenoiser(orbit(data, "plane"))', CLOUD, expected)


def test_convolution_is_affine_on_all_shifts(js):
    shifts = [np.roll(IMAGES, (v, h), axis=(1, 2)) for v in range(4) for h in range(4)]
    expected = dc.denoisers.Affine.fit(torch.from_numpy(np.concatenate(shifts)))
    compare(js, "affineDenoiser(circularSpectrum(data, [4, 4]))", IMAGES, expected)


def projected(values, weights, sigma, degree, y):
    """The best polynomial: least squares on quadrature nodes, by QR in Legendre's basis."""
    nodes, mass = np.polynomial.hermite_e.hermegauss(24)
    t = (values[:, None] + sigma * nodes).ravel()
    w = (weights[:, None] * mass / mass.sum()).ravel()
    mean = weights @ values
    scale = np.sqrt(weights @ (values - mean) ** 2 + sigma**2)

    def basis(s):
        return np.polynomial.legendre.legvander((s - mean) / (4 * scale), degree)

    q, r = np.linalg.qr(np.sqrt(w)[:, None] * basis(t))
    right = q.T @ (np.sqrt(w) * np.repeat(values, len(nodes)))
    return basis(y) @ np.linalg.solve(r, right)


@pytest.mark.parametrize("degree", range(1, 6))
def test_polynomial_is_the_projection_of_the_target(js, degree):
    weights = np.full(len(CLOUD), 1 / len(CLOUD))

    def expected(y, sigma):
        columns = [projected(CLOUD[:, a], weights, sigma, degree, y[:, a].numpy()) for a in (0, 1)]
        return np.stack(columns, 1)

    compare(js, "polynomialDenoiser(data, degree)", CLOUD, expected, 1e-8, degree=degree)


def test_polynomial_of_three_atoms_stays_affine_up_to_degree_four(js):
    """Their moments to order 5 are those of N(0, 1): nothing past the first coefficient."""
    for degree in range(2, 6):
        for sigma in (0.05, 1.0, 80.0):
            fit = js("return fitPolynomial(x, w, sigma, degree);",
                     x=ATOMS[0], w=ATOMS[1], sigma=sigma, degree=degree)  # fmt: skip
            higher = np.abs(fit["coefficients"][2:])
            slope = abs(fit["coefficients"][1])
            np.testing.assert_allclose(slope, 1 / np.sqrt(1 + sigma**2), rtol=1e-12)
            assert higher[:3].max(initial=0) < 1e-11
            if degree == 5 and sigma < 10:
                assert higher[3] > 1e-3


def test_quadrature_is_that_of_hermite(js):
    for count in (3, 7):
        rule = js("return gaussHermite(count);", count=count)
        nodes, mass = np.polynomial.hermite_e.hermegauss(count)
        order = np.argsort(rule["nodes"])
        np.testing.assert_allclose(np.array(rule["nodes"])[order], nodes, atol=1e-13)
        np.testing.assert_allclose(
            np.array(rule["weights"])[order], mass / mass.sum(), rtol=1e-10, atol=1e-15
        )


def test_codebook_answers_with_the_word_nearest_to_the_posterior_mean(js):
    found = js("const { centres, shares } = kMeans(dataset(x, 2), 4); return { centres, shares };",
               x=CLOUD.ravel())  # fmt: skip
    centres = torch.tensor(found["centres"], dtype=torch.float64).reshape(4, 2)
    nearest = torch.cdist(torch.from_numpy(CLOUD), centres).argmin(1)
    for k in range(4):  # a fixed point of Lloyd's algorithm
        assert (nearest == k).double().mean() == pytest.approx(found["shares"][k])
        np.testing.assert_allclose(centres[k], CLOUD[nearest.numpy() == k].mean(0), atol=1e-12)
    bayes = dc.denoisers.Bayes.fit(torch.from_numpy(CLOUD))

    def expected(y, sigma):
        return centres[torch.cdist(bayes(y, sigma), centres).argmin(1)]

    compare(js, "codebookDenoiser(data, Float64Array.from(centres))", CLOUD, expected,
            centres=found["centres"])  # fmt: skip


def test_a_wrong_denoiser_is_noticed(js):
    """The comparison can fail: one part in a million is seen."""
    exact = dc.denoisers.Affine.fit(torch.from_numpy(CLOUD))
    with pytest.raises(AssertionError):
        compare(js, "affineDenoiser(spectrumOf(data))", CLOUD,
                lambda y, sigma: 1.000001 * exact(y, sigma))  # fmt: skip


# ---------------------------------------------------------------- sampling and laws


def test_levels_are_those_of_the_book(js):
    for steps in STEPS:
        levels = dc.noise.karras(steps=steps, sigma_min=0.002, sigma_max=80.0, rho=7.0)
        np.testing.assert_allclose(js("return karrasLevels(k);", k=steps), levels, rtol=1e-6)


def test_sampler_takes_the_steps_of_ddim(js):
    start = 80 * RNG.normal(size=(5, 2))
    sigmas = dc.noise.karras(steps=12)
    denoiser = dc.denoisers.Bayes.fit(torch.from_numpy(CLOUD))
    wanted = dc.sampling.ddim(
        denoiser, torch.from_numpy(start), sigmas.double(), return_trajectory=True
    )
    found = js(
        """const run = sampler(bayesDenoiser(dataset(x, 2)), Float64Array.from(start), 2, sigmas);
        while (!run.finished) run.work(2); // pieces that do not divide the samples
        return run.path;""",
        x=CLOUD.ravel(), start=start.ravel(), sigmas=sigmas.double(),
    )  # fmt: skip
    np.testing.assert_allclose(found, wanted.reshape(13, 10), rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize("rank", [2, 1])
def test_gaussian_law_is_that_of_the_package(js, rank):
    sigmas = dc.noise.karras(steps=18).double()
    denoiser = LinearBottleneck.fit(torch.from_numpy(CLOUD), rank=rank)
    law = denoiser.law(sigmas)
    found = js("return gaussianLaw(spectrumOf(dataset(x, 2)), sigmas, rank);",
               x=CLOUD.ravel(), sigmas=sigmas, rank=rank)  # fmt: skip
    vectors = np.array(found["vectors"]).reshape(2, 2)
    cov = vectors.T @ np.diag(found["variances"]) @ vectors
    np.testing.assert_allclose(found["mean"], law.mean, rtol=1e-8)
    np.testing.assert_allclose(cov, law.cov, rtol=1e-8, atol=1e-12)


def test_known_answers_of_the_finite_schedule(js):
    for steps, variance in {5: 0.4593, 10: 0.9800, 18: 1.2698, 50: 1.5361, 200: 1.6577}.items():
        law = js("return gaussianLaw({ mean: [0], values: [1.7], vectors: Float64Array.of(1) }, "
                 "karrasLevels(steps));", steps=steps)  # fmt: skip
        assert law["variances"][0] == pytest.approx(variance, abs=5e-5)


def test_pushed_forward_law_of_an_affine_map_is_its_gaussian(js):
    found = js(
        """const data = dataset([-1, 1], 1), sigmas = karrasLevels(40), s = spectrumOf(data);
        const law = gaussianLaw(s, sigmas);
        return [pushForward(affineDenoiser(s), 1, sigmas, [-4, 4], BINS)[0],
                gaussianBins(0, law.variances[0], 4, BINS)];"""
    )
    np.testing.assert_allclose(found[0], found[1], atol=2e-6)
    assert sum(found[0]) == pytest.approx(1, abs=1e-4)


def test_pushed_forward_law_agrees_with_samples(js):
    """Counts of 20,000 samples in 7 bins and outside them: χ² with 7 degrees of freedom."""
    x, law = js(
        """const data = TARGETS.bimodal.make(), sigmas = karrasLevels(25), z = normals(uniforms(3));
        const denoiser = polynomialDenoiser(data, 3);
        const start = Float64Array.from({ length: 20000 }, () => 80 * z());
        return [sampler(denoiser, start, 1, sigmas).all(),
                pushForward(denoiser, 1, sigmas, [-1.4, 1.4], 7)[0]];"""
    )
    counts = np.histogram(x, np.linspace(-1.4, 1.4, 8))[0]
    counts = np.append(counts, 20000 - counts.sum())
    law = np.append(law, 1 - np.sum(law))
    bound = stats.chi2.isf(1e-5, 7)
    wrong = stats.norm(0, np.std(x)).cdf(np.linspace(-1.4, 1.4, 8))  # the Gaussian of that variance
    wrong = np.append(np.diff(wrong), 1 - wrong[-1] + wrong[0])
    assert np.sum((counts - 20000 * law) ** 2 / (20000 * law)) < bound
    assert np.sum((counts - 20000 * wrong) ** 2 / (20000 * wrong)) > 10 * bound


def test_every_pair_has_a_law_words_and_numbers(js):
    found = js(
        """const all = { ...TARGETS, images: imagesTarget({ label: "Images", the: "the images",
          count: 12, shape: [4, 4] }, Uint8Array.from(bytes)) };
        const out = [];
        for (const [name, spot] of Object.entries(all)) {
          const data = spot.make(), sigmas = karrasLevels(4);
          for (const [arch, a] of Object.entries(ARCHITECTURES)) {
            if (!a.kinds.includes(spot.kind)) continue;
            const state = sane({ target: name, arch, p: null }, all);
            const { kind, the, shape } = spot, problem = { data, kind, the, shape, value: state.p };
            const { denoiser, law, orbit: group } = a.fit(problem), reach = reachOf(data);
            const ready = preparedLaw(law(sigmas), problem, reach), z = normals(uniforms(1));
            const start = Float64Array.from({ length: 30 * data.d }, () => 80 * z());
            const run = sampler(denoiser, start, data.d, sigmas);
            run.all();
            out.push([name, arch, state.p, a.words(problem), a.law(problem), ready.kind,
                      factsOf({ run, problem, orbit: group }), data.n]);
          }
        }
        return out;""",
        bytes=RNG.integers(256, size=12 * 16),
    )  # fmt: skip
    pairs = {(row[0], row[1]) for row in found}
    assert {t for t, _ in pairs} == set(TARGETS)
    assert {a for _, a in pairs} == set(ARCHITECTURES)
    for target, arch, *_, words, note, _, facts, n in found:
        assert words.endswith("."), (target, arch)
        assert note
        assert "undefined" not in words + note
        assert "NaN" not in words + note + str(facts)
        assert n == {"atoms": 3, "images": 12, "pixels": 4}.get(target, 1000)
        Playground(target, arch, IMAGES)  # Python accepts the pairs that the browser knows
    for target in TARGETS:
        for arch in set(ARCHITECTURES) - {a for t, a in pairs if t == target}:
            with pytest.raises(ValueError, match="does not fit"):
                Playground(target, arch, IMAGES)


def test_targets_have_the_moments_they_are_named_for(js):
    found = js(
        """return Object.fromEntries(["atoms", "uniform", "skewed", "bimodal"].map((name) => {
          const data = TARGETS[name].make(), { mean, cov } = momentsOf(data);
          return [name, [mean[0], cov[0], kurtosis(data.x, data.w)]];
        }));"""
    )
    np.testing.assert_allclose(found["atoms"], [0, 1, 3], atol=1e-12)
    np.testing.assert_allclose(found["uniform"], [0, 1, 1.8], atol=1e-5)
    np.testing.assert_allclose(found["bimodal"][:2], [0, 1.09], atol=2e-3)
    np.testing.assert_allclose(found["skewed"][:2], [0, 0.64], atol=5e-3)


# ---------------------------------------------------------------- numbers, seeds and links


def test_numbers_under_the_picture(js):
    near, far, facts = js(
        """const data = dataset([0, 0, 1, 0], 2);
        const samples = [0, 1e-4, 0.5, 0, 1, 0, 1e9, 0];
        return [copiedShare(samples, data, 1e-3), copiedShare(samples, data, 1e-5),
                spreadOf(samples, data)];"""
    )
    assert (near, far) == (0.5, 0.25)
    assert facts["escaped"] == 0.25
    assert facts["ratio"] == pytest.approx(np.var([0, 0.5, 1]) / 0.25, rel=1e-6)


def test_random_numbers_are_the_same_everywhere_and_normal(js):
    a, b, z = js(
        """const draw = (seed) => { const u = uniforms(seed); return [u(), u(), u()]; };
        const z = normals(uniforms(4));
        return [[draw(1), draw(1)], draw(2), Array.from({ length: 20000 }, () => z())];"""
    )
    assert a[0] == a[1] != b
    np.testing.assert_allclose(a[0], [0.5394896373618394, 0.3102823495864868, 0.8518753789830953])
    z = np.array(z)
    assert abs(z.mean()) < 4.5 / np.sqrt(20000)
    assert abs(z.var() - 1) < 4.5 * np.sqrt(2 / 20000)
    assert abs((z**4).mean() - 3) < 4.5 * np.sqrt(96 / 20000)


def test_a_link_brings_its_state_back(js):
    state = {"target": "spiral", "arch": "polynomial", "p": 5, "steps": 60, "seed": 12, "at": 77,
             "draw": {}}  # fmt: skip
    other = {"target": "ring", "arch": "affine", "p": 1, "steps": 40, "seed": 1, "at": 120,
             "draw": {}}  # fmt: skip
    back = js("return sane(fromText(asText(state), other), TARGETS);", state=state, other=other)
    assert back == state


@pytest.mark.parametrize(
    "text",
    ["", "target", "target:__proto__,arch:constructor", "target:ring,arch:toString,p:1e9",
     "target:images,arch:blocks", "steps:-4,seed:1.5,at:9999,p:x", "a:b:c,,,:,target:",
     "draw:s1AAgg", "target:ring,draw:s1AAgg", "target:__proto__,draw:s1AAgg"],
)  # fmt: skip
def test_a_broken_link_gives_a_state_that_exists(js, text):
    given = {"target": "ring", "arch": "affine", "p": 1, "steps": 40, "seed": 1, "at": 120,
             "draw": {}}  # fmt: skip
    state = js("return sane(fromText(text, given), TARGETS);", text=text, given=given)
    assert state == given


# ---------------------------------------------------------------- Python's side


def test_names_are_those_of_the_browser(js):
    targets, architectures, steps = js(
        "return [Object.keys(TARGETS), Object.keys(ARCHITECTURES), STEPS];"
    )
    assert [*targets, "images"] == list(TARGETS)
    assert architectures == list(ARCHITECTURES)
    assert tuple(steps) == STEPS


def test_figure_is_small_and_asks_for_nothing():
    digits = dc.data.load("digits").x[:200]
    figure = Playground("images", "blocks", digits, name="digits", parameter=2)
    assert figure.nbytes < 150_000
    assert not re.search(r"https?://|fetch\(|XMLHttpRequest|import\s", figure._esm)
    stored = np.frombuffer(figure.blob, np.uint8).reshape(200, 8, 8) / 127.5 - 1
    np.testing.assert_allclose(stored, digits[:, 0], atol=0.5 / 127.5 + 1e-6)
    assert figure.html().count("</script>") == 1
    data, _ = figure._repr_mimebundle_()
    assert "blocks" in data["text/plain"]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: Playground("square"), "target must be one of ring, .*got 'square'"),
        (lambda: Playground(architecture="unet"), "architecture must be one of .*got 'unet'"),
        (lambda: Playground(steps=7), "steps must be one of 2, .*got 7"),
        (lambda: Playground(seed=-1), "seed must be a whole number >= 0, got -1"),
        (lambda: Playground(parameter=True), "parameter must be a whole number >= 1, got True"),
        (lambda: Playground("images"), "needs images="),
        (lambda: Playground("drawn", drawing="s1AAA"), "drawing must be a text .*got 's1AAA'"),
        (lambda: Playground("drawn", drawing="p1" + 11 * "A"), "it needs target 'pixels'"),
        (lambda: Playground("ring", drawing="s1AAgg"), "needs target 'drawn', got 'ring'"),
        (lambda: Playground("pixels", "coordinates"), "does not fit target 'pixels'"),
        (lambda: Playground(images=np.zeros((2, 8))), r"shape \(N, H, W\).*got \(2, 8\)"),
        (lambda: Playground(images=np.zeros((2, 3, 8, 8))), r"got \(2, 3, 8, 8\)"),
        (lambda: Playground(images=np.zeros((500, 8, 8))), "up to 400 .*got 500"),
        (lambda: Playground(images=np.zeros((2, 28, 28))), "144 pixels.*got 2 of 784"),
        (lambda: Playground(images=np.full((2, 8, 8), 2.0)), r"values in \[-1, 1\]"),
        (lambda: Playground(images=np.full((2, 8, 8), np.nan)), "finite"),
    ],
)
def test_bad_calls_say_what_is_wrong(call, message):
    with pytest.raises(ValueError, match=message):
        call()
