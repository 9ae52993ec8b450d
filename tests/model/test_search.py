"""transcribe with a beam, a language model and hotwords, on the bundled model."""

from pathlib import Path

import numpy as np
import pytest

import xlsr_ref
from xlsr_ref import audio
from xlsr_ref.errors import DecodingError, LanguageModelError
from xlsr_ref.ops.softmax import log_softmax
from xlsr_ref.text.search.arpa import write_arpa
from xlsr_ref.text.search.beam import beam_search
from xlsr_ref.text.search.kneser_ney import train
from xlsr_ref.text.search.lm import read_lm

CLIP = Path(xlsr_ref.__file__).parent / "data" / "clips" / "it" / "tt-weasels.flac"
SAID = "le donnole hanno mangiato il nostro sistema telefonico"

pytestmark = pytest.mark.filterwarnings("ignore:too little text")


@pytest.fixture(scope="module")
def model():
    return xlsr_ref.load()


@pytest.fixture
def lm_file(tmp_path):
    text = [SAID.split(), SAID.split()[:4], SAID.split()[2:]]
    (tmp_path / "lm.arpa").write_text("".join(write_arpa(train(text, 3))))
    return tmp_path / "lm.arpa"


def test_a_beam_alone(model):
    found = model.transcribe(CLIP, beam=50)
    waveform = np.concatenate(list(audio.pieces(CLIP, 16000, np.float32)))
    expected = beam_search(log_softmax(model.logits(waveform, 16000)), model.search(50), 10)
    assert found.text == expected[0].text == found.alternatives[0].text
    assert [one.score for one in found.alternatives] == [one.score for one in expected]
    greedy = model.transcribe(CLIP)
    assert greedy.alternatives == ()
    assert " ".join(word.text for word in found.words) == found.text
    duration = len(waveform) / 16000
    assert all(0 <= word.start < word.end <= duration and 0 < word.score <= 1 for word in found.words)
    assert all(a.end <= b.start for a, b in zip(found.words, found.words[1:]))
    assert all(0 < one <= 1 for one in found.word_confidence)
    # Where the two agree on a word, they agree on when it was heard.
    same = [(a, b) for a in greedy.words for b in found.words if a.text == b.text]
    assert same
    assert all(abs(a.start - b.start) <= 0.1 and abs(a.end - b.end) <= 0.1 for a, b in same)


def test_a_model_makes_words_of_it(model, lm_file):
    known = {*read_lm(lm_file).words}
    for lm in (lm_file, str(lm_file), read_lm(lm_file)):
        assert set(model.transcribe(CLIP, lm=lm).text.split()) <= known
    assert not set(model.transcribe(CLIP, beam=100).text.split()) <= known


def test_hotwords(model):
    assert "mangiato" not in model.transcribe(CLIP, beam=100).text.split()
    assert "mangiato" in model.transcribe(CLIP, hotwords={"mangiato": 20.0}).text.split()
    assert (
        "mangiato"
        in model.transcribe(CLIP, beam=model.search(50, hotwords=["mangiato"], hotword_weight=20.0)).text.split()
    )


def test_in_chunks_the_pieces_are_one_search(model, lm_file):
    """The logits of the chunks, joined and searched at once, give the same transcript."""
    waveform = np.concatenate(list(audio.pieces(CLIP, 16000, np.float32)))
    how = model.search(100, lm_file)
    found = model.transcribe(CLIP, beam=how, chunk_seconds=1.0, stride_seconds=0.2)
    joined = model.logits(waveform, 16000, chunk_seconds=1.0, stride_seconds=0.2)
    expected = beam_search(log_softmax(joined), how, 10)
    assert [one.text for one in found.alternatives] == [one.text for one in expected]
    # A chunk's logits may differ in the last bit: the rate's rescaling is not that of the whole waveform.
    assert [one.score for one in found.alternatives] == pytest.approx([one.score for one in expected], abs=1e-2)


def test_a_list_gives_what_each_one_gives(model, lm_file):
    clips = sorted(CLIP.parent.glob("*.flac")) * 2
    how = model.search(30, lm_file)
    assert model.transcribe(clips, beam=how) == [model.transcribe(clip, beam=how) for clip in clips]


def test_a_folder_brings_its_own_weights(model, lm_file, tmp_path):
    (tmp_path / "both" / "language_model").mkdir(parents=True)
    lm_file.rename(tmp_path / "both" / "language_model" / "3gram.arpa")
    attrs = '{"alpha": 0.25, "beta": 1.0, "unk_score_offset": -4.0, "score_boundary": false}'
    (tmp_path / "both" / "language_model" / "attrs.json").write_text(attrs)
    fusion = model.search(10, tmp_path / "both").fusion
    assert (fusion.alpha, fusion.beta, fusion.unknown, fusion.boundary) == (0.25, 1.0, -4.0, False)
    assert model.search(10, tmp_path / "both", boundary=True).fusion.boundary
    assert model.search(10, tmp_path / "both", alpha=0.5).fusion.alpha == 0.5
    (tmp_path / "both" / "alphabet.json").write_text('{"labels": ["", "a"], "is_bpe": false}')
    with pytest.raises(LanguageModelError, match="2 labels, but the scores have 78 columns"):
        model.search(10, tmp_path / "both")


def test_what_does_not_go_together(model, lm_file):
    with pytest.raises(DecodingError, match="has its language model"):
        model.transcribe(CLIP, beam=model.search(10), lm=lm_file)
    with pytest.raises(DecodingError, match="0 wide"):
        model.transcribe(CLIP, beam=0)
    with pytest.raises(LanguageModelError, match=r"nowhere\.arpa is missing"):
        model.transcribe(CLIP, lm="nowhere.arpa")
