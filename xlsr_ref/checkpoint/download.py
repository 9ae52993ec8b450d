"""Fetch a model from the Hugging Face Hub into a folder of its own; hub.py says which files come, and from where."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from xlsr_ref.checkpoint import hub
from xlsr_ref.checkpoint.convert import Conversion, convert, require_free, whole_folder
from xlsr_ref.checkpoint.hub import CONFIG, Named
from xlsr_ref.checkpoint.languages import adapters_of
from xlsr_ref.checkpoint.open import open_checkpoint
from xlsr_ref.checkpoint.read import SIDE_FILES, WEIGHTS


def download(model: Named, target: str | Path, language: str | None = None, **how: Any) -> Conversion:
    """A new folder ``target`` of ``model``, which appears whole or not at all. Raises HubError or WeightsError.

    Where the weights are safetensors and ``how`` is empty, its files are the Hub's own. Otherwise they are converted,
    and ``how`` are the options of `convert`. Nothing in them is run.
    """
    target = Path(target)
    require_free(target)  # before a gigabyte has come for nothing
    found = hub.fetch(model, language)
    checkpoint = open_checkpoint(found)
    weights = checkpoint.weights
    if how or weights.form != "safetensors":
        return convert(found, target, languages=[language] if language is not None else [], **how)
    index = [found / name for name in WEIGHTS if name.endswith(".index.json") and len(weights.files) > 1]
    adapter = [adapters_of(found)[language]] if language is not None else []
    files = [*(found / name for name in (CONFIG, *SIDE_FILES)), *weights.files, *index[:1], *adapter]
    with whole_folder(target) as folder:
        for path in files:
            if path.exists():
                shutil.copyfile(path, folder / path.name)
    nbytes = sum(tensor.nbytes for tensor in weights.tensors.values())
    return Conversion(target, checkpoint.kind, len(weights.tensors), nbytes, ())
