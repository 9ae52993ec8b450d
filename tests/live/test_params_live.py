"""Names, shapes, defaults and dtypes against transformers' own models. Needs torch and transformers."""

from __future__ import annotations

import dataclasses
import shutil

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xlsr_ref.checkpoint.floats import to_float
from xlsr_ref.checkpoint.safetensors_file import read_arrays, write_arrays
from xlsr_ref.model.load_params import load_params
from xlsr_ref.ops.tree import flatten
from xlsr_ref.wav2vec2.config import CLASSIFIERS, KINDS, Config
from xlsr_ref.wav2vec2.shapes import CLASSIC, PARAMETRIZED, expected_shapes, parameter_count

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")


def model_of(config: Config, kind: str, device: str = "meta"):
    """transformers' model of this config; on the meta device it has shapes and no numbers."""
    values = dataclasses.asdict(config) | {"architectures": [kind]}
    with torch.device(device):
        return getattr(transformers, kind)(transformers.Wav2Vec2Config(**values)).eval()


@st.composite
def configs(draw) -> Config:
    """Every combination of norms, biases, tuple lengths, kernels, groups and heads, in small sizes."""
    layers = draw(st.integers(1, 8))
    sizes = st.lists(st.integers(1, 9), min_size=layers, max_size=layers).map(tuple)
    heads, groups = draw(st.integers(1, 5)), draw(st.integers(1, 4))
    codebooks, pre_norm, tdnn = draw(st.integers(1, 3)), draw(st.booleans()), draw(st.integers(1, 3))
    labels = draw(st.none() | st.integers(1, 4))
    of_tdnn = st.lists(st.integers(1, 9), min_size=tdnn, max_size=tdnn).map(tuple)
    return Config(
        id2label=labels and {i: f"label {i}" for i in range(labels)},
        use_weighted_layer_sum=draw(st.booleans()),
        classifier_proj_size=draw(st.integers(1, 9)),
        tdnn_dim=draw(of_tdnn),
        tdnn_kernel=draw(of_tdnn),
        tdnn_dilation=draw(of_tdnn),
        xvector_output_dim=draw(st.integers(1, 9)),
        add_adapter=draw(st.booleans()),
        adapter_kernel_size=draw(st.integers(1, 4)),
        num_adapter_layers=draw(st.integers(0, 3)),
        output_hidden_size=draw(st.none() | st.integers(1, 9)),
        adapter_attn_dim=draw(st.none() | st.integers(1, 4)) if pre_norm else None,
        feat_extract_norm=draw(st.sampled_from(["group", "layer"])),
        conv_bias=draw(st.booleans()),
        do_stable_layer_norm=pre_norm,
        conv_dim=draw(sizes),
        conv_kernel=draw(sizes),
        conv_stride=(1,) * layers,
        hidden_size=heads * groups * draw(st.integers(1, 3)),
        num_attention_heads=heads,
        num_conv_pos_embedding_groups=groups,
        num_conv_pos_embeddings=draw(st.integers(1, 9)),
        num_hidden_layers=draw(st.integers(1, 3)),
        intermediate_size=draw(st.integers(1, 9)),
        vocab_size=draw(st.integers(1, 9)),
        num_codevector_groups=codebooks,
        codevector_dim=codebooks * draw(st.integers(1, 4)),
        num_codevectors_per_group=draw(st.integers(1, 5)),
        proj_codevector_dim=draw(st.integers(1, 5)),
    )


SMALL = Config(
    conv_dim=(8, 8),
    conv_kernel=(5, 3),
    conv_stride=(3, 2),
    feat_extract_norm="layer",
    conv_bias=True,
    do_stable_layer_norm=True,
    hidden_size=16,
    num_attention_heads=2,
    num_hidden_layers=2,
    intermediate_size=24,
    num_conv_pos_embeddings=6,
    num_conv_pos_embedding_groups=4,
    vocab_size=11,
    codevector_dim=6,
    num_codevectors_per_group=3,
    proj_codevector_dim=7,
)


@settings(max_examples=60, deadline=None)  # the first model takes long, and only the first
@given(configs(), st.sampled_from(KINDS))
def test_expected_names_and_shapes_are_those_of_transformers(config, kind):
    if config.add_adapter and kind in CLASSIFIERS:
        config = dataclasses.replace(config, output_hidden_size=None, add_adapter=kind == "Wav2Vec2ForXVector")
    theirs = {name: tuple(tensor.shape) for name, tensor in model_of(config, kind).state_dict().items()}
    ours = expected_shapes(config, kind)
    assert ours == theirs
    assert list(ours) == list(theirs)  # and in their order


def test_the_large_model_has_as_many_parameters():
    config = Config(
        hidden_size=1024,
        num_hidden_layers=24,
        num_attention_heads=16,
        intermediate_size=4096,
        feat_extract_norm="layer",
        conv_bias=True,
        codevector_dim=768,
        proj_codevector_dim=768,
    )
    for kind in KINDS:
        theirs = sum(tensor.numel() for tensor in model_of(config, kind).parameters())
        assert parameter_count(config, kind) == theirs


def test_defaults_are_those_of_transformers():
    theirs = transformers.Wav2Vec2Config().to_dict()
    for name, ours in dataclasses.asdict(Config()).items():
        if name == "architectures":
            continue
        other = theirs[name]
        if name == "id2label":
            ours = dict(enumerate(Config().labels))
        if name == "output_hidden_size":  # transformers writes the default down
            ours = Config(add_adapter=True).output_size
        assert ours == (tuple(other) if isinstance(other, list) else other), name
        assert type(ours) is type(tuple(other) if isinstance(other, list) else other), name


@pytest.mark.parametrize("kind", KINDS)
def test_a_saved_config_is_read_back(tmp_path, kind):
    transformers.Wav2Vec2Config(**dataclasses.asdict(SMALL) | {"architectures": [kind]}).save_pretrained(tmp_path)
    expected = dataclasses.replace(SMALL, architectures=(kind,), output_hidden_size=16)  # which is written down
    assert Config.from_folder(tmp_path) == expected


@pytest.mark.parametrize("labels", [{0: "yes"}, {0: "a", 1: "b"}, {i: f"l{i}" for i in range(12)}])
def test_labels_are_read_back(tmp_path, labels):
    transformers.Wav2Vec2Config(id2label=labels).save_pretrained(tmp_path)
    assert Config.from_folder(tmp_path).labels == tuple(labels.values())


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("stored", ["float32", "float64", "float16", "bfloat16"])
@pytest.mark.parametrize("shard", ["5GB", "4KB"])
def test_a_saved_model_is_read_as_torch_reads_it(tmp_path, kind, stored, shard):
    torch.manual_seed(0)
    model = model_of(SMALL, kind, "cpu").to(getattr(torch, stored))
    model.save_pretrained(tmp_path, max_shard_size=shard)
    assert (tmp_path / "model.safetensors").exists() == (shard == "5GB")
    for dtype in ("float32", "float64"):
        params, report = load_params(tmp_path, Config.from_folder(tmp_path), dtype)
        theirs = model.state_dict()
        ours = flatten(params)
        assert ours.keys() == theirs.keys()
        for name, tensor in theirs.items():
            np.testing.assert_array_equal(ours[name], tensor.to(getattr(torch, dtype)).numpy(), strict=True)
        assert (report.kind, report.surplus, report.missing) == (kind, (), ())
        assert report.weight_norm == PARAMETRIZED


def test_every_bfloat16_is_what_torch_says(tmp_path):
    from safetensors.torch import save_file

    bits = torch.arange(2**16, dtype=torch.int32).to(torch.uint16)
    save_file({"a": bits.view(torch.bfloat16)}, tmp_path / "x")
    ours = to_float(read_arrays(tmp_path / "x")["a"], "float32")
    theirs = bits.view(torch.bfloat16).to(torch.float32).numpy()
    np.testing.assert_array_equal(ours, theirs, strict=True)
    np.testing.assert_array_equal(np.signbit(ours), np.signbit(theirs))


def test_the_old_spelling_of_weight_norm_loads(tmp_path):
    """A file that torch before 2.1 wrote; transformers reads it too, and both find the same numbers."""
    torch.manual_seed(0)
    model = model_of(SMALL, "Wav2Vec2ForCTC", "cpu")
    model.save_pretrained(tmp_path)
    stem = "wav2vec2.encoder.pos_conv_embed.conv."
    old = dict(read_arrays(tmp_path / "model.safetensors"))
    for new_name, old_name in zip(PARAMETRIZED, CLASSIC):
        old[stem + old_name] = old.pop(stem + new_name)
    old = {name: np.array(array) for name, array in old.items()}
    write_arrays(tmp_path / "model.safetensors", old)
    params, report = load_params(tmp_path, Config.from_folder(tmp_path))
    assert report.weight_norm == CLASSIC
    theirs = transformers.Wav2Vec2ForCTC.from_pretrained(tmp_path).state_dict()
    for new_name, old_name in zip(PARAMETRIZED, CLASSIC):
        np.testing.assert_array_equal(flatten(params)[stem + old_name], theirs[stem + new_name].numpy())


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_written_opens_in_transformers(tmp_path, kind):
    torch.manual_seed(0)
    model = model_of(SMALL, kind, "cpu")
    model.save_pretrained(tmp_path / "theirs")
    config = Config.from_folder(tmp_path / "theirs")
    params, _ = load_params(tmp_path / "theirs", config)
    (tmp_path / "ours").mkdir()
    shutil.copy(tmp_path / "theirs" / "config.json", tmp_path / "ours")
    write_arrays(tmp_path / "ours" / "model.safetensors", flatten(params))
    again, loading = getattr(transformers, kind).from_pretrained(tmp_path / "ours", output_loading_info=True)
    assert not loading["missing_keys"]
    assert not loading["unexpected_keys"]
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, again.state_dict()[name]), name
