"""Closed-form denoisers, each beside the law of what it generates."""

from .bayes import Bayes

__all__ = ["Bayes"]
