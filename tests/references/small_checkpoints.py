"""Small checkpoints for the tests: safetensors files, true, lying and damaged, and random weights of a tiny model."""

from __future__ import annotations

import json
import random
import re
import struct
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from xlsr_ref.errors import WeightsError
from xlsr_ref.wav2vec2.config import Config
from xlsr_ref.wav2vec2.shapes import PARAMETRIZED, expected_shapes

TINY = Config(
    architectures=("Wav2Vec2ForCTC",),
    feat_extract_norm="layer",
    conv_bias=True,
    conv_dim=(4, 6),
    conv_kernel=(5, 3),
    conv_stride=(3, 2),
    hidden_size=8,
    num_hidden_layers=2,
    num_attention_heads=2,
    intermediate_size=12,
    num_conv_pos_embeddings=4,
    num_conv_pos_embedding_groups=2,
    vocab_size=5,
    codevector_dim=6,
    num_codevectors_per_group=3,
    proj_codevector_dim=7,
)


def weights(config: Config = TINY, kind: str = "Wav2Vec2ForCTC", prefix=None, weight_norm=PARAMETRIZED) -> dict:
    """Random float32 weights of the shapes that the config implies."""
    draw = np.random.default_rng(0)
    shapes = expected_shapes(config, kind, prefix, weight_norm)
    return {name: draw.standard_normal(shape, dtype=np.float32) for name, shape in shapes.items()}


def folder_of(tmp_path: Path, flat: dict) -> Path:
    save_file(flat, tmp_path / "model.safetensors")
    return tmp_path


def craft(header: dict | bytes, data: bytes = b"", length: int | None = None) -> bytes:
    """The bytes of a safetensors file with this header, true or lying."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text + data


def entry(dtype: str = "F32", shape: tuple = (1,), at: tuple = (0, 4), **more) -> dict:
    return {"dtype": dtype, "shape": list(shape), "data_offsets": list(at), **more}


def refusal(act, *arguments, error: type[Exception] = WeightsError, **named) -> str:
    """The message with which ``act`` refuses; it must be one line, and not a long one."""
    with pytest.raises(error) as refused:
        act(*arguments, **named)
    message = str(refused.value)
    assert "\n" not in message
    assert len(message) < 4000
    return message


def sharded(tmp_path: Path, flat: dict) -> dict:
    """Two shards and their index; returns the index."""
    names = list(flat)
    homes = {name: f"model-0000{1 + (number % 2)}-of-00002.safetensors" for number, name in enumerate(names)}
    for home in set(homes.values()):
        save_file({name: flat[name] for name in names if homes[name] == home}, tmp_path / home)
    index = {"metadata": {"total_size": 1}, "weight_map": homes}
    write_index(tmp_path, index)
    return index


def write_index(folder: Path, index: dict) -> None:
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))


TOKENS = (
    b"null",
    b"-1",
    b"0",
    b"1e2",
    b"[",
    b"]",
    b"}",
    b'"',
    b",",
    b"\\ud800",
    b"9" * 20,
    b"F16",
    b"BF16",
    b"F4",
    b" ",
)


def mutated(content: bytes, draw: random.Random) -> bytes:
    """One to three small damages to a safetensors or a JSON file, half of them in the header."""
    lead = 0 if content.startswith(b"{") else 8  # the bytes that hold the header's length
    length = len(content) if not lead else int.from_bytes(content[:8], "little")
    head, header, data = content[:lead], bytearray(content[lead : lead + length]), bytearray(content[lead + length :])
    for _ in range(draw.randint(1, 3)):
        part = header if not data or draw.random() < 0.75 else data
        at, kind = draw.randrange(len(part) + 1), draw.randrange(7)
        if kind == 0:
            part[at : at + 1] = bytes([draw.randrange(256)])
        elif kind == 1:
            part[at : at + 1] = bytes([draw.choice(b"0123456789")])
        elif kind == 2:
            del part[at : at + draw.randint(1, 60)]
        elif kind == 3:
            part[at:at] = draw.choice(TOKENS)
        elif kind == 4:
            start = draw.randrange(len(part) + 1)
            part[at:at] = part[start : start + draw.randint(1, 120)]
        elif kind == 5 and draw.random() < 0.3:
            del part[at:]
        else:  # a number, a name or a dtype of the header takes the place of another: overlaps, holes, wrong sizes
            words = [match.span() for match in re.finditer(rb"\d+" if kind == 5 else rb"\w+", header)]
            if len(words) > 1:
                (begin, end), (start, stop) = draw.sample(words, 2)
                header[begin:end] = header[start:stop]
    if lead:
        choice = draw.random()
        if choice < 0.8:  # keep the length true, so that the damage after it is reached
            head = struct.pack("<Q", len(header))
        elif choice < 0.9:
            head = bytes(draw.choice((byte, byte, draw.randrange(256))) for byte in head)
    return bytes(head + header + data)
