"""Checkpoints that are no safetensors folder: torch's pickles, flax's msgpack, fairseq's .pt with its dictionary.

    a folder with config.json     pytorch_model.bin or flax_model.msgpack take the place of model.safetensors
    a file, or a folder without   the config and the vocabulary come from inside the checkpoint, or from beside it

They are read by weights_tools, which needs no torch and runs nothing that a file says; it is imported when the first
such checkpoint is met. What it finds are views of the file, under transformers' names.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import numpy as np

from xlsr_ref.errors import WeightsError, XlsrError


class Foreign(NamedTuple):
    """The tensors of a checkpoint and the files they came from."""

    flat: dict[str, np.ndarray]
    files: tuple[Path, ...]


def read_foreign(folder: Path) -> Foreign:
    """The tensors of a Hugging Face folder without safetensors. Raises WeightsError."""
    from weights_tools.errors import CheckpointError
    from weights_tools.read import read_folder
    from weights_tools.tensors import arrays

    try:
        found, files = read_folder(folder)
        return Foreign(arrays(found.tensors), files)
    except CheckpointError as error:
        raise WeightsError(str(error)) from None


@contextmanager
def model_files(source: Path) -> Iterator[tuple[Path, Foreign | None]]:
    """The folder with a model's config and vocabulary, and its tensors where they are not in that folder.

    A folder with a config.json is that folder; else the files are made in a temporary one. Raises WeightsError.
    """
    if not source.is_file() and (not source.is_dir() or (source / "config.json").exists() or not _checkpoints(source)):
        yield source, None
        return
    from weights_tools.checkpoint import open_checkpoint, to_json
    from weights_tools.errors import CheckpointError
    from weights_tools.names import to_scheme
    from weights_tools.tensors import arrays

    try:
        checkpoint = open_checkpoint(source)
        tensors = checkpoint.weights.tensors
        names = to_scheme(tensors, "hf", checkpoint.kind)
        foreign = Foreign(arrays({names[name]: one for name, one in tensors.items()}), checkpoint.weights.files)
    except CheckpointError as error:
        raise WeightsError(f"{error}{_advice(str(error), source)}") from None
    with tempfile.TemporaryDirectory(prefix="xlsr_ref-") as made:
        for name, content in ({"config.json": to_json(checkpoint.config)} | checkpoint.files).items():
            (Path(made) / name).write_bytes(content)
        try:
            yield Path(made), foreign
        except XlsrError as error:
            raise type(error)(str(error).replace(made, str(source))) from None


def _checkpoints(folder: Path) -> bool:
    """Whether a folder without config.json has something that weights_tools may read."""
    from weights_tools.checkpoint import ENDINGS

    return any(path.suffix in ENDINGS for path in folder.iterdir())


def _advice(message: str, source: Path) -> str:
    return f"; then: xlsr-ref weights convert {source} NEW_FOLDER --set …" if "--set" in message else ""
