"""Assignment 2, row by row: official solutions, and what written answers hold."""

import torch


def row_denoiser(y, sigma, x):
    rows, noisy = x.reshape(-1, x.shape[-1]), y.reshape(-1, y.shape[-1])
    gaps = (noisy[:, None] - rows).square().sum(-1)
    return ((-gaps / (2 * sigma**2)).softmax(1) @ rows).reshape(y.shape)


def count_generated(x):
    return len(torch.unique(x.reshape(-1, x.shape[-1]), dim=0)) ** x.shape[1]


def copy_probability(x):
    _, place, counts = torch.unique(
        x.reshape(-1, x.shape[-1]), dim=0, return_inverse=True, return_counts=True
    )
    images = torch.unique(place.reshape(len(x), -1), dim=0)  # each distinct image once
    return (counts[images].double() / counts.sum()).prod(1).sum().item()


def row_gaussian(x):
    rows = x.reshape(-1, x.shape[-1])
    mean = rows.mean(0)
    return mean, (rows - mean).T @ (rows - mean) / len(rows)


def row_twin(x):
    return x.reshape(-1, x.shape[-1]).roll(1, 0).reshape(x.shape)


WRITTEN = {
    "prediction": r"""**What a full answer holds (10 points).**

- A number or a range for each of copies, creations and invalid faces, for each of the three
  denoisers (4 points).
- A reason for each that uses the architecture: the perfect one copies; rows forget their height
  and each other, so nothing global can hold and every face should be invalid; the Gaussian makes
  no clean parts (4 points).
- Which rules break first, and why (2 points). Predictions that turn out wrong lose nothing.""",
    "experiment": r"""**What a full answer holds (20 points).**

- The table: counts of copies, creations and invalid faces for the three denoisers, from the same
  noise, with intervals that make sense at 0 of n (6 points).
- Sample sheets side by side, and the rules that each breaks, read off the oracle (4 points).
- Held against the prediction, misses named and explained (4 points).
- Alignment (4 points): a target for which rows would be right, such as images whose rows are
  independent and alike (wallpaper of stripes), and why the same denoiser is then perfect *and*
  creative.
- Limits: number of samples, steps, one data set (2 points).""",
}
