"""The networks of this package, one entry for each, and the choice among them by `model_type`.

A network is a folder with a config, the names and shapes of its parameters, and its two passes:

    y, cache = backbone(x, p, config, masks, keep)          dx, grads = backbone_backward(dy, cache, p, config)

All else takes any of them: heads, losses, loading, training and the command line. To add one: a folder beside wav2vec2/
and an entry here; how its tensors are recognised stands in checkpoint/.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from xlsr_ref.audio import LogMel, Preprocessor
from xlsr_ref.errors import ConfigError
from xlsr_ref.settings import Settings
from xlsr_ref.untrusted import brief, model_folder, read_json, shown
from xlsr_ref.wav2vec2 import backbone as wav2vec2
from xlsr_ref.wav2vec2.block import block_attention as wav2vec2_attention
from xlsr_ref.wav2vec2.config import Config as Wav2Vec2Config
from xlsr_ref.wav2vec2.masks import draw_masks as wav2vec2_masks
from xlsr_ref.wav2vec2.relatives import Data2VecAudioConfig, HubertConfig, UniSpeechConfig, UniSpeechSatConfig
from xlsr_ref.wav2vec2.shapes import CLASSIC, PARAMETRIZED
from xlsr_ref.wav2vec2.shapes import expected_shapes as wav2vec2_shapes
from xlsr_ref.wav2vec2.summary import stage_table as wav2vec2_table
from xlsr_ref.wav2vec2_bert import backbone as bert
from xlsr_ref.wav2vec2_bert.config import Config as BertConfig
from xlsr_ref.wav2vec2_bert.conformer_block import block_attention as bert_attention
from xlsr_ref.wav2vec2_bert.masks import draw_masks as bert_masks
from xlsr_ref.wav2vec2_bert.shapes import expected_shapes as bert_shapes
from xlsr_ref.wav2vec2_bert.summary import stage_table as bert_table


class Architecture(NamedTuple):
    """A network: what the rest of the package needs of it."""

    Config: type[Settings]
    shapes: Callable[..., dict[str, tuple[int, ...]]]  # config, kind, prefix, spelling → all parameters
    spellings: tuple[tuple[str, ...], ...]  # in which a checkpoint may write a parameter that has several
    backbone: Callable[..., tuple[Any, Any]]
    backbone_backward: Callable[..., tuple[Any, dict]]
    stages: Callable[..., Any]  # cache, config → each stage's path, output and cache
    draw_masks: Callable[..., Any]  # rng, frames, config, dtype → the dropout of one utterance
    block_attention: Callable[..., Any]  # what enters a block, its parameters, config → attention weights
    table: Callable[..., list]  # config, kind, samples, prefix → the rows of stage_table
    preprocessor: type[Preprocessor] | type[LogMel]  # what makes the network's input of a waveform


NETWORKS = (
    *(
        Architecture(
            Config, wav2vec2_shapes, (PARAMETRIZED, CLASSIC), wav2vec2.backbone, wav2vec2.backbone_backward,
            wav2vec2.stages, wav2vec2_masks, wav2vec2_attention, wav2vec2_table, Preprocessor,
        )
        for Config in (Wav2Vec2Config, HubertConfig, UniSpeechConfig, UniSpeechSatConfig, Data2VecAudioConfig)
    ),
    Architecture(
        BertConfig, bert_shapes, ((),), bert.backbone, bert.backbone_backward,
        bert.stages, bert_masks, bert_attention, bert_table, LogMel,
    ),
)  # fmt: skip


def architecture_of(config: Settings) -> Architecture:
    """The network that ``config`` belongs to."""
    return next(one for one in NETWORKS if type(config) is one.Config)


def architecture_named(values: Mapping[str, Any]) -> Architecture:
    """The network that a config.json names; very old ones name none, and mean wav2vec 2.0. Raises ConfigError."""
    if not isinstance(values, Mapping):
        raise ConfigError(f"a config must be a JSON object, found {brief(repr(values))}")
    named = values.get("model_type")
    for one in NETWORKS:
        if named == one.Config.model_type or named is None:
            return one
    known = ", ".join(repr(one.Config.model_type) for one in NETWORKS)
    raise ConfigError(f"model_type must be one of {known}, found {brief(repr(named))}, another network")


def config_of(values: Mapping[str, Any], preprocessor: Preprocessor | LogMel | None = None) -> Settings:
    """The config that the keys of a config.json describe, of the network that they name. Raises ConfigError.

    ``preprocessor`` is the one of its folder: some networks take settings from there.
    """
    config = architecture_named(values).Config.from_dict(dict(values))
    return config if preprocessor is None else _with_input(config, preprocessor)


def read_settings(folder: str | Path) -> tuple[Settings, Preprocessor | LogMel]:
    """The config and the preprocessor of a model folder. Raises ConfigError, naming the file."""
    path = model_folder(folder, ConfigError) / "config.json"
    values = read_json(path, ConfigError)
    try:
        architecture = architecture_named(values)
        config = architecture.Config.from_dict(values)
        preprocessor = architecture.preprocessor.from_folder(folder)
        return _with_input(config, preprocessor), preprocessor
    except ConfigError as error:
        raise ConfigError(str(error) if str(path.parent) in str(error) else f"{shown(path)}: {error}") from None


def _with_input(config: Settings, preprocessor: Preprocessor | LogMel) -> Settings:
    """The config with those of the preprocessor's settings that it has fields for, such as a number of mel bins."""
    fields = {one.name for one in dataclasses.fields(config)}
    own = {one.name: getattr(preprocessor, one.name) for one in dataclasses.fields(preprocessor)}
    config = dataclasses.replace(config, **{name: value for name, value in own.items() if name in fields})
    config.require_input()
    return config
