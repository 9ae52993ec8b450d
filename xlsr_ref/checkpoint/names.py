"""One network, four toolkits' names for its tensors.

    transformers   wav2vec2.encoder.layers.3.attention.q_proj.weight
    fairseq        w2v_encoder.w2v_model.encoder.layers.3.self_attn.q_proj.weight
    torchaudio     encoder.transformer.layers.3.attention.q_proj.weight
    fairseq2       encoder.layers.3.self_attn.q_proj.weight                 (only read, as Omnilingual ASR's are)

The table below has one line for each module; {i} is a layer's number. What follows the module's name (weight,
bias, weight_g …) is the same everywhere. A name that the table lacks is refused, never dropped.
Where: transformers' convert_wav2vec2_original_pytorch_checkpoint_to_pytorch.py, torchaudio's import_fairseq.py.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable

from xlsr_ref.errors import WeightsError
from xlsr_ref.untrusted import brief, listed

SCHEMES = ("hf", "fairseq", "torchaudio")

# (transformers, fairseq, torchaudio), each without the prefixes of the backbone; None: the toolkit has no such module.
BACKBONE: tuple[tuple[str, str, str | None], ...] = (
    ("masked_spec_embed", "mask_emb", None),
    ("feature_extractor.conv_layers.{i}.conv", "feature_extractor.conv_layers.{i}.0", "{hf}"),
    ("feature_extractor.conv_layers.{i}.layer_norm", "feature_extractor.conv_layers.{i}.2.1", "{hf}"),  # layer norm
    ("feature_extractor.conv_layers.{i}.layer_norm", "feature_extractor.conv_layers.{i}.2", "{hf}"),  # group norm
    ("feature_projection.layer_norm", "layer_norm", "encoder.feature_projection.layer_norm"),
    ("feature_projection.projection", "post_extract_proj", "encoder.feature_projection.projection"),
    ("encoder.pos_conv_embed.conv", "encoder.pos_conv.0", "encoder.transformer.pos_conv_embed.conv"),
    ("encoder.layer_norm", "encoder.layer_norm", "encoder.transformer.layer_norm"),
    *(
        (f"encoder.layers.{{i}}.{hf}", f"encoder.layers.{{i}}.{fairseq}", f"encoder.transformer.layers.{{i}}.{hf}")
        for hf, fairseq in (
            *((f"attention.{part}", f"self_attn.{part}") for part in ("k_proj", "v_proj", "q_proj", "out_proj")),
            ("layer_norm", "self_attn_layer_norm"),
            ("feed_forward.intermediate_dense", "fc1"),
            ("feed_forward.output_dense", "fc2"),
            ("final_layer_norm", "final_layer_norm"),
            *((f"adapter_layer.{part}", f"adapter_layer.{part}") for part in ("norm", "linear_1", "linear_2")),
        )
    ),
)
HEADS: tuple[tuple[str, str, str | None], ...] = (  # no prefix in transformers
    ("lm_head", "w2v_encoder.proj", "aux"),
    ("quantizer.codevectors", "quantizer.vars", None),
    ("quantizer.weight_proj", "quantizer.weight_proj", None),
    ("project_q", "project_q", None),
    ("project_hid", "final_proj", None),
)
FAIRSEQ2 = {  # its module → the module in transformers
    "masker.temporal_mask_embed": "masked_spec_embed",
    "encoder_frontend.feature_extractor.layers.{i}.conv": "feature_extractor.conv_layers.{i}.conv",
    "encoder_frontend.feature_extractor.layers.{i}.layer_norm": "feature_extractor.conv_layers.{i}.layer_norm",
    "encoder_frontend.feature_extractor.layers.{i}.group_norm": "feature_extractor.conv_layers.{i}.layer_norm",
    "encoder_frontend.post_extract_layer_norm": "feature_projection.layer_norm",
    "encoder_frontend.model_dim_proj": "feature_projection.projection",
    "encoder_frontend.pos_encoder.conv": "encoder.pos_conv_embed.conv",
    "encoder.layer_norm": "encoder.layer_norm",
    **{f"encoder.layers.{{i}}.self_attn.{part}": f"encoder.layers.{{i}}.attention.{part}"
       for part in ("q_proj", "k_proj", "v_proj")},
    "encoder.layers.{i}.self_attn.output_proj": "encoder.layers.{i}.attention.out_proj",
    "encoder.layers.{i}.self_attn_layer_norm": "encoder.layers.{i}.layer_norm",
    "encoder.layers.{i}.ffn.inner_proj": "encoder.layers.{i}.feed_forward.intermediate_dense",
    "encoder.layers.{i}.ffn.output_proj": "encoder.layers.{i}.feed_forward.output_dense",
    "encoder.layers.{i}.ffn_layer_norm": "encoder.layers.{i}.final_layer_norm",
    "final_proj": "lm_head",  # of a pretrained model, which has a quantizer, project_hid
    "quantizer.entries": "quantizer.codevectors",
    "quantizer.entry_proj": "quantizer.weight_proj",
    "final_target_proj": "project_q",
}  # fmt: skip
LEAF = re.compile(r"\.(weight|bias|weight_g|weight_v|parametrizations\.weight\.original[01])$")
LAYER = re.compile(r"(?<=layers\.)\d{1,4}(?=\.)")
BARE = ("masked_spec_embed", "quantizer.codevectors")  # tensors themselves, not modules
PREFIXES = {
    "hf": ("wav2vec2.", "", "model.wav2vec2.", "model."),
    "fairseq": ("w2v_encoder.w2v_model.", "w2v_model.", ""),
    "torchaudio": ("model.", ""),
    "fairseq2": ("", "model."),
}
BASES = {  # how kinds begin → transformers' prefix; what begins another one comes first
    "Wav2Vec2Bert": "wav2vec2_bert.",
    "Wav2Vec2": "wav2vec2.",
    "Hubert": "hubert.",
    "UniSpeechSat": "unispeech_sat.",
    "UniSpeech": "unispeech.",
    "Data2VecAudio": "data2vec_audio.",
}
OLD = {"encoder.readout": "lm_head"}  # what torchaudio called its head at first

# For each toolkit: its module → the module in transformers.
MODULES: dict[str, dict[str, str]] = {
    scheme: {row[column].replace("{hf}", row[0]): row[0] for row in (*BACKBONE, *HEADS) if row[column] is not None}  # type: ignore[union-attr]
    for column, scheme in enumerate(SCHEMES)
}
MODULES["torchaudio"] |= OLD
MODULES["fairseq2"] = FAIRSEQ2


def scheme_of(names: Iterable[str]) -> str:
    """Which toolkit's names these are: that which knows the most of them. Raises WeightsError if none does."""
    names = list(names)
    known = {scheme: sum(_to_hf(name, scheme) is not None for name in names) for scheme in MODULES}
    scheme = max(known, key=lambda one: known[one])
    if known[scheme] == 0:
        found = f"none of its {len(names)} tensors has a name of wav2vec 2.0: {listed(names, 4)}"
        raise WeightsError(f"{found}; another network, or a toolkit that is not known")
    return scheme


def canonical(names: Iterable[str], scheme: str | None = None) -> dict[str, str]:
    """Each name → the name in transformers, without "wav2vec2.". Raises WeightsError, with the names not known.

    transformers' own names all pass, also those of heads and adapters that no other toolkit has.
    """
    names = list(names)
    scheme = scheme_of(names) if scheme is None else scheme
    if scheme == "hf":
        renamed = {name: _without_base(name) for name in names}
    else:
        found = {name: _to_hf(name, scheme) for name in names}
        unknown = [name for name, ours in found.items() if ours is None]
        if unknown:
            raise WeightsError(f"these names are not known in {scheme}'s wav2vec 2.0: {listed(unknown)}")
        renamed = {name: ours for name, ours in found.items() if ours is not None}
        if scheme == "fairseq2" and "quantizer.codevectors" in renamed.values():
            renamed = {name: ours.replace("lm_head.", "project_hid.") for name, ours in renamed.items()}
    if len(set(renamed.values())) < len(renamed):
        (twice, _), *_ = Counter(renamed.values()).most_common(1)
        raise WeightsError(f"two tensors would be called {brief(twice)}: refused")
    return renamed


def to_scheme(names: Iterable[str], scheme: str, kind: str, group_norm: bool = False) -> dict[str, str]:
    """Each canonical name → its name in ``scheme`` for a model of ``kind``, "Wav2Vec2ForCTC" or another.

    ``group_norm`` is the form of the feature encoder's norm, which fairseq names otherwise. Tensors that the other
    toolkit does not have are left out. Raises WeightsError, with the names that the table lacks.
    """
    names = list(names)
    if scheme == "hf":
        family = next((family for family in BASES if kind.startswith(family)), "Wav2Vec2")
        prefix = "" if kind == f"{family}Model" else BASES[family]
        parts = ("masked_spec_embed", "feature_extractor.conv_layers.", "feature_projection.", "encoder.", "adapter.",
                 "intermediate_ffn.")  # fmt: skip
        return {name: f"{prefix}{name}" if name.startswith(parts) else name for name in names}
    column = SCHEMES.index(scheme)
    norm = "feature_extractor.conv_layers.{i}.layer_norm"
    rows = {row[0]: row for row in (*BACKBONE, *HEADS) if row[0] != norm or row[1].endswith(".2") is group_norm}
    prefix = "w2v_encoder.w2v_model." if scheme == "fairseq" and kind == "Wav2Vec2ForCTC" else ""
    renamed, unknown = {}, []
    for name in names:
        module, number, leaf = _parts(name)
        if module not in rows or (leaf == "") is not (module in BARE):
            unknown.append(name)
            continue
        if scheme == "fairseq" and ".adapter_layer." in name:  # it keeps those of all languages in one tensor
            unknown.append(name)
            continue
        theirs = rows[module][column]
        if theirs is not None:
            stem = theirs.replace("{hf}", module).replace("{i}", number)
            renamed[name] = ("" if theirs.startswith("w2v_encoder.") else prefix) + stem + leaf
    if unknown:
        raise WeightsError(f"{scheme} has no names for {listed(unknown)}")
    return renamed


def _without_base(name: str) -> str:
    """A name without the network's, and without "model.", which Lightning puts before all."""
    name = name.removeprefix("model.")
    return next((name.removeprefix(base) for base in BASES.values() if name.startswith(base)), name)


def _parts(name: str) -> tuple[str, str, str]:
    """A name as module, layer's number and leaf: "encoder.layers.{i}.fc1", "3", ".weight"."""
    leaf = LEAF.search(name)
    module = name[: leaf.start()] if leaf else name
    layer = LAYER.search(module)
    if layer is None:
        return module, "", leaf[0] if leaf else ""
    return f"{module[: layer.start()]}{{i}}{module[layer.end() :]}", layer[0], leaf[0] if leaf else ""


def _to_hf(name: str, scheme: str) -> str | None:
    """The canonical name of one tensor, or None."""
    module, number, leaf = _parts(name)
    for prefix in PREFIXES[scheme]:
        ours = MODULES[scheme].get(module.removeprefix(prefix)) if module.startswith(prefix) else None
        if ours is not None and (leaf == "") is (ours in BARE):
            return ours.replace("{i}", number) + leaf
    return None
