"""From a folder, a file or a name to a model: config, weights, vocabulary and preprocessor are read and held together.

Every fact is checked before anything is computed: names and shapes of the tensors against the config, and what two
files say of one thing (agreement.py).
"""

from __future__ import annotations

import reprlib
from dataclasses import replace
from pathlib import Path

import numpy as np

from xlsr_ref.checkpoint.eight_bits import in_eight_bits
from xlsr_ref.checkpoint.open import open as open_checkpoint
from xlsr_ref.errors import WeightsError, XlsrError
from xlsr_ref.model.agreement import check_agreement
from xlsr_ref.model.language import read_language
from xlsr_ref.model.load_params import load_params
from xlsr_ref.model.model import Model
from xlsr_ref.model.networks import read_settings
from xlsr_ref.model.source import Source
from xlsr_ref.ops.memory import keep_freed_memory
from xlsr_ref.ops.tree import flatten, nest
from xlsr_ref.text.read_tokenizer import has_tokenizer, read_tokenizer

BUNDLED = Path(__file__).parents[1] / "data" / "small-ctc"


def load(
    source: Source | None = None,
    dtype: str = "float32",
    threads: int | None = None,
    *,
    language: str | None = None,
    transformers_4: bool = False,
    copy: bool = False,
    weights: str | None = None,
) -> Model:
    """The model in the folder ``source``, in the Hugging Face layout; None is the small one inside the package.

    A ``source`` "OWNER/NAME" or "OWNER/NAME@REVISION" that is no folder here is looked for on the Hugging Face Hub
    (checkpoint/hub.py). ``language`` is the code of one of a multilingual model's languages, such as "fra": its
    adapters, head and vocabulary are taken together (language.py). ``transformers_4``: a weighted layer sum takes the
    last state of a pre-norm model after the final norm, as that version did (heads/layer_sum.py).

    Without safetensors, torch's and flax's files are read, and so is a fairseq checkpoint, by its name or in a folder
    with its dictionary: without torch, and nothing in them is run (checkpoint/).

    ``dtype`` is "float32" (how it runs) or "float64" (how it is verified), whatever the file stores. ``threads`` is how
    many the model computes on; None for `XLSR_REF_THREADS` or, without that, as many as there are cores.

    ``weights="int8"`` turns the linear layers of the blocks into int8 numbers (ops/int8.py), a quarter of the memory;
    None and "float32" take them as they are stored, which may be int8, too.

    Weights are mapped, not read: loading takes no time, and programs share the memory. A weights file must then stay as
    it is while its model lives; one that is cut short meanwhile, or is on a drive that goes away, ends the process
    (SIGBUS). ``copy=True`` reads the weights into memory at load, after which their files are not needed. A file that
    changes while it is loaded is refused either way.

    Raises ConfigError, WeightsError or VocabularyError with one sentence that says what is wrong with the folder, and
    HubError where it could not be had.
    """
    name = _dtype(dtype, weights)
    if threads is not None and (type(threads) is not int or threads < 1):
        raise XlsrError(f"threads is {threads!r}: give a whole number of at least 1")
    keep_freed_memory()
    opened = open_checkpoint(BUNDLED if source is None else source, language=language)
    with opened.in_folder(source) as folder:
        config, preprocessor = read_settings(folder)
        of_the_language = None
        if language is not None:
            config, of_the_language, file = read_language(folder, config, language)
        params, report = load_params(folder, config, name, opened.tensors(), instead=of_the_language, copy=copy)
        if weights == "int8":
            params = nest(in_eight_bits(flatten(params)))
        if language is not None:
            report = replace(report, files=(*report.files, file), language=language)
        tokenizer = read_tokenizer(folder, language, config.pad_token_id) if has_tokenizer(folder) else None
        if tokenizer is not None and "lm_head" in params:
            tokenizer.check_rows(len(params["lm_head"]["weight"]))
        check_agreement(folder, config, len(params["lm_head"]["weight"]) if "lm_head" in params else None, tokenizer)
    return Model(config, params, preprocessor, tokenizer, report, threads, transformers_4)


def _dtype(dtype: str, weights: str | None) -> str:
    """The name of ``dtype``. Raises WeightsError where there is none, or ``weights`` do not go with it."""
    try:
        name = np.dtype(dtype).name
    except TypeError:
        raise WeightsError(f"dtype is {dtype!r}: it must be float32 or float64") from None
    if weights not in (None, "float32", "int8"):
        raise WeightsError(f"weights is {reprlib.repr(weights)}: it must be float32 or int8")
    if weights == "int8" and name != "float32":
        raise WeightsError(f"int8 weights are computed in float32, not {name}")
    return name
