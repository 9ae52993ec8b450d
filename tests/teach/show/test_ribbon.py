"""The ribbon: which boxes, in which order, with which shapes."""

import sys
from itertools import pairwise
from types import SimpleNamespace

import numpy as np
import pytest

import xlsr_ref
from xlsr_ref.model.stages import Stage
from xlsr_ref.teach import show
from xlsr_ref.teach.show import picture
from xlsr_ref.wav2vec2.config import Config

ribbon = sys.modules["xlsr_ref.teach.show.ribbon"]  # show.ribbon is the function


@pytest.fixture
def displayed(monkeypatch):
    found = []
    monkeypatch.setattr(picture, "display", found.append)
    return found


@pytest.fixture(scope="module")
def run():
    model = xlsr_ref.load()
    return model, model.forward(np.sin(np.arange(3200) * 0.3).astype(np.float32), 16000)[1]


def test_the_shapes_are_those_of_the_stages(run, displayed):
    model, stages = run
    shapes = ribbon.shapes_of(stages, model.config)
    base = "wav2vec2."
    names = {
        "feature encoder": f"{base}feature_extractor.conv_layers.6",
        "projection": f"{base}feature_projection",
        "positional": f"{base}encoder.pos_conv_embed",
        "blocks": f"{base}encoder.layers.5",
        "norm": f"{base}encoder.layer_norm",
        "head": "lm_head",
    }
    assert shapes.pop("waveform") == "(3200,)"
    assert shapes.pop("quantizer") == "(9, 256)"
    assert shapes == {box: str(stages[name].output.shape) for box, name in names.items()}
    show.ribbon("positional", stages)
    assert displayed[0].alt == (
        "The pipeline: waveform (3200,), feature encoder (9, 64), projection (9, 192), + positional (9, 192), "
        "blocks × 6 (9, 192), norm (9, 192), head (9, 78), text; this step: positional"
    )
    assert f"<title>{displayed[0].alt}</title>" in displayed[0].svg


def test_the_prefix_may_be_missing_and_parts_are_enough(run):
    _, stages = run
    bare = {name.removeprefix("wav2vec2."): stage for name, stage in stages.items()}
    assert ribbon.shapes_of(bare, None) == ribbon.shapes_of(stages, None)
    inner = {name.removeprefix("encoder."): stage for name, stage in bare.items() if name.startswith("encoder.")}
    expected = {"positional", "blocks", "norm"}
    assert set(ribbon.shapes_of(inner, None)) == expected


def test_stages_of_outputs_alone_leave_the_waveform_open(run):
    _, stages = run
    outputs = {name: Stage(stage.output, None) for name, stage in stages.items()}
    assert "waveform" not in ribbon.shapes_of(outputs, None)
    assert ribbon.shapes_of(outputs, None)["head"] == "(9, 78)"


def test_a_config_alone_gives_letters(run, displayed):
    model, _ = run
    show.ribbon(("quantizer", "ctc"), None, model.config)
    assert displayed[0].alt == (
        "The pipeline: waveform (L,), feature encoder (T, 64), projection (T, 192), + positional (T, 192), blocks × 6 "
        "(T, 192), norm (T, 192), head (T, 78), text; below it: quantizer (T, 256), masking, contrastive loss, CTC loss"
        "; this step: quantizer, ctc"
    )


def test_with_neither_there_are_only_names(displayed):
    show.ribbon("waveform")
    assert displayed[0].alt == (
        "The pipeline: waveform, feature encoder, projection, + positional, blocks × N, norm, head, text; "
        "this step: waveform"
    )


def test_a_post_norm_model_has_its_norm_before_the_blocks(run, displayed):
    show.ribbon("norm", None, Config(do_stable_layer_norm=False))
    assert "+ positional (T, 768), norm (T, 768), blocks × 12 (T, 768), head" in displayed[0].alt
    names = ["encoder.pos_conv_embed", "encoder.layer_norm", "encoder.layers.0", "encoder.layers.1"]
    stages = {name: Stage(np.zeros((3, 4)), None) for name in names}
    show.ribbon("norm", stages, Config(do_stable_layer_norm=True))  # what was run counts
    assert "+ positional (3, 4), norm (3, 4), blocks × 2 (3, 4), head" in displayed[1].alt


def test_branches_are_drawn_only_where_they_are_lit(displayed):
    for lit in ("blocks", "masking", "ctc"):
        show.ribbon(lit)
    assert "below it" not in displayed[0].alt
    assert "below it: quantizer, masking, contrastive loss;" in displayed[1].alt
    assert "below it: CTC loss;" in displayed[2].alt
    assert displayed[0].height < displayed[2].height < displayed[1].height


@pytest.mark.parametrize("lit", sorted(ribbon.PAINT))
def test_what_is_lit_has_its_full_colour_and_nothing_else_has(lit, displayed):
    show.ribbon(lit)
    colour = f"fill: {show.COLOURS[ribbon.PAINT[lit]]};"
    assert displayed[0].svg.count(colour) == 1
    others = {show.COLOURS[paint] for paint in ribbon.PAINT.values()} - {show.COLOURS[ribbon.PAINT[lit]]}
    assert not any(f"fill: {other};" in displayed[0].svg for other in others)


def test_an_unknown_name_is_refused_with_those_that_there_are():
    with pytest.raises(ValueError, match=r"no 'decoder': light waveform, feature encoder, .*, ctc"):
        show.ribbon(("blocks", "decoder"))
    with pytest.raises(ValueError, match="no lit box"):
        show.ribbon(())


def test_boxes_stand_beside_each_other_and_their_words_fit(displayed):
    config = SimpleNamespace(**dict.fromkeys(("hidden_size", "codevector_dim"), 10**6), conv_dim=(9999,))
    config.vocab_size, config.num_hidden_layers, config.do_stable_layer_norm = 9999, 24, True
    boxes = ribbon._boxes(("ctc", "masking"), None, config)
    strip = [box for box in boxes if box.name in ribbon.STRIP]
    assert 0 < strip[0].x < 0.2
    assert strip[-1].x + ribbon.WIDE < 8
    assert all(after.x - before.x > ribbon.WIDE for before, after in pairwise(strip))
