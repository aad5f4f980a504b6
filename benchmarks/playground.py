"""Frames a second of the playground in headless Chromium: 1,000 points and samples in the plane.

Each pair of target and architecture plays once from noise to data; measured are the frames that
the figure really draws, with the processor as it is and slowed down four times (about a phone).
Needs `pip install diffusion-creativity[test]` and Chromium.
"""

import argparse
import json
import os
import platform
import shutil
import tempfile
from datetime import UTC, datetime
from pathlib import Path

from playwright.sync_api import Browser, CDPSession, sync_playwright

import diffusion_creativity as dc

TARGETS = ("ring", "spiral", "moons", "checkerboard", "mixture", "letters")
ARCHITECTURES = ("bayes", "equivariant", "affine", "polynomial", "bottleneck", "coordinates",
                 "codebook")  # fmt: skip
RESULTS = Path(__file__).parents[1] / "results" / "playground_benchmark" / "metrics.json"
ROOT = "document.querySelector('.dc-playground')"
# Times between drawn frames until the figure has stopped playing, in milliseconds.
FRAMES = f"""async () => {{
  const root = {ROOT}, play = root.querySelector('.dc-play'), gaps = [], first = performance.now();
  play.click();
  let seen = root.drawn, last = first;
  while (play.getAttribute('aria-pressed') === 'true' && performance.now() - first < 60000) {{
    await new Promise(requestAnimationFrame);
    if (root.drawn === seen) continue;
    gaps.push(performance.now() - last);
    last = performance.now();
    seen = root.drawn;
  }}
  return gaps;
}}"""


def measure(browser: Browser, page: str, target: str, architecture: str, slowed: int) -> dict:
    """Play one pair once."""
    view = browser.new_page(viewport={"width": 1280, "height": 900})
    session = view.context.new_cdp_session(view)
    session.send("Emulation.setCPUThrottlingRate", {"rate": slowed})
    view.goto(f"{page}#playground=target:{target},arch:{architecture},at:0")
    view.wait_for_function(f"() => {ROOT}?.drawn > 0")
    view.wait_for_timeout(300)
    session.send("Performance.enable", {"timeDomain": "threadTicks"})  # CPU time, not wall time
    before = busy(session)
    gaps = sorted(view.evaluate(FRAMES))
    cpu = busy(session) - before
    view.close()
    seconds = sum(gaps) / 1000
    return {
        "target": target,
        "architecture": architecture,
        "cpu_slowed": slowed,
        "frames_per_second": len(gaps) / seconds,
        "median_ms": gaps[len(gaps) // 2],
        "p95_ms": gaps[int(0.95 * len(gaps))],
        "cpu_ms_a_frame": 1000 * cpu / len(gaps),
        "seconds": seconds,
    }


def busy(session: CDPSession) -> float:
    """Seconds of CPU that the page's own thread has used."""
    metrics = session.send("Performance.getMetrics")["metrics"]
    return next(m["value"] for m in metrics if m["name"] == "TaskDuration")


def processor() -> str:
    """Name of the processor."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:  # only Linux has it
        lines = []
    names = [line.split(":")[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--targets", nargs="+", default=TARGETS, choices=TARGETS)
    parser.add_argument("--slowed", nargs="+", type=int, default=[1, 4])
    parser.add_argument("--output", type=Path, default=RESULTS)
    options = parser.parse_args()
    names = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
    path = next(filter(None, map(shutil.which, names)), None)
    rows = []
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        page = Path(folder) / "page.html"
        page.write_text(dc.widgets.Playground().html(), encoding="utf-8")
        arguments = ["--no-sandbox", "--disable-gpu"]
        browser = playwright.chromium.launch(executable_path=path, args=arguments)
        version = browser.version
        for slowed in options.slowed:
            for target in options.targets:
                for architecture in ARCHITECTURES:
                    row = measure(browser, page.as_uri(), target, architecture, slowed)
                    rows.append(row)
                    print(
                        f"{slowed}x {target:13s}{architecture:12s} "
                        f"{row['frames_per_second']:5.1f} frames/s, "
                        f"median {row['median_ms']:5.1f} ms, 95 % {row['p95_ms']:5.1f} ms, "
                        f"{row['cpu_ms_a_frame']:5.1f} ms of CPU a frame",
                        flush=True,
                    )
        browser.close()
    provenance = {
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
        "cpu": processor(),
        "browser": f"Chromium {version}, headless, drawing in software",
        "points": 1000,
        "samples": 1000,
        "steps": 40,
        "load": os.getloadavg(),
        "version": dc.__version__,
    }
    options.output.parent.mkdir(parents=True, exist_ok=True)
    record = {"provenance": provenance, "rows": rows}
    options.output.write_text(json.dumps(record, indent=1) + "\n")
    print(f"written to {options.output}")


if __name__ == "__main__":
    main()
