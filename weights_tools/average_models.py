"""The mean of several models that went on from one start: often better than each ("model soup", Wortsman et al. 2022).

    python -m weights_tools.average_models TARGET_FOLDER MODEL_FOLDER MODEL_FOLDER [MODEL_FOLDER ...]

Each weight of the target is the mean of that weight in the models, summed in float64 and stored as float32. The other
files are those of the first model. Models with other tensors, or with another vocabulary, are refused.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from weights_tools.bundle_model import COPIED
from xlsr_ref.checkpoint.safetensors_file import read_arrays, write_arrays
from xlsr_ref.files import write_whole

VOCABULARY = "vocab.json"


def average(models: Sequence[Path], target: Path) -> None:
    """Write the mean of the ``models`` into ``target``. Raises ValueError or OSError before anything is written."""
    if len(models) < 2:
        raise ValueError("one model has no mean: give two or more")
    if target.resolve() in [model.resolve() for model in models]:
        raise ValueError(f"{target} is one of the models and would be replaced: give the mean another folder")
    first = read_arrays(models[0] / "model.safetensors")
    whole = next((name for name, tensor in first.items() if not np.issubdtype(tensor.dtype, np.floating)), None)
    if whole is not None:
        raise ValueError(f"{whole} of {models[0]} is {first[whole].dtype}: give models with floating-point weights")
    sums = {name: tensor.astype(np.float64) for name, tensor in first.items()}
    for model in models[1:]:
        tensors = read_arrays(model / "model.safetensors")
        if {name: tensor.shape for name, tensor in tensors.items()} != {name: t.shape for name, t in sums.items()}:
            raise ValueError(f"{model} has other tensors than {models[0]}: give models that went on from one start")
        if (model / VOCABULARY).read_bytes() != (models[0] / VOCABULARY).read_bytes():
            raise ValueError(f"{model} has another vocabulary than {models[0]}: the mean would mix letters")
        for name, tensor in tensors.items():
            sums[name] += tensor
    names = [name for name in ("config.json", *COPIED) if (models[0] / name).exists()]
    files = {name: (models[0] / name).read_bytes() for name in names}
    target.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        write_whole(target / name, content)
    write_arrays(target / "model.safetensors", {k: (v / len(models)).astype(np.float32) for k, v in sums.items()})


def main(arguments: list[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("target", type=Path)
    parser.add_argument("models", type=Path, nargs="+")
    chosen = parser.parse_args(arguments)
    try:
        average(chosen.models, chosen.target)
    except (OSError, ValueError) as error:
        raise SystemExit(f"average_models: {error}") from None
    print(f"wrote {chosen.target}, the mean of {len(chosen.models)} models")


if __name__ == "__main__":
    main()
