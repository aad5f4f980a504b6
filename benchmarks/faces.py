"""Time drawing and judging faces, and record how far the oracle can be trusted.

For each size and colour: CPU and wall seconds for 20,000 images drawn (5,000 at size 64) and 10,000
judged, median of the rounds; the calibration of the oracle; and, at size 16, the time that a search
through all valid faces by matrix products would take (see benchmarks/README.md).
"""

import argparse
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import record
import torch
from torch import Tensor

from diffusion_creativity._matmul import float32_matmul
from diffusion_creativity.data import faces

FAMILIES = [(size, channels) for size in (16, 32, 64) for channels in (1, 3)]
IMAGES, TARGET, SEARCHED = 10_000, 5.0, 250
RESULTS = Path(__file__).parents[1] / "results" / "faces_benchmark" / "metrics.json"


def median_times(run: Callable[[], object], rounds: int) -> dict[str, float]:
    """Median CPU and wall seconds of a call."""
    cpu, wall = [], []
    for _ in range(rounds):
        begun = time.process_time(), time.perf_counter()
        run()
        cpu.append(time.process_time() - begun[0])
        wall.append(time.perf_counter() - begun[1])
    return {"cpu_s": statistics.median(cpu), "wall_s": statistics.median(wall)}


def noisy(x: Tensor, sigma: float = 0.05) -> Tensor:
    """Images with white noise."""
    return x + sigma * torch.randn(x.shape, generator=torch.Generator().manual_seed(0))


def search(every: Tensor, y: Tensor) -> Tensor:
    """The nearest of all valid faces (N, d), by one product with each: what the oracle avoids."""
    with float32_matmul(y.device):
        scores = torch.addmm(-0.5 * every.square().sum(1), y.flatten(1), every.T)
    return scores.argmax(1)


def measure(size: int, channels: int, rounds: int, pairs: int) -> dict:
    """Times and calibration of one family."""
    family = faces.Faces(size=size, channels=channels)
    count = 20_000 if size < 64 else 5_000
    train, numbers = family.split(500, held_out=max(count, IMAGES))
    family.render(numbers[:10])  # draws the parts
    drawing = median_times(lambda: family.render(numbers[:count]), rounds)
    y, oracle = noisy(family.render(numbers[:IMAGES])), family.oracle(train)
    oracle(y[:10])
    judging = median_times(lambda: oracle(y), rounds)
    row = {"size": size, "channels": channels, "valid_faces": len(family),
           "drawn": {"images": count, **drawing},
           "judged": {"images": IMAGES, **judging, "under_target": judging["cpu_s"] < TARGET},
           "separation": faces.separation(family)}  # fmt: skip
    if size == 16:
        every = torch.cat([family.render(p).flatten(1) for p in
                           torch.arange(len(family)).split(10_000)])  # fmt: skip
        some = y[:SEARCHED]
        found = median_times(lambda: search(every, some), rounds)
        same = bool((search(every, some) == oracle(some).nearest).all())
        full = found["cpu_s"] * IMAGES / SEARCHED
        row["search"] = {"queries": SEARCHED, **found, "agrees": same,
                         "speedup": full / judging["cpu_s"]}  # fmt: skip
    row["confusion"] = [
        {**r._asdict(), "wrong": r.wrong} for r in faces.calibration.table(family, n=1000)
    ]
    cut = faces.calibration.cut(family, pairs)
    row["rules"] = [r._asdict() for r in faces.calibration.rule_table(family, cut)]
    print(f"{size} × {size} × {channels}: drawing {drawing['cpu_s']:.2f} s, judging "
          f"{judging['cpu_s']:.2f} s {row.get('search', '')}", flush=True)  # fmt: skip
    for r in row["confusion"]:
        counts = " ".join(f"{value:5}" for value in list(r.values())[2:-1])
        print(f"  {r['kind']:42} {r['expected']:9} {counts}")
    for r in row["rules"]:
        print(f"  {r['rule']:10} broken {r['broken']:5} found {r['found']:5} kept {r['kept']:5} "
              f"false {r['false_alarms']}", flush=True)  # fmt: skip
    return row


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--pairs", type=int, default=100, help="pairs of faces to cut")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--sizes", type=int, nargs="+", default=(16, 32, 64))
    parser.add_argument("--output", type=Path, default=RESULTS)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    chosen = [family for family in FAMILIES if family[0] in options.sizes]
    rows = [measure(*family, options.rounds, options.pairs) for family in chosen]
    record.write(
        options.output,
        {"rows": rows},
        data="faces, drawn by the package",
        rounds=options.rounds,
        pairs_cut=options.pairs,
        target_s=TARGET,
        time="median CPU and wall seconds; judged by CPU time",
    )


if __name__ == "__main__":
    main()
