"""The one door to a checkpoint of any toolkit: its settings, its vocabulary, its tensors under one set of names.

    a file or a folder ─ read.py → tensors ─ names.py → transformers' names ─ infer.py, fairseq.py → config.json

Where the config comes from, the first that there is: config.json beside the weights; fairseq's own settings inside the
checkpoint; the shapes, and what the caller adds. Each is checked against the shapes, and a contradiction is refused.
The vocabulary of a fine-tuned fairseq model comes from dict.ltr.txt (or the only dict.*.txt) beside it, or from inside.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from xlsr_ref.checkpoint import fairseq, infer
from xlsr_ref.checkpoint.hub import CONFIG, local_folder
from xlsr_ref.checkpoint.names import canonical, scheme_of, to_scheme
from xlsr_ref.checkpoint.read import SIDE_FILES, WEIGHTS, Found, read_file, read_folder
from xlsr_ref.checkpoint.tensors import Tensors
from xlsr_ref.errors import ConfigError, WeightsError, XlsrError
from xlsr_ref.untrusted import LONGEST_JSON, listed, model_folder, read_bytes, read_json, shown

ENDINGS = (".pt", ".pth", ".bin", ".ckpt", ".safetensors", ".msgpack")


@dataclass(frozen=True)
class Weights:
    """The tensors of a checkpoint, before anything is known of its config."""

    tensors: Tensors  # under transformers' names, without "wav2vec2."
    named: dict[str, str]  # each of those names → the name in the file
    scheme: str  # "hf", "fairseq", "torchaudio" or "fairseq2": whose names the file has
    form: str  # of the file: "torch", "flax" …
    files: tuple[Path, ...]
    folder: Path
    beside: dict[str, Any] = field(repr=False)  # what fairseq saved beside the tensors
    left: tuple[str, ...]  # entries of the state dict that are no tensors

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        return {name: tensor.shape for name, tensor in self.tensors.items()}

    @property
    def has_other_names(self) -> bool:
        """Whether the toolkit could not read the file's own names: Lightning's, or those of MMS's adapters."""
        theirs = self.named.values()
        if self.scheme == "hf":
            return any(name.startswith("model.") for name in theirs)
        return self.scheme == "fairseq" and any(".adapter_layer." in name for name in theirs)

    @property
    def has_config(self) -> bool:
        """Whether a config.json lies beside them."""
        return (self.folder / CONFIG).exists()


@dataclass
class Opened:
    """A checkpoint with all that a model needs; tensors and files are read when somebody first asks for them."""

    folder: Path  # that it lies in
    config: dict[str, Any]  # config.json
    made: dict[str, bytes] | None = None  # the other files, which are made here; None: they lie in the folder
    found: Weights | None = None  # where they are read already

    @cached_property
    def weights(self) -> Weights:
        """The tensors under the names that all toolkits' checkpoints share here. Raises WeightsError."""
        return open_weights(self.folder) if self.found is None else self.found

    @cached_property
    def files(self) -> dict[str, bytes]:
        """The vocabulary, preprocessor_config.json and their like, by name. Raises WeightsError."""
        return _side_files(self.folder) if self.made is None else self.made

    @property
    def kind(self) -> str:
        """The class of transformers that it is, "Wav2Vec2ForCTC"."""
        stated = self.config.get("architectures")
        return stated[0] if isinstance(stated, list) and stated else infer.kind_of(self.weights.tensors)

    def tensors(self) -> tuple[Tensors, tuple[Path, ...]]:
        """The tensors under transformers' own names, and the files that they are in. Raises WeightsError."""
        if self.found is None:
            found, files = read_folder(self.folder)
            return found.tensors, files
        names = to_scheme(self.weights.tensors, "hf", self.kind)
        return {names[name]: tensor for name, tensor in self.weights.tensors.items()}, self.weights.files

    @contextmanager
    def in_folder(self, source: object = None) -> Iterator[Path]:
        """A folder in the Hugging Face layout with config and vocabulary: its own, or one that is made and goes again.

        An error of the package that is raised meanwhile speaks of ``source`` in place of a folder that goes.
        """
        if self.made is None:
            yield self.folder
            return
        with tempfile.TemporaryDirectory(prefix="xlsr_ref-") as folder:
            for name, content in ({CONFIG: to_json(self.config)} | self.made).items():
                (Path(folder) / name).write_bytes(content)
            try:
                yield Path(folder)
            except XlsrError as error:
                raise type(error)(str(error).replace(folder, str(source or self.folder))) from None


def open(source: str | os.PathLike[str], *, language: str | None = None) -> Opened:
    """The checkpoint in a folder, in a file, or with a name on the Hub, whatever the toolkit.

    Only where no config.json is there are the settings worked out, and held against the tensors; one that is there is
    returned as it is, and checked by the network that it describes (model/load_params.py). ``language`` is one of a
    model with many, whose adapter is fetched too.

    Raises ConfigError for what is no model's folder, HubError for what cannot be fetched, WeightsError for the rest.
    """
    path = local_folder(source, language)
    if not path.is_file():
        folder = model_folder(path, ConfigError)
        if (folder / CONFIG).exists() or not any(one.suffix in ENDINGS for one in folder.iterdir()):
            return Opened(folder, read_json(folder / CONFIG, ConfigError))
    try:
        return open_checkpoint(path)
    except WeightsError as error:
        advice = f"; then: xlsr-ref weights convert {path} NEW_FOLDER --set …" if "--set" in str(error) else ""
        raise WeightsError(f"{error}{advice}") from None


def open_weights(source: str | Path) -> Weights:
    """The tensors of a file, or of a folder with one checkpoint in it. Raises WeightsError."""
    path = Path(source)
    if path.is_dir():
        folder = path
        others = sorted(p for p in path.iterdir() if p.suffix in ENDINGS and p.is_file())
        if any(os.path.lexists(path / name) for name in WEIGHTS) or not others:
            found, files = read_folder(path)
        elif len(others) == 1:
            found, files = read_file(others[0]), (others[0],)
        else:
            names = listed(p.name for p in others)
            raise WeightsError(f"{shown(path)} has {len(others)} checkpoints, {names}: name one")
    else:
        folder, files, found = path.parent, (path,), read_file(path)
    return _named(found, files, folder)


def _named(found: Found, files: tuple[Path, ...], folder: Path) -> Weights:
    try:
        theirs_in_file = fairseq.adapters_as_modules(found.tensors)
        scheme = scheme_of(theirs_in_file)
        named = canonical(theirs_in_file, scheme)
    except WeightsError as error:
        raise WeightsError(f"{shown(files[0])}: {error}") from None
    tensors = {ours: theirs_in_file[theirs] for theirs, ours in named.items()}
    back = {ours: theirs for theirs, ours in named.items()}
    return Weights(tensors, back, scheme, found.form, files, folder, found.beside, found.left)


def open_checkpoint(
    source: str | Path, settings: Mapping[str, Any] | None = None, dictionary: str | Path | None = None
) -> Opened:
    """A checkpoint whose config and tensors do not contradict each other. Raises WeightsError with what must be added.

    ``settings`` are fields of config.json that win over all others; ``dictionary`` is fairseq's dict.*.txt.
    """
    return understand(open_weights(source), settings, dictionary)


def understand(
    weights: Weights, settings: Mapping[str, Any] | None = None, dictionary: str | Path | None = None
) -> Opened:
    """The config and the vocabulary that belong to ``weights``; see :func:`open_checkpoint`."""
    where, settings = shown(weights.files[0]), settings or {}
    try:
        inferred = infer.config_of(weights.shapes)
        if weights.has_config:
            config, files = read_json(weights.folder / CONFIG, WeightsError), None
            problems = infer.contradictions(config, weights.shapes, CONFIG)
        else:
            config, files, problems = _settings_inside(weights, inferred, dictionary)
        if dictionary is not None and weights.scheme == "hf":
            raise WeightsError("a dictionary belongs to fairseq's checkpoints, and this one is of another toolkit")
        config |= settings
        problems += infer.contradictions(settings, weights.shapes, "--set")
        if problems:
            raise WeightsError("; ".join(problems))
        if files is not None:
            infer.asked_for(config)
        infer.check(config)
    except WeightsError as error:
        raise WeightsError(f"{where}: {error}" if where not in str(error) else str(error)) from None
    return Opened(weights.folder, config, files, weights)


def _settings_inside(
    weights: Weights, inferred: dict[str, Any], dictionary: str | Path | None
) -> tuple[dict[str, Any], dict[str, bytes], list[str]]:
    """Config, other files and contradictions, from fairseq's settings in the checkpoint and from what shapes tell."""
    saved = fairseq.settings_of(weights.beside)
    stated = fairseq.config_of(saved)
    problems = infer.contradictions(stated, weights.shapes, "the checkpoint's own settings")
    config = {"model_type": infer.FAMILIES[infer.family_of(weights.shapes)]} | stated | inferred
    files = _vocabulary(weights, config, dictionary)
    files["preprocessor_config.json"] = to_json(_preprocessor(config, fairseq.normalize_of(saved)))
    return config, files, problems


def _side_files(folder: Path) -> dict[str, bytes]:
    names = [name for name in SIDE_FILES if (folder / name).exists()]
    return {name: read_bytes(folder / name, WeightsError, LONGEST_JSON) for name in names}


def _vocabulary(weights: Weights, config: dict[str, Any], dictionary: str | Path | None) -> dict[str, bytes]:
    """The tokenizer's files for a CTC model; adds the ids of the special tokens to ``config``."""
    if weights.scheme == "hf" or infer.task_of(config["architectures"][0]) != "ForCTC":
        return _side_files(weights.folder)
    if weights.scheme == "fairseq2":  # its vocabulary is a SentencePiece file, and its blank the first piece
        config["pad_token_id"] = 0
        return _side_files(weights.folder)
    inside, path = fairseq.dictionary_in(weights.beside), find_dictionary(weights.folder, dictionary)
    symbols = fairseq.read_dictionary(path) if path is not None else inside
    if symbols is None:
        if weights.scheme == "fairseq":
            config["pad_token_id"] = 0  # fairseq's blank is <s>, which is always the first
        return {}
    if path is not None and inside is not None and inside != symbols:
        raise WeightsError(f"{shown(path)} and the dictionary inside the checkpoint differ: one belongs elsewhere")
    rows = config["vocab_size"]
    if len(symbols) != rows:
        raise WeightsError(
            f"the dictionary has {len(symbols)} symbols, with <s> and the like, but the head {rows} rows"
        )
    config |= {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}
    return {name: to_json(content) for name, content in fairseq.vocabulary_files(symbols).items()}


def find_dictionary(folder: Path, dictionary: str | Path | None) -> Path | None:
    """The dictionary file: the one given, dict.ltr.txt, or the only dict.*.txt of the folder; None without any."""
    if dictionary is not None:
        return Path(dictionary)
    if (folder / "dict.ltr.txt").exists():
        return folder / "dict.ltr.txt"
    found = sorted(folder.glob("dict.*.txt"))
    if len(found) > 1:
        raise WeightsError(f"{shown(folder)} has several dictionaries: {listed(p.name for p in found)}; name one")
    return found[0] if found else None


def _preprocessor(config: dict[str, Any], normalize: bool | None) -> dict[str, Any]:
    if config["model_type"] == "wav2vec2-bert":
        wide = config["feature_projection_input_dim"]  # of two frames in every row, as released
        bands = {"feature_size": wide // 2, "num_mel_bins": wide // 2, "stride": 2, "padding_value": 0.0}
        return {"feature_extractor_type": "SeamlessM4TFeatureExtractor", "sampling_rate": 16000} | bands
    return {
        "do_normalize": True if normalize is None else normalize,
        "feature_extractor_type": "Wav2Vec2FeatureExtractor",
        "feature_size": 1,
        "padding_side": "right",
        "padding_value": 0.0,
        "return_attention_mask": config.get("feat_extract_norm") == "layer",
        "sampling_rate": 16000,
    }


def to_json(content: Mapping[str, Any]) -> bytes:
    """The bytes of a JSON file, keys in order, as transformers writes it."""
    return (json.dumps(content, indent=2, sort_keys=True, ensure_ascii=False, allow_nan=False) + "\n").encode()
