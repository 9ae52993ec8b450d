"""The folders in the package are opened by transformers as any other, with nothing more said."""

from pathlib import Path

import numpy as np
import pytest

import xlsr_ref
from xlsr_ref import audio
from xlsr_ref.audio import bundled_clips

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

DATA = Path(xlsr_ref.__file__).parent / "data"
SOUND = audio.read(next(clip.path for clip in bundled_clips() if clip.path.suffix == ".flac"), 16000)


def test_the_model_with_a_head_takes_what_its_processor_gives():
    folder = DATA / "small-ctc"
    processor = transformers.AutoProcessor.from_pretrained(folder)
    model = transformers.AutoModelForCTC.from_pretrained(folder)
    assert {each.dtype for each in model.parameters()} == {torch.float32}
    with torch.no_grad():
        theirs = model(**processor(SOUND, sampling_rate=16000, return_tensors="pt")).logits[0].numpy()
    ours = xlsr_ref.load(folder).logits(SOUND, 16000)
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-4 * np.abs(theirs).max())  # float32, some 20 layers
    said = processor.batch_decode(theirs[None].argmax(-1))[0]
    assert xlsr_ref.load(folder).transcribe(SOUND, 16000).text == said


def test_the_pretrained_one_takes_what_its_extractor_gives():
    folder = DATA / "small-pretrained"
    extractor = transformers.AutoFeatureExtractor.from_pretrained(folder)
    model = transformers.AutoModelForPreTraining.from_pretrained(folder)
    with torch.no_grad():
        heard = extractor(SOUND, sampling_rate=16000, return_tensors="pt")
        theirs = model.wav2vec2(**heard, output_hidden_states=True).hidden_states[-2].numpy()[0]
    ours = xlsr_ref.load(folder).hidden_states(SOUND, 16000)[-2]
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-4 * np.abs(theirs).max())
