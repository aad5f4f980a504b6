"""Colours of the interactive figures: the book's palette as CSS variables, light and dark."""

from __future__ import annotations

import re

from ..style import DARK, LIGHT

# Twelve classes told apart with any colour vision (the "safe" scheme of CARTO).
CATEGORICAL = [
    "#88ccee",
    "#cc6677",
    "#ddcc77",
    "#117733",
    "#332288",
    "#aa4499",
    "#44aa99",
    "#999933",
    "#882255",
    "#6699cc",
    "#e38a4e",
    "#888888",
]

# Stops of the continuous palettes; shared_pixels.js holds the same lists.
CONTINUOUS = {
    "gray": ["#000000", "#ffffff"],
    "ink": ["#ffffff", "#000000"],
    "sequential": [
        "#440154",
        "#472d7b",
        "#3b528b",
        "#2c728e",
        "#21918c",
        "#28ae80",
        "#5ec962",
        "#addc30",
        "#fde725",
    ],
    "diverging": ["#2166ac", "#67a9cf", "#d1e5f0", "#f7f7f7", "#fddbc7", "#ef8a62", "#b2182b"],
}


def is_colour(name: object) -> bool:
    """Whether `name` is a colour of the palette, ``cat0`` … ``cat11`` or ``#rrggbb``."""
    text = str(name)
    categorical = text.startswith("cat") and text[3:].isdigit() and int(text[3:]) < len(CATEGORICAL)
    return text in LIGHT or categorical or bool(re.fullmatch("#[0-9a-fA-F]{6}", text))


def light(name: str) -> str:
    """The colour `name` as hex, as the printed picture uses it."""
    if name.startswith("cat"):
        return CATEGORICAL[int(name[3:])]
    return LIGHT.get(name, name)


def mix(colour: str, other: str, share: float) -> str:
    """A colour `share` of the way from `colour` to `other`."""
    a, b = (tuple(int(c[i : i + 2], 16) for i in (1, 3, 5)) for c in (colour, other))
    return "#" + "".join(f"{round(u + share * (v - u)):02x}" for u, v in zip(a, b, strict=True))


def contrast(colour: str, other: str) -> float:
    """Contrast ratio of two colours as WCAG 2 defines it, from 1 to 21."""

    def luminance(hex_: str) -> float:
        parts = [int(hex_[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    high, low = sorted((luminance(colour), luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def readable(colour: str, ink: str, panel: str, least: float = 4.6) -> str:
    """`colour` moved towards `ink` just as far as text on `panel` needs."""
    for share in range(0, 101, 5):
        shade = mix(colour, ink, share / 100)
        if contrast(shade, panel) >= least:
            return shade
    return ink


def _variables(colours: dict[str, str]) -> str:
    ink, panel = colours["ink"], colours["panel"]
    named = colours | {f"cat{i}": c for i, c in enumerate(CATEGORICAL)}
    named |= {f"{name}-text": readable(c, ink, panel) for name, c in named.items()}
    named |= {
        "soft": readable(mix(panel, ink, 0.62), ink, panel, 5.5),
        "accent": readable(colours["denoiser"], ink, panel, 4.0),
        "line": mix(panel, ink, 0.13),
        "grid": mix(panel, ink, 0.075),
        "edge": mix(panel, ink, 0.45),
        "track": mix(panel, ink, 0.2),
    }
    return " ".join(f"--dc-{name}: {value};" for name, value in named.items())


def css() -> str:
    """Variables for light and dark: the page's theme first, then the system's; paper is light."""
    themed = "[data-theme], [theme]"
    dark = ", ".join(
        f"{place} .dc-explorer"
        for place in (
            "html[data-theme='dark']",
            "html[theme='dark']",
            "html[data-mode='dark']:not([data-theme])",
            "body[data-jp-theme-light='false']",
            "body.vscode-dark",
        )
    )
    system = f"html:not({themed}) body:not([data-jp-theme-light], .vscode-light) .dc-explorer"
    return (
        f".dc-explorer {{ color-scheme: light; {_variables(LIGHT)} }}\n"
        f"@media screen and (prefers-color-scheme: dark) {{ {system} {{ color-scheme: dark; "
        f"{_variables(DARK)} }} }}\n"
        f"@media screen {{ {dark} {{ color-scheme: dark; {_variables(DARK)} }} }}\n"
    )
