"""Moments in which a build must not be stopped half-way."""

from __future__ import annotations

import signal
from contextlib import contextmanager


@contextmanager
def uninterrupted():
    """Hold back Ctrl-C and requests to stop for a moment."""
    signals = (signal.SIGINT, signal.SIGTERM)
    signal.pthread_sigmask(signal.SIG_BLOCK, signals)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, signals)
