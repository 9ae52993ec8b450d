"""Ship a model folder inside the package, its weights rounded to float16.

    python -m weights_tools.bundle_model SOURCE_FOLDER [--target xlsr_ref/data/small-ctc]

float16 halves the size. It keeps 11 significant bits: a weight w moves by at most |w| / 2048, or by 3e-8 where it is
tiny. What float16 cannot hold (65520 and more) is refused. Tensor names and the vocabulary stay as they are; of the
config only `dtype` changes: it is float32, what transformers shall compute in. The same source always gives the same
bytes.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import NamedTuple

import numpy as np

from xlsr_ref.checkpoint.safetensors_file import read_arrays, write_arrays
from xlsr_ref.files import write_whole

BUNDLED = Path(__file__).resolve().parent.parent / "xlsr_ref" / "data" / "small-ctc"
COPIED = ("vocab.json", "tokenizer_config.json", "special_tokens_map.json", "preprocessor_config.json")


class Rounding(NamedTuple):
    """The largest change that float16 made to any weight."""

    error: float
    tensor: str  # the name of the tensor that holds it


def to_float16(tensors: dict[str, np.ndarray]) -> tuple[dict[str, np.ndarray], Rounding]:
    """Every tensor in float16 under its own name, and the largest rounding error.

    Raises ValueError, naming the tensor, for a value that is not finite or that float16 cannot hold.
    """
    halves, worst = {}, Rounding(0.0, "")
    for name, tensor in sorted(tensors.items()):
        if not np.issubdtype(tensor.dtype, np.floating):
            raise ValueError(f"{name} is {tensor.dtype}, not a floating-point tensor: this tool cannot round it")
        if not np.isfinite(tensor).all():
            raise ValueError(f"{name} holds NaN or infinity: the training that wrote it went wrong")
        with np.errstate(over="ignore"):  # an overflow becomes infinity and is refused below, by name
            half = tensor.astype(np.float16)
        if not np.isfinite(half).all():
            largest = np.abs(tensor).max()
            raise ValueError(f"{name} reaches {largest:g}, float16 ends at {np.finfo(np.float16).max:g}: ship float32")
        error = float(np.abs(tensor.astype(np.float64) - half).max(initial=0.0))
        if error > worst.error:
            worst = Rounding(error, name)
        halves[name] = half
    return halves, worst


def bundle(source: Path, target: Path) -> Rounding:
    """Write the float16 copy of the model folder ``source`` to ``target``; other files in ``target`` stay as they are.

    Everything is read and checked before the first byte is written. Raises ValueError or OSError.
    """
    if target.resolve() == source.resolve():
        raise ValueError(f"{target} is read and would be replaced: give the copy another folder")
    halves, worst = to_float16(read_arrays(source / "model.safetensors"))
    config = json.loads((source / "config.json").read_text(encoding="utf-8"))
    config["dtype"] = "float32"  # to compute in: transformers would give a float16 model its float32 sound, and fail
    files = {name: (source / name).read_bytes() for name in COPIED if (source / name).exists()}  # or has no vocabulary
    files["config.json"] = (json.dumps(config, indent=2, ensure_ascii=False) + "\n").encode()
    target.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        write_whole(target / name, content)
    write_arrays(target / "model.safetensors", halves)
    return worst


def main(arguments: list[str] | None = None) -> None:
    """The command line: bundle one folder and say what it cost."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", type=Path, help="a folder with config.json, model.safetensors and vocab.json")
    parser.add_argument("--target", type=Path, default=BUNDLED)
    chosen = parser.parse_args(arguments)
    try:
        worst = bundle(chosen.source, chosen.target)
    except (OSError, ValueError) as error:
        raise SystemExit(f"bundle_model: {error}") from None
    size = (chosen.target / "model.safetensors").stat().st_size
    print(f"wrote {chosen.target} ({size / 1e6:.1f} MB)")
    print(f"largest rounding error {worst.error:.2e} in {worst.tensor}")


if __name__ == "__main__":
    main()
