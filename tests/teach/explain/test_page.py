"""The page of one utterance: its numbers are the model's, its text is escaped, and it needs nothing else."""

from __future__ import annotations

import base64
import io
import json
import re
from html.parser import HTMLParser
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
import soundfile

import xlsr_ref
from xlsr_ref import audio
from xlsr_ref.errors import AudioError, CannotTranscribeError
from xlsr_ref.teach.explain import explain, page, trace_of
from xlsr_ref.teach.explain.compact import attention_levels, block_of, feature_map, quantise, text
from xlsr_ref.teach.explain.page import FOLDER, SCRIPT
from xlsr_ref.teach.explain.part import part_of
from xlsr_ref.teach.explain.script_data import BAND, shown_tokens, wav
from xlsr_ref.teach.explain.stages import stages_of
from xlsr_ref.teach.explain.trace import (
    HEADS_BYTES,
    LONGEST,
    MEANS_BYTES,
    attention_of,
    layers_of,
    repeats,
    require_text,
    surest_frame,
    words_of,
)
from xlsr_ref.text.align import Alignment, Placed
from xlsr_ref.text.greedy import Run

DATA = Path(xlsr_ref.__file__).parent / "data"
CLIP = DATA / "clips" / "en" / "tt-monkeysintro.flac"
RATE = 16000
BERT = Path(__file__).parents[2] / "golden" / "bert" / "text"


@pytest.fixture(scope="module")
def model():
    return xlsr_ref.load()


@pytest.fixture(scope="module")
def sound():
    return audio.read(CLIP, RATE)[: 2 * RATE]


@pytest.fixture(scope="module")
def seen(model, sound):
    return trace_of(model, sound, RATE)


@pytest.fixture(scope="module")
def made(seen):
    return page(seen, "talk <b>&\"'.wav", "<model>")


def numbers(html):
    """The JSON of a page."""
    return json.loads(re.search(r'<script type="application/json" id="data">(.*?)</script>', html, re.DOTALL)[1])


# --- what is shown is what the model computes -------------------------------------------------------------------------


def test_text_and_states_are_the_models(model, sound, seen):
    assert seen.text == model.transcribe(sound, RATE).text != ""
    for mine, theirs in zip(seen.states, model.hidden_states(sound, RATE), strict=True):
        np.testing.assert_array_equal(mine, theirs)
    logits = model.logits(sound, RATE).astype(np.float64)
    expected = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
    np.testing.assert_allclose(seen.log_probs, expected, atol=1e-5)  # stored in float32
    np.testing.assert_array_equal(seen.best, logits.argmax(axis=1))


def test_words_are_where_the_alignment_puts_them(model, sound, seen):
    aligned = model.align(sound, seen.text, RATE)
    assert [word.text for word in seen.words] == [word.text for word in aligned.words]
    letters = iter(char for char in aligned.chars if char.text.strip())
    for mine, theirs in zip(seen.words, aligned.words):
        own = [next(letters) for _ in theirs.text]  # the page shows the lattice: where the characters are
        assert mine.first * 0.02 == pytest.approx(own[0].start)
        assert mine.stop * 0.02 == pytest.approx(own[-1].end)
        assert mine.score == pytest.approx(theirs.score)
        assert theirs.start <= own[0].start + 1e-9  # align takes the bounds of a word from the sound
        assert theirs.end >= own[-1].end - 1e-9


def test_a_word_has_the_frames_of_the_alignment_and_not_of_the_greedy_path(model):
    runs = [Run("a", 0, 1), Run("b", 2, 3), Run("|", 4, 5), Run("c", 6, 7)]
    spans = (Placed(0, 0, 2, 0.5), Placed(0, 2, 4, 0.5), Placed(0, 5, 6, 1.0), Placed(0, 6, 9, 0.25))
    found = words_of(runs, Alignment(np.zeros(9), np.zeros(9), 0.0, spans), model.tokenizer)
    assert found == (("ab", 0, 4, pytest.approx(0.5)), ("c", 6, 9, pytest.approx(0.25)))


@pytest.mark.parametrize("family", ["xlsr", "base"])
def test_attention_is_that_of_the_forward_pass(family, rng):
    """Both orders of the norms, from hidden states alone."""
    model = xlsr_ref.load(Path(__file__).parents[2] / "golden" / family)
    x = rng.standard_normal(8000).astype(np.float32)
    _, stages = model.forward(x, RATE, keep=True)
    made = attention_of(model, model.hidden_states(x, RATE))
    assert made.heads_block == made.means_block == 1
    names = [name for name in stages if ".layers." in name and "conv" not in name]
    for i, name in enumerate(names):
        weights = stages[name].cache.attention.heads.weights
        weight = made.heads_tops[i][:, None, None] * (made.heads[i] / 255) ** 2
        assert abs(np.sqrt(weight) - np.sqrt(weights)).max() <= 0.5 / 255 + 1e-6  # half a level
        assert made.means_tops[i] == pytest.approx(weights.mean(axis=0).max())
    assert len(names) == len(made.heads)


def test_attention_of_wav2vec2_bert_is_that_of_the_forward_pass(rng):
    """Its scores depend on the distance of the frames, and half a feed-forward stands before the attention."""
    model = xlsr_ref.load(BERT)
    x = rng.standard_normal(8000).astype(np.float32)
    _, stages = model.forward(x, RATE, keep=True)
    made = attention_of(model, model.hidden_states(x, RATE))
    for i in range(model.config.num_hidden_layers):
        weights = stages[f"wav2vec2_bert.encoder.layers.{i}"].cache.self_attn.mixed.weights
        weight = made.heads_tops[i][:, None, None] * (made.heads[i] / 255) ** 2
        assert abs(np.sqrt(weight) - np.sqrt(weights)).max() <= 0.5 / 255 + 1e-6  # half a level
    assert len(made.heads) == model.config.num_hidden_layers


def test_wav2vec2_bert_has_log_mel_features_and_no_stage_of_positions(sound):
    model = xlsr_ref.load(BERT)
    seen = trace_of(model, sound, RATE)
    np.testing.assert_array_equal(seen.features, model.preprocessor.normalised(sound))
    assert [stage.key for stage in stages_of(seen)] == [
        "sound", "features", "projection", "blocks", "scores", "path", "lattice", "words"
    ]  # fmt: skip
    html = page(seen, "talk.wav")
    assert numbers(html)["maps"].keys() == {"spectrogram", "features", "projection", "states", "scores"}
    assert "log-mel" in html
    for stage in stages_of(seen):
        for name in stage.functions:
            module, _, function = f"xlsr_ref.{name}".rpartition(".")
            assert function in dir(xlsr_ref if module == "xlsr_ref.Model" else import_module(module)) or "Model" in name


def test_attention_in_blocks_by_hand():
    weights = np.array([[0.5, 0.5, 0.0], [0.2, 0.2, 0.6], [1.0, 0.0, 0.0]])
    levels, top = attention_levels(weights, 2)
    # rows 0 and 1 look at {0, 1} with 1.0 and 0.4, their mean is 0.7; at {2} with 0 and 0.6
    expected = np.array([[0.7, 0.3], [1.0, 0.0]])
    assert top == 1.0
    np.testing.assert_array_equal(levels, np.rint(255 * np.sqrt(expected)))


def test_large_models_get_blocks_that_fit_the_page():
    block = block_of(250, 24 * 16, HEADS_BYTES)
    assert 24 * 16 * (-(-250 // block)) ** 2 <= HEADS_BYTES < 24 * 16 * (-(-250 // (block - 1))) ** 2
    assert (HEADS_BYTES + MEANS_BYTES) * 4 / 3 < 5.5e6  # leaves 2.5 of 8 MB for the rest
    assert block_of(250, 6 * 4, HEADS_BYTES) == 1


def test_a_map_lies_on_its_side_with_channel_0_at_the_bottom():
    x = np.array([[0.0, 1.0], [2.0, 3.0], [4.0, 4.0]])  # (frames, channels)
    made = feature_map(x)
    np.testing.assert_array_equal(made.levels, np.rint(255 / 4 * np.array([[1, 3, 4], [0, 2, 4]])))
    assert not made.signed
    assert feature_map(x - 2).signed
    assert feature_map(np.zeros((900, 200))).levels.shape == (64, 750)
    assert feature_map(np.zeros((100, 200))).levels.shape == (64, 100)  # the frames stay


def test_levels_are_cut_at_both_ends():
    np.testing.assert_array_equal(quantise(np.array([-9, 0, 1, 2, 9]), 0, 2), [0, 0, 128, 255, 255])


def test_numbers_are_little_endian():
    assert base64.b64decode(text(np.array([1, 258], ">u2"))) == b"\x01\x00\x02\x01"


def test_the_layers_of_the_feature_encoder(seen):
    rows = layers_of(seen.config, len(seen.waveform))
    assert rows[0] == (10, 5, 6399, 10)
    assert rows[-1] == (2, 2, 99, 400)


def test_repeats():
    np.testing.assert_array_equal(repeats(np.array([3, 3, 0, 3, 3, 3])), [False, True, False, False, True, True])


def test_the_page_begins_at_a_letter(seen):
    assert seen.labels[seen.best[surest_frame(seen)]].strip()


def test_the_band_around_the_path_has_nearly_all_of_the_posterior(seen, made):
    lattice = numbers(made)["lattice"]
    band = np.frombuffer(base64.b64decode(lattice["band"]), np.uint8).reshape(len(seen.best), 2 * BAND + 1)
    near = (band / 255).sum(axis=1)
    assert abs(near - 1).max() < (2 * BAND + 1) * 0.5 / 255 + 0.02  # rounding, and what lies further away
    t = len(band) // 2
    s = seen.alignment.places[t]
    assert band[t, BAND] == round(255 * seen.posterior[t, s])
    assert band[t, BAND + 1] == round(255 * seen.posterior[t, s + 1])


def test_top_characters_of_a_frame(seen, made):
    top = numbers(made)["top"]
    tokens = np.frombuffer(base64.b64decode(top["tokens"]), "<u2").reshape(-1, top["count"])
    p = np.frombuffer(base64.b64decode(top["probabilities"]), "<u2").reshape(tokens.shape) / 65535
    np.testing.assert_array_equal(tokens[:, 0], seen.best)
    np.testing.assert_allclose(p[:, 0], np.exp(seen.log_probs.max(axis=1)), atol=1e-5)
    assert (np.diff(p, axis=1) <= 0).all()


def test_scores_show_the_blank_first_and_every_token_of_the_text(seen):
    tokens = shown_tokens(seen)
    assert tokens[0] == seen.blank
    assert set(seen.best) <= set(tokens)
    assert tokens[1:] == sorted(tokens[1:])


def test_the_sound_is_the_recording(sound, made):
    found, rate = soundfile.read(io.BytesIO(base64.b64decode(re.search(r"audio/wav;base64,([^\"]+)", made)[1])))
    assert rate == RATE
    np.testing.assert_allclose(found, sound, atol=1.6 / 32768)  # rounded once, and 32767 for 32768


def test_sound_beyond_one_is_made_quieter_as_a_whole():
    found, _ = soundfile.read(io.BytesIO(wav(np.array([4.0, -2.0, 0.0]), 8000)))
    np.testing.assert_allclose(found, [1, -0.5, 0], atol=1e-4)  # 16 bits


# --- the page ---------------------------------------------------------------------------------------------------------


def test_it_needs_nothing_else(made):
    assert not re.search(r"""(?:src|href)=(?!["']?(?:data:|#))""", made)
    assert not re.search(r"url\(|@import|https?:(?!//www\.w3\.org)", made)
    assert "default-src 'none'" in made
    assert len(made.encode()) < 2e6


def test_what_comes_from_outside_is_escaped(made):
    assert "talk &lt;b&gt;&amp;&quot;&#x27;.wav" in made
    assert '<b>&"' not in made
    assert "&lt;model&gt;" in made
    assert "<model>" not in made
    assert "<" not in json.dumps(numbers(made)).replace("<1", "")


def test_a_text_with_markup_is_escaped(seen):
    bad = "</script><img src=x onerror=alert(1)>"
    labels = tuple(bad if label == "e" else label for label in seen.labels)
    words = tuple(word._replace(text=bad) for word in seen.words)
    html = page(seen._replace(labels=labels, words=words, text=" ".join(bad for _ in words)), "a", "b")
    assert "<img src=x" not in html
    assert "<img src=x" in str(numbers(html)["labels"])  # in the data it is what it was


class Tags(HTMLParser):
    """Opened and closed tags, and every picture without words."""

    EMPTY = ("meta", "link", "img", "input", "br", "wbr")

    def __init__(self):
        super().__init__()
        self.open, self.silent, self.ids, self.hidden = [], [], [], 0

    def handle_starttag(self, tag, attributes):
        found = dict(attributes)
        if "id" in found:
            self.ids.append(found["id"])
        inside = any(hidden for _, hidden in self.open)
        hidden = found.get("aria-hidden") == "true"
        if tag in ("img", "canvas", "svg") and not (inside or hidden or found.get("alt") or found.get("aria-label")):
            self.silent.append(self.get_starttag_text())
        if tag not in self.EMPTY:
            self.open.append((tag, hidden))

    def handle_startendtag(self, tag, attributes):
        pass

    def handle_endtag(self, tag):
        opened, _ = self.open.pop()
        assert opened == tag, f"</{tag}> closes <{opened}>"


def test_tags_close_ids_are_unique_and_pictures_have_words(made):
    tags = Tags()
    tags.feed(made)
    tags.close()
    assert tags.open == []
    assert tags.silent == []
    assert len(set(tags.ids)) == len(tags.ids)


def test_every_stage_says_two_sentences_and_names_functions_that_exist(seen):
    for stage in stages_of(seen):
        plain = re.sub(r"<[^>]+>", "", stage.says)
        assert len(re.findall(r"[.”](?= |$)", plain.replace("”.", "."))) == 2, plain
        for name in stage.functions:
            module, _, function = f"xlsr_ref.{name}".rpartition(".")
            holder = xlsr_ref.Model if module == "xlsr_ref.Model" else __import__(module, fromlist=[function])
            assert callable(getattr(holder, function))


def test_a_term_is_glossed_once(made):
    terms = re.findall(r"<dfn>(.*?)</dfn>", made)
    assert len(terms) == len(set(terms)) >= 10


def test_the_same_recording_gives_the_same_page(model, sound, made):
    assert explain(model, sound, RATE, "talk <b>&\"'.wav", "<model>") == made


@pytest.mark.parametrize(("samples", "says"), [(400, "1 frame "), (720, "2 frames"), (RATE, "49 frames")])
def test_silence_and_the_shortest_clips(model, samples, says):
    html = explain(model, np.zeros(samples, np.float32), RATE, "nothing")
    assert "The model wrote nothing: the recording is silent." in html
    assert says in html
    assert numbers(html)["words"] == []


def test_noise_that_is_no_speech(model, rng):
    html = explain(model, rng.standard_normal(RATE // 2).astype(np.float32), RATE, "noise")
    assert numbers(html)["T"] == 24


def test_what_cannot_be_shown_is_refused(model):
    with pytest.raises(AudioError, match="too few"):
        explain(model, np.zeros(399, np.float32), RATE, "short")
    with pytest.raises(AudioError, match=r"30\.1 s are too long for one page: give at most 30 s"):
        explain(model, np.zeros(int(30.1 * RATE), np.float32), RATE, "long")
    assert LONGEST == 30


def test_models_that_write_no_text_are_refused(model):
    for folder, says in (
        (DATA / "small-pretrained", "which has no CTC head"),
        (Path(__file__).parents[2] / "golden" / "heads" / "recording", "writes no text"),
        (Path(__file__).parents[2] / "golden" / "xlsr", "no vocab.json"),
    ):
        with pytest.raises(CannotTranscribeError, match=says):
            require_text(xlsr_ref.load(folder))
    require_text(model)


def test_a_part_of_a_recording(monkeypatch):
    whole = audio.read(CLIP, RATE)
    part, more = part_of(CLIP, RATE, 0.5, 1.0)
    np.testing.assert_array_equal(part, whole[8000:24000])
    assert more
    part, more = part_of(CLIP, RATE, 0.0, 30.0)
    np.testing.assert_array_equal(part, whole)
    assert not more
    part, more = part_of(CLIP, RATE, 0.0, len(whole) / RATE)
    assert len(part) == len(whole)
    assert not more
    monkeypatch.setattr(import_module("xlsr_ref.audio.read"), "BLOCK", 1000)  # many pieces
    part, more = part_of(CLIP, RATE, 0.5, 1.0)
    np.testing.assert_array_equal(part, whole[8000:24000])
    assert more
    with pytest.raises(AudioError, match=r"is 2\.68 s long: it has nothing from 9 s on"):
        part_of(CLIP, RATE, 9, 1)


def test_the_page_has_every_file_of_the_script(made):
    files = {path.stem: path.read_text(encoding="utf-8") for path in (FOLDER / "script").glob("*.js")}
    assert sorted(files) == sorted(SCRIPT)
    places = [made.index(files[name]) for name in SCRIPT]
    assert places == sorted(places)


def test_units_are_not_torn_from_their_numbers(made):
    words = re.sub(r"<(script|style)\b.*?</\1>|<[^>]+>", " ", made, flags=re.DOTALL)
    assert "2.00\u00a0s" in words
    assert not re.search(r"\d (?:s|ms|%|kHz)\b", words.replace("\n", " ").partition("The whole way")[0])


def test_the_way_forks_into_the_text_and_its_times(made):
    fork = re.search(r'<li class="fork">(.*?)</ul></li>', made, re.DOTALL)[1]
    assert re.findall(r'href="#(\w+)"', fork) == ["path", "lattice"]
    assert re.findall(r'<a href="#(\w+)"', made) == [
        "sound", "features", "projection", "positions", "blocks", "scores", "path", "lattice", "words"
    ]  # fmt: skip


def test_every_map_has_its_colours_and_what_they_mean(seen, made):
    captions = re.findall(r"<figcaption>(.*?)</figcaption>", made, re.DOTALL)
    with_colours = [caption for caption in captions if "class='scale'" in caption]
    assert len(with_colours) == 7  # spectrogram, features, projection, positions, attention, states, scores
    for caption in with_colours:
        assert re.search(
            r"<span class='scale'><span>[^<]+</span><i style='--day:linear-gradient.*?</i><span>[^<]+</span>", caption
        )


def test_the_text_that_was_said_is_shown_when_it_is_given(model, sound, seen, made):
    assert "What was said" not in made
    html = page(seen, "talk.wav", "", "they have been")
    assert "What was said" in html
    assert "<del>" in html
