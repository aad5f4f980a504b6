"""What an experiment is: a function that computes one unit, configured for each profile."""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

PROFILES = ("smoke", "book", "t4", "gpu")  # from the smallest to the largest


@dataclass(frozen=True)
class Config:
    """The two fields that every configuration has; an experiment's own fields follow.

    They say which units there are, not what one computes, and are left out of its hash.
    """

    variants: tuple[str, ...] = ("only",)  # one unit for each variant and seed
    seeds: int = 1  # 0 … seeds - 1


@dataclass(frozen=True)
class Unit:
    """One piece of work, stored when it is finished."""

    variant: str
    seed: int
    device: torch.device
    scratch: Path  # a folder of its own, say for checkpoints: it is there again after an
    # interruption when neither code nor configuration changed, and goes with the unit's end
    progress: Callable[[float], None]  # takes the fraction done so far, for the bar

    @property
    def name(self) -> str:
        """Name of its file."""
        return unit_name(self.variant, self.seed)


@dataclass(frozen=True, eq=False)
class Outcome:
    """What a unit gives back."""

    metrics: Mapping[str, Any]  # what JSON can hold; numbers are averaged over seeds
    tensors: Mapping[str, Tensor] = field(default_factory=dict)  # kept as safetensors
    sheets: Mapping[str, Tensor] = field(default_factory=dict)  # images (n, C, H, W) in [-1, 1]


@dataclass(frozen=True)
class Experiment:
    """A registered function with its configurations."""

    name: str
    about: str  # one line
    compute: Callable[[Any, Unit], Outcome]
    profiles: Mapping[str, Config]
    cost: Mapping[str, str]  # rough size of each profile, for the reader
    full: str  # the profile whose result lies in results/NAME itself

    def config(self, profile: str) -> Config:
        """Return the configuration of a profile."""
        if profile not in self.profiles:
            raise ValueError(
                f"profile of {self.name} must be one of {', '.join(self.profiles)}, got {profile!r}"
            )
        return self.profiles[profile]


_experiments: dict[str, Experiment] = {}


def experiment(
    about: str, *, profiles: Mapping[str, Config], cost: Mapping[str, str], full: str = "book"
) -> Callable:
    """Register a function ``compute(config, unit) -> Outcome`` under its own name.

    All that it computes must follow from its configuration, the unit's variant and its seed; torch
    is seeded before each unit. Import what it uses from the module that defines it: the imports say
    on which sources the result depends.

    Parameters
    ----------
    about
        One line on what it does.
    profiles
        A configuration for "smoke" and for `full` at least.
    cost
        For each profile, roughly how long it takes and where, in words.
    full
        The profile whose result lies in ``results/NAME``; those of others lie in a folder below.
    """
    for profile in {"smoke", full} - set(profiles):
        raise ValueError(f"profiles must have {profile!r}, got {', '.join(profiles)}")
    if unknown := set(profiles) - set(PROFILES):
        raise ValueError(f"profiles must be among {', '.join(PROFILES)}, got {sorted(unknown)}")
    if set(cost) != set(profiles):
        raise ValueError(f"cost must have the profiles {', '.join(profiles)}, got {list(cost)}")
    for config in profiles.values():
        for variant in config.variants:
            if not re.fullmatch(r"[\w.-]+", variant):
                raise ValueError(f"variants must be fit for names of files, got {variant!r}")
        json.dumps(asdict(config))  # what cannot be stored fails now, not after the run

    def register(compute: Callable[[Any, Unit], Outcome]) -> Callable[[Any, Unit], Outcome]:
        name = compute.__name__
        taken = _experiments.get(name)
        if taken and taken.compute.__module__ != compute.__module__:
            raise ValueError(f"the name {name!r} is taken by another experiment")
        _experiments[name] = Experiment(name, about, compute, dict(profiles), dict(cost), full)
        return compute

    return register


def registered() -> dict[str, Experiment]:
    """All that is registered, by name."""
    return dict(sorted(_experiments.items()))


def get(name: str) -> Experiment:
    """Return the experiment of that name."""
    if name not in _experiments:
        known = ", ".join(registered())
        raise ValueError(f"name must be one of the experiments {known}, got {name!r}")
    return _experiments[name]


def unit_name(variant: str, seed: int) -> str:
    """Name of a unit, and of its files."""
    return f"{variant}-{seed}"
