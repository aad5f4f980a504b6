"""Bring ``.venv`` in step with ``requirements.lock``: ``python tools/environment.py``.

Uses the standard library only: this is the first thing that runs on a bare machine. A stamp in the
environment holds the hash of what it was installed from and is written last, so an interrupted
installation is done again.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import time
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def key(requirements: Path, python: str) -> str:
    """Hash of what decides the content of an environment."""
    sources = [requirements, ROOT / "pyproject.toml"]
    content = b"\0".join(path.read_bytes() for path in sources if path.exists())
    return hashlib.sha256(content + python.encode()).hexdigest()


def works(folder: Path) -> bool:
    """Whether an environment has a Python of this version that starts and has pip."""
    code = "import sys, pip; print('%d.%d' % sys.version_info[:2])"
    try:
        done = subprocess.run(
            [folder / "bin" / "python", "-c", code], capture_output=True, text=True
        )
    except OSError:
        return False
    return done.returncode == 0 and done.stdout.strip() == "{}.{}".format(*sys.version_info[:2])


def pip(folder: Path, *arguments: str) -> None:
    """Run an environment's pip; show its complaints and end if it fails."""
    command = [str(folder / "bin" / "python"), "-m", "pip", "--disable-pip-version-check"]
    environment = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "PYTHONHOME")}
    status = subprocess.run([*command, *arguments], env=environment, check=False).returncode
    if status:
        sys.exit(f"environment: installing failed (pip's exit status {status}); see above")


def ensure(folder: Path, requirements: Path) -> bool:
    """Make the environment what the requirements say; returns whether anything was done."""
    stamp = folder / ".installed-from"
    wanted = key(requirements, sys.version)
    if stamp.is_file() and stamp.read_text(encoding="utf-8") == wanted and works(folder):
        return False
    began = time.monotonic()
    if not works(folder):
        print(
            f"environment: creating {folder.name} with Python {sys.version.split()[0]}", flush=True
        )
        shutil.rmtree(folder, ignore_errors=True)
        try:
            venv.create(folder, with_pip=True)
        except subprocess.CalledProcessError:  # Debian and Ubuntu ship Python without ensurepip
            shutil.rmtree(folder, ignore_errors=True)
            sys.exit(
                "environment: this Python cannot make an environment with pip in it; on Debian "
                "and Ubuntu: apt install python3-venv"
            )
    stamp.unlink(missing_ok=True)
    print(f"environment: installing {requirements.name} (minutes, the first time)", flush=True)
    pip(folder, "install", "--quiet", "--progress-bar", "off", "-r", str(requirements))
    pip(folder, "install", "--quiet", "--no-deps", "--editable", str(ROOT))
    stamp.write_text(wanted, encoding="utf-8")
    print(f"environment: ready after {time.monotonic() - began:.0f} s", flush=True)
    return True


def main() -> int:
    """Command line."""
    folder = sys.argv[1] if len(sys.argv) > 1 else ".venv"
    requirements = sys.argv[2] if len(sys.argv) > 2 else "requirements.lock"
    ensure(ROOT / folder, ROOT / requirements)
    return 0


if __name__ == "__main__":
    sys.exit(main())
