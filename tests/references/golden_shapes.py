"""The shapes of the golden models' tensors, whose configs are known."""

from __future__ import annotations

from pathlib import Path

from safetensors import safe_open

GOLDEN = Path(__file__).parents[1] / "golden"
MODELS = {"xlsr": "Wav2Vec2ForCTC", "base": "Wav2Vec2ForCTC", "odd": "Wav2Vec2ForCTC", "bare": "Wav2Vec2Model"}


def shapes_of(model: str) -> dict[str, tuple[int, ...]]:
    with safe_open(GOLDEN / model / "model.safetensors", "np") as file:
        return {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118
