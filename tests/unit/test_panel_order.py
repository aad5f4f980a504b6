"""Panels keep the author's order on a saved page, where JSON keys are sorted."""

import json

from diffusion_creativity.widgets import Explorer, Panel, Slider, marks


def test_order_survives_sorted_keys():
    def draw(n):
        return {name: [marks.bars([0], [n])] for name in ("y", "x_hat", "a")}

    panels = {name: Panel() for name in ("y", "x_hat", "a")}
    figure = Explorer.precomputed(draw, [Slider("n", [1, 2])], panels, title="Order of panels")
    saved = json.loads(json.dumps(figure.scene, sort_keys=True))
    assert [*saved["panels"]] == ["a", "x_hat", "y"]
    assert saved["order"] == ["y", "x_hat", "a"]
    assert "scene.order" in figure._esm  # what the browser goes by
