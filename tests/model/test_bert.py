"""Every use of a model on a Wav2Vec2-BERT folder: text, chunks, times, labels, saving, commands and training."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file
from tiny_run import HEAD, make_corpus

import xlsr_ref
from xlsr_ref.cli import main
from xlsr_ref.errors import AudioError, ConfigError, ObjectiveError, TrainingError, WeightsError
from xlsr_ref.measure.bench import stages
from xlsr_ref.training.loop import prepare_run, train

GOLDEN = Path(__file__).parents[1] / "golden" / "bert"
RATE = 16000


@pytest.fixture
def model():
    return xlsr_ref.load(GOLDEN / "text")


@pytest.fixture
def sound(rng):
    return rng.uniform(-0.3, 0.3, 2 * RATE).astype(np.float32)


@pytest.fixture
def folder(tmp_path):
    """A copy of the model that writes text, to change."""
    return Path(shutil.copytree(GOLDEN / "text", tmp_path / "model"))


def test_text_and_times(model, sound):
    transcript = model.transcribe(sound, RATE)
    logits = model.logits(sound, RATE)
    assert logits.shape == (99, 8)
    assert model.seconds_per_frame == 0.02
    letters = [model.tokenizer.token(i) for i in logits.argmax(axis=1)]
    wanted = "".join(a for a, b in zip(letters, [None, *letters]) if a != b).replace("[PAD]", "").replace("|", " ")
    assert transcript.text == " ".join(wanted.replace("[UNK]", "").split()) or "[UNK]" in wanted
    words = model.align(sound, "ab c", RATE).words
    assert [word.text for word in words] == ["ab", "c"]
    assert 0 <= words[0].start < words[1].end <= 2
    assert [state.shape for state in model.hidden_states(sound, RATE)] == [(99, 6)] * 3


def test_chunks_cover_the_recording_and_one_chunk_is_the_whole(model, sound):
    whole = model.logits(sound, RATE)
    np.testing.assert_array_equal(model.logits(sound, RATE, chunk_seconds=5), whole)
    pieces = model.logits(sound, RATE, chunk_seconds=1, stride_seconds=0.4)
    assert pieces.shape == whole.shape
    np.testing.assert_array_equal(pieces[:30], model.network.forward(model.input(sound, RATE)[:50], False)[0][:30])
    assert model.transcribe(sound, RATE, chunk_seconds=1).text != ""


def test_labels_and_stages(sound):
    model = xlsr_ref.load(GOLDEN / "recording", "float64")
    assert sum(model.classify(sound.astype(np.float64), RATE).values()) == pytest.approx(1)
    _, seen = model.forward(sound, RATE)
    assert [*seen] == [f"wav2vec2_bert.{name}" for name in ("feature_projection", "encoder.layers.0")] + [
        "layer_weights", "projector", "classifier",
    ]  # fmt: skip
    _, seen = xlsr_ref.load(GOLDEN / "adapter").forward(sound, RATE)
    assert [name.removeprefix("wav2vec2_bert.") for name in seen][2:] == [
        "intermediate_ffn", "adapter.proj_layer_norm", "adapter.layers.0", "lm_head",
    ]  # fmt: skip


def test_saving_and_loading_changes_no_bit(model, sound, tmp_path):
    model.save(tmp_path / "saved")
    again = xlsr_ref.load(tmp_path / "saved")
    np.testing.assert_array_equal(again.logits(sound, RATE), model.logits(sound, RATE))
    assert again.config == model.config
    assert again.preprocessor == model.preprocessor
    assert not {"stride", "num_mel_bins"} & json.loads((tmp_path / "saved" / "config.json").read_text()).keys()


# --- bad input: one sentence each ------------------------------------------------------------------------------------


def refusal(error: type[Exception], call) -> str:
    with pytest.raises(error) as raised:
        call()
    assert "\n" not in str(raised.value)
    return str(raised.value)


def change(folder: Path, name: str, **values):
    settings = json.loads((folder / name).read_text()) | values
    (folder / name).write_text(json.dumps(settings))


def test_a_processor_of_the_other_family_is_refused(folder):
    change(folder, "preprocessor_config.json", feature_extractor_type="Wav2Vec2FeatureExtractor")
    said = refusal(ConfigError, lambda: xlsr_ref.load(folder))
    assert "takes only what a SeamlessM4TFeatureExtractor makes" in said
    change(folder, "config.json", model_type="wav2vec2", architectures=None, hidden_act="gelu", hidden_size=48)
    change(folder, "preprocessor_config.json", feature_extractor_type="SeamlessM4TFeatureExtractor")
    said = refusal(ConfigError, lambda: xlsr_ref.load(folder))
    assert "takes only what a Wav2Vec2FeatureExtractor makes" in said


def test_mel_settings_that_contradict_the_projection_are_refused(folder):
    change(folder, "preprocessor_config.json", num_mel_bins=80, feature_size=80)
    said = refusal(ConfigError, lambda: xlsr_ref.load(folder))
    assert "feature_projection_input_dim is 10, but preprocessor_config.json makes rows of 160 numbers" in said
    assert str(folder) in said


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"position_embeddings_type": "sinusoidal"}, "position_embeddings_type must be"),
        ({"hidden_act": "selu"}, "hidden_act must be"),
        ({"model_type": "wavlm"}, "model_type must be one of"),
    ],
)
def test_a_wrong_config_is_refused_with_its_file(folder, values, says):
    change(folder, "config.json", **values)
    said = refusal(ConfigError, lambda: xlsr_ref.load(folder))
    assert says in said
    assert "config.json" in said


def test_too_short_a_recording_is_refused(model):
    said = refusal(AudioError, lambda: model.transcribe(np.zeros(559, np.float32), RATE))
    assert said.startswith("559 samples")
    assert "560" in said
    model.transcribe(np.zeros(560, np.float32), RATE)


def test_weights_that_contradict_the_config_are_refused(folder):
    change(folder, "config.json", conv_depthwise_kernel_size=7)
    said = refusal(WeightsError, lambda: xlsr_ref.load(folder))
    assert "says conv_depthwise_kernel_size=7, but the weights have 5" in said
    change(folder, "config.json", conv_depthwise_kernel_size=5, position_embeddings_type="relative")
    said = refusal(WeightsError, lambda: xlsr_ref.load(folder))
    assert 'position_embeddings_type="relative", but the weights have' in said


def test_what_only_wav2vec_2_does_is_refused(model, sound):
    said = refusal(ObjectiveError, lambda: model.pretrain_loss([sound], RATE, [], [], [], 1.0))
    assert "only wav2vec 2.0 can be pre-trained" in said
    said = refusal(WeightsError, lambda: xlsr_ref.load(GOLDEN / "text", language="fra"))
    assert "a model without adapters" in said


# --- commands --------------------------------------------------------------------------------------------------------


def run(capsys, *words):
    assert main([str(word) for word in words]) == 0
    return capsys.readouterr().out


def test_inspect_shows_every_stage(capsys):
    said = run(capsys, "inspect", GOLDEN / "adapter")
    for part in (
        "encoder.layers.*.conv_module",
        "intermediate_ffn",
        "adapter.layers.0",
        "each sees 560 samples",
    ):
        assert part in said
    model = xlsr_ref.load(GOLDEN / "adapter")
    assert f"{model.report.parameters:,}" in said.splitlines()[-1]


def test_weights_are_inspected_converted_and_verified(capsys, tmp_path, folder, sound):
    said = run(capsys, "weights", "inspect", folder)
    assert "this is a Wav2Vec2-BERT CTC model of 1,372 parameters (Wav2Vec2BertForCTC)" in said
    run(capsys, "weights", "convert", folder, tmp_path / "half", "--dtype", "float16")
    run(capsys, "weights", "convert", folder, tmp_path / "same")
    assert "71 identical" in run(capsys, "weights", "verify", folder, tmp_path / "same")
    theirs, ours = (xlsr_ref.load(place).logits(sound, RATE) for place in (folder, tmp_path / "half"))
    assert 0 < np.abs(theirs - ours).max() < 0.05


def test_weights_without_a_config_are_understood(tmp_path, folder, sound, capsys):
    """All that the shapes do not tell are the sides of the distances, the activation and the blank."""
    bare = tmp_path / "bare"
    bare.mkdir()
    save_file(load_file(folder / "model.safetensors"), bare / "model.safetensors")
    words = ["left_max_position_embeddings=4", "right_max_position_embeddings=2", "pad_token_id=0"]
    settings = [part for word in words for part in ("--set", word)]
    run(capsys, "weights", "convert", bare / "model.safetensors", tmp_path / "whole", *settings)
    change(tmp_path / "whole", "preprocessor_config.json", padding_value=1.0)
    found, wanted = (xlsr_ref.load(place).logits(sound, RATE) for place in (tmp_path / "whole", folder))
    np.testing.assert_array_equal(found, wanted)


def test_the_bench_counts_the_stages_of_this_network(model):
    work = stages.work(model.config, model.report.kind, RATE)
    assert list(work) == list(stages.BERT_FUNCTIONS)
    all_flops = stages.all_flops(model.config, model.report.kind, RATE)
    assert sum(one.flops for one in work.values()) == all_flops
    with stages.watch(stages.functions_of(model.config)) as spent:
        model.forward(np.zeros(RATE, np.float32), RATE, keep=False)
    assert all(seconds > 0 for seconds in spent.values())


# --- training --------------------------------------------------------------------------------------------------------

RECIPE = """
[model]
start = "{start}"
[model.config]
mask_time_length = 3
mask_time_prob = 0.3
hidden_dropout = 0.1
conformer_conv_dropout = 0.1
layerdrop = 0.2
{more}
[data]
manifests = ["tiny.tsv"]
batch_seconds = 0.8
[schedule]
peak = 1e-2
[run]
steps = 6
report_every = 2
evaluate_every = 6
save_every = 6
"""
NEW = """model_type = "wav2vec2-bert"
hidden_size = 8
num_hidden_layers = 2
num_attention_heads = 2
intermediate_size = 12
position_embeddings_type = "{}"
"""


def pretrained(folder: Path) -> Path:
    """The folder of a bare model, as a pretrained one is: no head, and no prefix."""
    flat = {
        name.removeprefix("wav2vec2_bert."): array for name, array in load_file(folder / "model.safetensors").items()
    }
    save_file(
        {name: array for name, array in flat.items() if not name.startswith("lm_head")}, folder / "model.safetensors"
    )
    change(folder, "config.json", architectures=["Wav2Vec2BertModel"], vocab_size=None)
    for name in ("vocab.json", "tokenizer_config.json"):
        (folder / name).unlink()
    return folder


def trained(tmp_path: Path, start: str, more: str = "") -> Path:
    recipe = tmp_path / "mine.toml"
    recipe.write_text(RECIPE.format(start=start, more=more))
    corpus = make_corpus(tmp_path / "corpus")
    assert (corpus / "tiny.tsv").read_text().startswith(HEAD)
    run = prepare_run("finetune", recipe, tmp_path / "run", corpus, False, lambda line: None)
    return train(run, lambda line: None)


def test_fine_tuning_a_pretrained_folder_with_a_new_head(tmp_path, folder, sound):
    start = pretrained(folder)
    model = xlsr_ref.load(trained(tmp_path, str(start)))
    assert model.report.kind == "Wav2Vec2BertForCTC"
    assert model.preprocessor.padding_value == 1.0
    assert isinstance(model.transcribe(sound, RATE).text, str)
    before = load_file(start / "model.safetensors")["encoder.layers.0.ffn1.output_dense.weight"]
    after = model.params["wav2vec2_bert"]["encoder"]["layers"]["0"]["ffn1"]["output_dense"]["weight"]
    assert np.abs(after - before).max() > 1e-4  # it has learnt


@pytest.mark.parametrize("positions", ["relative_key", "relative"])
def test_training_from_new_weights(tmp_path, positions):
    model = xlsr_ref.load(trained(tmp_path, "new", NEW.format(positions)))
    assert model.config.position_embeddings_type == positions
    assert model.config.feature_projection_input_dim == 160


def test_pre_training_is_refused(tmp_path, folder):
    recipe = tmp_path / "mine.toml"
    recipe.write_text(RECIPE.format(start=pretrained(folder), more=""))
    corpus = make_corpus(tmp_path / "corpus")
    said = refusal(
        TrainingError, lambda: prepare_run("pretrain", recipe, tmp_path / "run", corpus, False, lambda line: None)
    )
    assert "has no Wav2Vec2BertForPreTraining" in said
