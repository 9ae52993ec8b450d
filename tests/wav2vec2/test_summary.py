"""The table of stages: fact 10's counts, and FLOPs recomputed here by another road."""

from __future__ import annotations

import dataclasses
import math

import pytest

from xlsr_ref.errors import AudioError
from xlsr_ref.ops.stage_table import ONLY_PRETRAINING, Row, format_table, total
from xlsr_ref.wav2vec2.config import KINDS, Config
from xlsr_ref.wav2vec2.shapes import expected_shapes
from xlsr_ref.wav2vec2.summary import stage_table

XLSR_53 = Config(
    architectures=("Wav2Vec2ForPreTraining",),
    feat_extract_norm="layer",
    conv_bias=True,
    do_stable_layer_norm=True,
    hidden_size=1024,
    num_hidden_layers=24,
    num_attention_heads=16,
    intermediate_size=4096,
    codevector_dim=768,
    proj_codevector_dim=768,
)
BASE = Config(vocab_size=32)
ADAPTED = {"add_adapter": True, "output_hidden_size": 10, "num_adapter_layers": 2, "adapter_kernel_size": 4}
ODD = Config(
    conv_dim=(6, 10, 4),
    conv_kernel=(7, 3, 2),
    conv_stride=(3, 2, 1),
    conv_bias=True,
    hidden_size=12,
    num_attention_heads=3,
    intermediate_size=20,
    num_hidden_layers=5,
    num_conv_pos_embeddings=5,
    num_conv_pos_embedding_groups=4,
    vocab_size=9,
    codevector_dim=8,
    num_codevectors_per_group=7,
    proj_codevector_dim=3,
)


SUMMED = dataclasses.replace(ODD, use_weighted_layer_sum=True, id2label={0: "a", 1: "b", 2: "c"})
WITH_ADAPTERS = dataclasses.replace(ODD, do_stable_layer_norm=True, adapter_attn_dim=5, **ADAPTED)


def by_prefix(rows: list[Row]) -> dict[str, Row]:
    return {row.prefix: row for row in rows}


def test_the_counts_of_xlsr_53():
    rows = stage_table(XLSR_53, "Wav2Vec2ForPreTraining", 16000)
    assert total(rows)[0] == 317_390_592
    assert total(rows, without=ONLY_PRETRAINING)[0] == 315_438_720
    assert by_prefix(rows)["wav2vec2.feature_extractor"].parameters == 4_210_176


def test_the_work_of_xlsr_53():
    """36 GFLOP per second, taken as 50 frames: 4.9 convolutions, 30.2 linears of the blocks, 0.8 positional."""
    T, C = 50, 1024
    rows = by_prefix(stage_table(XLSR_53, "Wav2Vec2Model", 16080, prefix=""))
    assert rows["feature_extractor"].output == (T, 512)
    assert rows["feature_extractor"].flops / 1e9 == pytest.approx(4.9, abs=0.05)
    attention_that_grows_with_length = 24 * 4 * T * T * C
    assert (rows["encoder.layers.*"].flops - attention_that_grows_with_length) / 1e9 == pytest.approx(30.2, abs=0.05)
    assert rows["encoder.pos_conv_embed"].flops / 1e9 == pytest.approx(0.8, abs=0.05)
    assert total(list(rows.values()))[1] / 1e9 == pytest.approx(36, abs=0.5)


@pytest.mark.parametrize("config", [XLSR_53, BASE, ODD, WITH_ADAPTERS])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("samples", [400, 1999, 16000])
def test_flops_from_the_shapes_of_the_weights(config, kind, samples):
    """A weight is used once per frame of its stage's output (once per group that it belongs to, in a convolution)."""
    if config is WITH_ADAPTERS and kind not in ("Wav2Vec2Model", "Wav2Vec2ForCTC"):
        pytest.skip("no such model")
    base = "wav2vec2."
    table = stage_table(config, kind, samples, base)
    rows = {row.prefix.removeprefix(base) if row.prefix != "feature_extractor" else "head": row for row in table}
    used = dict.fromkeys(rows, 0)  # numbers of matrices, over all blocks
    for name, shape in expected_shapes(config, kind, base).items():
        name = f"head.{name}" if name.startswith("feature_extractor.") else name.removeprefix(base)
        if len(shape) < 2 or name.endswith("original0") or name in ("quantizer.codevectors", "objective.weight"):
            continue  # norms and biases; the magnitudes g; a codebook is looked up; training only
        parts = name.split(".")
        if parts[:2] == ["encoder", "layers"]:
            stage = f"encoder.layers.*.{parts[3]}"
        elif parts[0] == "feature_extractor":
            stage = ".".join(parts[:3])
        elif parts[0] == "tdnn":
            stage = ".".join(parts[:2])
        else:
            stage = max((prefix for prefix in rows if name.startswith(prefix)), key=len)
        used[stage] += math.prod(shape)
    T, C = rows["feature_projection"].output
    for stage, numbers in used.items():
        frames = rows[stage].output[0] if len(rows[stage].output) == 2 else len(rows[stage].output)
        multiplications = frames * numbers
        if stage == "encoder.layers.*.attention":
            for _ in range(config.num_hidden_layers * config.num_attention_heads):
                multiplications += 2 * T * T * (C // config.num_attention_heads)
        if stage not in (
            "feature_extractor",
            "encoder.layers.*",
            "adapter",
            "tdnn",
        ):  # sums of their parts, tested below
            assert rows[stage].flops == 2 * multiplications, stage


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("config", [XLSR_53, BASE, ODD, SUMMED])
def test_every_parameter_stands_in_one_row(config, kind):
    rows = stage_table(config, kind, 16000)
    assert total(rows)[0] == sum(math.prod(shape) for shape in expected_shapes(config, kind).values())
    for name in expected_shapes(config, kind):
        homes = [row for row in rows if row.level == 0 and f"{name}.".startswith(row.prefix.rstrip("*"))]
        assert len(homes) == 1, name


@pytest.mark.parametrize("config", [XLSR_53, BASE, ODD, WITH_ADAPTERS])
@pytest.mark.parametrize("kind", ["Wav2Vec2Model", "Wav2Vec2ForXVector"])
def test_parts_sum_to_their_stage(config, kind):
    if config is WITH_ADAPTERS and kind == "Wav2Vec2ForXVector":
        config = dataclasses.replace(config, output_hidden_size=None)
    rows = stage_table(config, kind, 16000)
    for i, row in enumerate(rows):
        parts = []
        for part in rows[i + 1 :]:
            if part.level == 0:
                break
            parts.append(part)
        if row.level == 0 and parts:
            assert row.parameters == sum(part.parameters for part in parts)
            assert row.flops == sum(part.flops for part in parts)


def test_the_order_of_the_norms():
    pre = [row.prefix for row in stage_table(XLSR_53, "Wav2Vec2Model", 16000)]
    post = [row.prefix for row in stage_table(BASE, "Wav2Vec2Model", 16000)]
    assert pre.index("encoder.layer_norm") > pre.index("encoder.layers.*")
    assert post.index("encoder.layer_norm") < post.index("encoder.layers.*")
    assert pre.index("encoder.layers.*.layer_norm") < pre.index("encoder.layers.*.attention")
    assert post.index("encoder.layers.*.layer_norm") > post.index("encoder.layers.*.attention")


@pytest.mark.parametrize(("samples", "frames"), [(400, 1), (719, 1), (720, 2), (16000, 49), (160000, 499)])
def test_frames(samples, frames):
    assert by_prefix(stage_table(BASE, "Wav2Vec2ForCTC", samples))["lm_head"].output == (frames, 32)


def test_too_short():
    with pytest.raises(AudioError, match="399 samples make no frame; this model needs at least 400"):
        stage_table(BASE, "Wav2Vec2ForCTC", 399)


def test_prefixes():
    bare = [row.prefix for row in stage_table(BASE, "Wav2Vec2Model", 16000)]
    ctc = [row.prefix for row in stage_table(BASE, "Wav2Vec2ForCTC", 16000)]
    assert ctc == [f"wav2vec2.{prefix}" for prefix in bare] + ["lm_head"]
    assert [row.prefix for row in stage_table(BASE, "Wav2Vec2ForCTC", 16000, prefix="")] == [*bare, "lm_head"]


def test_the_text_of_the_table():
    lines = format_table(stage_table(XLSR_53, "Wav2Vec2ForPreTraining", 16000), 24).splitlines()
    assert len({len(line) for line in lines}) == 1  # columns line up
    assert lines[1].split() == ["wav2vec2.feature_extractor", "(49,", "512)", "4,210,176", "4,900.2"]
    assert lines[-2].split()[:2] == ["total", "317,390,592"]
    assert lines[-1].split()[:-1] == ["without", "quantizer", "and", "projections", "315,438,720"]
    assert "without" not in format_table(stage_table(BASE, "Wav2Vec2ForCTC", 16000), 12)
