"""``xlsr-ref inspect``: what a model is made of."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from xlsr_ref.cli.say import STYLE, say
from xlsr_ref.errors import ConfigError


def add(commands: Any) -> None:
    p = commands.add_parser(
        "inspect",
        description="Show the stages of a model: names in the checkpoint, output shape for one second of\n"
        "sound, parameters and FLOPs; and which tensors loading would use.",
        epilog="examples:\n"
        "  xlsr-ref inspect                                      # the model in the package\n"
        "  xlsr-ref inspect wav2vec2-large-xlsr-53/config.json   # a config without weights",
        **STYLE,
    )
    p.add_argument("model", metavar="MODEL", nargs="?", help="model folder, OWNER/NAME[@REVISION], or config.json")
    p.set_defaults(call=run)


def run(arguments: argparse.Namespace) -> int:
    """Print the table of stages, and the load report where there are weights."""
    from xlsr_ref.checkpoint.hub import local_folder
    from xlsr_ref.model.load_params import load_params
    from xlsr_ref.model.networks import architecture_named, architecture_of, config_of, read_settings
    from xlsr_ref.ops.stage_table import format_table
    from xlsr_ref.untrusted import listed, read_json, shown
    from xlsr_ref.wav2vec2.config import CLASSIFIERS

    bundled = Path(__file__).parents[1] / "data" / "small-ctc"
    path = bundled if arguments.model is None else local_folder(arguments.model)
    folder = path.parent if path.is_file() else path
    if path.is_file():
        values = read_json(path, ConfigError)
        try:
            preprocessor = architecture_named(values).preprocessor.from_folder(folder)
            config = config_of(values, preprocessor)
        except ConfigError as error:
            raise ConfigError(f"{shown(path)}: {error}") from None
    else:
        config, preprocessor = read_settings(path)
    rate = preprocessor.sampling_rate
    names = ("model.safetensors", "model.safetensors.index.json", "pytorch_model*.bin", "flax_model.msgpack")
    weights = any(path for name in names for path in folder.glob(name))
    if path.is_file() or not weights:
        kind = config.architectures[0] if config.architectures else f"{config.family}Model"
        report, prefix = f"model    {kind}, from the config alone: no weights were read", None
    else:
        loaded = load_params(folder, config)[1]
        kind, report, prefix = loaded.kind, str(loaded), loaded.prefix

    samples = max(rate, config.fewest_samples)
    rows = architecture_of(config).table(config, kind, samples, prefix)
    lengths = (config.hop, config.receptive_field, config.output_hop)
    step, field, reduced = (f"{n} samples ({1000 * n / rate:g} ms)" for n in lengths)
    fewer = f"; after the adapter one every {reduced}" if config.add_adapter else ""
    labels = f"labels   {listed(config.labels)}\n" if config.task_of(kind) in CLASSIFIERS else ""
    say(
        f"{report}\n"
        f"frames   one every {step}, each sees {field}{fewer}\n{labels}\n"
        f"For {samples / rate:g} s of sound ({samples} samples at {rate} Hz); a multiply-add is 2 FLOPs:\n\n"
        f"{format_table(rows, config.num_hidden_layers)}\n"
    )
    return 0
