"""The corpus from packages and archives: small ones made here, in the layout of the real ones."""

from __future__ import annotations

import io
import shutil
import tarfile
import time
import zipfile
from itertools import islice

import numpy as np
import pytest
import soundfile

from weights_tools.build_corpus import build, main
from weights_tools.corpus import prompts as prompts_module
from weights_tools.corpus.debian import files_of
from weights_tools.corpus.handbook import sentences
from weights_tools.corpus.synthetic import Engine, choices, debian_voices, phonemes, synthetic, texts_of
from weights_tools.corpus.texts import normalised
from weights_tools.corpus.write import split_of
from xlsr_ref.audio.manifest import read_manifest

RNG = np.random.default_rng(0)
NOISE = RNG.uniform(-0.4, 0.4, 8000)


def deb(path, **files):
    """A Debian package of these files: an ar archive with a member of odd length before the data."""
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w:xz") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(f"./{name}")
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    members = b"!<arch>\n"
    for name, content in (("debian-binary", b"2.0"), ("data.tar.xz", data.getvalue())):
        members += f"{name:16}{0:<12}{0:<6}{0:<6}{100644:<8}{len(content):<10}`\n".encode() + content
        members += b"\n" * (len(content) % 2)
    path.write_bytes(members)
    return path


def sound_bytes(format, subtype, rate, x=NOISE):
    file = io.BytesIO()
    soundfile.write(file, x, rate, format=format, subtype=subtype)
    return file.getvalue()


def test_the_files_of_a_package(tmp_path):
    package = deb(tmp_path / "a.deb", **{"usr/a": b"one", "usr/b/c": b""})
    assert list(files_of(package)) == [("usr/a", b"one"), ("usr/b/c", b"")]
    (tmp_path / "cut.deb").write_bytes(package.read_bytes()[:30])
    for name, content, says in (("no.deb", b"PK", "is no Debian package"), ("cut.deb", None, "has no data.tar")):
        if content:
            (tmp_path / name).write_bytes(content)
        with pytest.raises(ValueError, match=says):
            list(files_of(tmp_path / name))


def test_digits_lie_in_their_names(tmp_path):
    with zipfile.ZipFile(tmp_path / "fsdd.zip", "w") as archive:
        for name in ("7_theo_4", "7_theo_5", "0_lucas_9"):
            archive.writestr(f"free-spoken/recordings/{name}.wav", sound_bytes("WAV", "PCM_16", 8000))
        archive.writestr("free-spoken/README.md", "text")
    assert build(tmp_path / "corpus", [tmp_path / "fsdd.zip"]) == {"fsdd.tsv": (3, 3.0)}
    clips = read_manifest(tmp_path / "corpus" / "fsdd.tsv")
    assert [(clip.path.name, clip.speaker, clip.split, clip.text, clip.seconds) for clip in clips] == [
        ("0_lucas_9.flac", "fsdd-lucas", "test", "zero", 1.0),
        ("7_theo_4.flac", "fsdd-theo", "dev", "seven", 1.0),
        ("7_theo_5.flac", "fsdd-theo", "train", "seven", 1.0),
    ]
    assert soundfile.info(clips[0].path).samplerate == 16000


@pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="ffmpeg decodes G.722")
def test_prompts_have_the_texts_of_the_list_and_the_sound_of_the_package(tmp_path, monkeypatch):
    rows = (
        "asterisk/en/digits__0.ogg\ten\tallison\t0.5\ttrain\tzero",
        "asterisk/en/hello.flac\ten\tallison\t1\tdev\thello",
        "asterisk/fr/un.ogg\tfr\tjune\t1\ttrain\tun",
    )
    (tmp_path / "list.tsv").write_text("\n".join(("path\tlang\tspeaker\tseconds\tsplit\ttext", *rows)) + "\n")
    monkeypatch.setattr(prompts_module, "LIST", tmp_path / "list.tsv")
    sounds = "usr/share/asterisk/sounds/en_US_f_Allison/"
    package = deb(tmp_path / "asterisk-core-sounds-en-g722_1.deb",
                  **{f"{sounds}digits/0.g722": b"\xfa" * 4000, f"{sounds}hello.g722": b"\xfa" * 8000})  # fmt: skip
    assert build(tmp_path / "corpus", [package]) == {"asterisk.tsv": (2, 1.5)}
    clips = read_manifest(tmp_path / "corpus" / "asterisk.tsv")
    assert [(clip.path.name, clip.split, clip.text, clip.seconds) for clip in clips] == [
        ("digits__0.ogg", "train", "zero", 0.5), ("hello.flac", "dev", "hello", 1.0),
    ]  # fmt: skip
    lacking = deb(tmp_path / "asterisk-core-sounds-en-g722_2.deb", **{f"{sounds}hello.g722": b"\xfa" * 8000})
    with pytest.raises(ValueError, match="the package of en has no digits__0: give version"):
        build(tmp_path / "other", [lacking])


def test_stamps_are_read_with_their_texts(tmp_path):
    folder, sound = "usr/share/tuxpaint/stamps/animals/", sound_bytes("OGG", "VORBIS", 22050, np.tile(NOISE, 4))
    texts = "A cat.\nfr.utf8=Un chat, c'est ça !\nru.utf8=Ёж\nes.utf8=3 gatos\nde.utf8=Eine Katze\n"
    files = {f"{folder}cat_desc{lang}.ogg": sound for lang in ("", "_fr", "_ru", "_es", "_de")}
    package = deb(tmp_path / "tuxpaint-stamps-default_1.deb", **{f"{folder}cat.txt": texts.encode()}, **files)
    build(tmp_path / "corpus", [package])
    clips = {clip.lang: clip for clip in read_manifest(tmp_path / "corpus" / "tuxpaint.tsv")}
    assert {lang: clip.text for lang, clip in clips.items()} == {"en": "a cat", "fr": "un chat c'est ça", "ru": "еж"}
    assert clips["fr"].speaker == "tuxpaint-paulk+chion"
    assert clips["fr"].split == split_of("fr", "un chat c'est ça")


def test_a_text_that_cannot_be_read_as_it_stands_has_no_clip():
    assert normalised("It’s — a dog!", "en") == "it's a dog"
    assert normalised("l'olio", "es") == "l olio"
    assert [normalised(text, "en") for text in ("", "3 dogs", "naïve")] == [None] * 3


def test_splits_are_those_of_the_corpus():
    """Three rows of lists/asterisk.tsv, whose splits were made by another program."""
    assert [split_of("en", text) for text in ("agent logged off", "call waiting", "activated")] == [
        "dev",
        "test",
        "train",
    ]


def test_synthetic_speech_has_train_texts_alone_and_a_seed_that_decides(tmp_path):
    (tmp_path / "asterisk.tsv").write_text(
        "path\tlang\tspeaker\tseconds\tsplit\ttext\n"
        "a\ten\tx\t1\ttrain\tone two three\nb\ten\tx\t1\tdev\tfour five six\n"
        "c\tes\tx\t1\ttrain\tuno dos tres\nd\tru\tx\t1\ttrain\tодин два три\ne\ten\tx\t1\ttrain\tone\n",
        "utf-8",
    )
    asked = []

    def speak(*what):
        asked.append(what)
        return NOISE

    engine = Engine({"en": ["af_bella"], "es": ["ef_dora"]}, ["af_bella", "ef_dora", "jf_alpha"], speak)
    texts = texts_of([tmp_path / "asterisk.tsv"], engine.native)
    assert texts == {"en": ["one two three"], "es": ["uno dos tres"]}
    rows = list(synthetic(texts, engine, "kokoro", 3 / 60, 1))
    assert [row.lang for row in rows] == ["en", "es", "en", "es", "en", "es"]
    assert {row.split for row in rows} == {"train"}
    assert rows[0].path == f"kokoro/en-{rows[0].speaker.removeprefix('kokoro-')}-1-00001.ogg"
    shares = [one.voice == "af_bella" for one in islice(choices({"en": ["a b c"]}, engine, 0), 3000)]
    assert np.mean(shares) == pytest.approx(0.6 + 0.4 / 3, abs=0.03)  # 3 standard deviations: 0.024
    native = {one.voice for one in islice(choices({"en": ["a b c"]}, engine._replace(others=()), 0), 100)}
    assert native == {"af_bella"}


def test_clips_spoken_side_by_side_are_those_spoken_one_after_the_other():
    def speak(text, lang, voice, speed):
        time.sleep(0.02 * (int(text) % 3))  # the later ones end first
        return NOISE[: 4000 + int(text)]

    engine, texts = Engine({"en": ["v"]}, (), speak), {"en": [str(i) for i in range(50)]}
    one, three = (
        [(row.text, len(row.sound)) for row in synthetic(texts, engine, "x", 0.1, 4, jobs)] for jobs in (1, 3)
    )
    assert one == three
    assert len({text for text, _ in one}) > 10


@pytest.mark.skipif(shutil.which("flite") is None, reason="Debian's flite speaks")
@pytest.mark.skipif(shutil.which("text2wave") is None, reason="Debian's festival speaks")
def test_debian_speaks_english_and_russian():
    engine = debian_voices()
    for lang, text in (("en", "the following options"), ("ru", "по истечении этого периода")):
        slow, fast = (engine.speak(text, lang, engine.native[lang][0], speed) for speed in (0.85, 1.2))
        assert 0.8 * 16000 < len(fast) <= len(slow) < 6 * 16000
        assert np.abs(slow).max() > 0.05


def test_without_debian_s_programs_one_line_says_how_to_get_them(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SystemExit, match="flite is not installed: apt-get install flite festival festvox-ru"):
        main([str(tmp_path), "--speak", "x.tsv"])


@pytest.mark.skipif(shutil.which("flite") is None, reason="Debian's flite speaks")
def test_texts_that_are_not_there_are_one_line(tmp_path):
    with pytest.raises(SystemExit, match=r"asterisk\.tsv is not there: build that list first"):
        main([str(tmp_path), "--speak", "x.tsv"])


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (
            ["--splice", "few.tsv", "--texts", "few.tsv"],
            "--texts few.tsv would be replaced: give the list that is made",
        ),
        (["--speak", "few.tsv", "--texts", "./few.tsv"], "--texts ./few.tsv would be replaced"),
        (["--speak", "../few.tsv"], "../few.tsv is no name of a list: give one such as more.tsv"),
        (["--splice", "few"], "few is no name of a list"),
        (["--splice", "new.tsv", "--minutes", "0"], "0 is no number of minutes: give one above 0"),
        (["--speak", "new.tsv", "--minutes", "nan"], "nan is no number of minutes"),
        (["--splice", "new.tsv", "--languages", "en"], "--splice takes every language of the list: --languages goes"),
    ],
)
def test_options_that_cannot_be_meant(tmp_path, capsys, arguments, says):
    (tmp_path / "few.tsv").write_text("a list")
    with pytest.raises(SystemExit):
        main([str(tmp_path), *arguments])
    assert says in capsys.readouterr().err
    assert (tmp_path / "few.tsv").read_text() == "a list"


def test_the_book_gives_sentences_in_five_languages(tmp_path):
    page = """<div class="para">The first option, <code class="x">apt</code>, is good. Read version 3 of the book.
Debian looks good.</div>
<p>No paragraph of the book.</p><div class="para">It is <em>rather</em> simple!</div>"""
    french = """<div class="para">It is rather simple! Ce n’est pas si simple : the disk is full.
Debian looks good. Il y a</div>"""
    book = "usr/share/doc/debian-handbook/html/"
    files = {f"{book}en-US/a.html": page, f"{book}fr-FR/a.html": french, f"{book}de-DE/a.html": page}
    package = deb(tmp_path / "debian-handbook_1_all.deb", **{name: text.encode() for name, text in files.items()})
    found = sentences(package)
    assert found["en"] == [
        "the first option",
        "debian looks good",
        "it is rather simple",
    ]  # code and digits are not said
    assert found["fr"] == ["ce n'est pas si simple", "il y a"]  # and what was left in English is not French
    assert set(found) == {"en", "es", "fr", "it", "ru"}
    assert build(tmp_path / "corpus", [package]) == {"handbook-texts.tsv": (5, 0.0)}
    rows = (tmp_path / "corpus" / "handbook-texts.tsv").read_text("utf-8").splitlines()
    assert rows[:2] == ["lang\tsplit\ttext", f"en\t{split_of('en', 'the first option')}\tthe first option"]
    with pytest.raises(ValueError, match="holds no page of the handbook"):
        sentences(deb(tmp_path / "debian-handbook_2_all.deb", **{"usr/a": b""}))


def test_phonemes_become_those_of_the_voices():
    assert phonemes("t\u0361ʃˈɜː_r (en)", english=True) == "ʧˈɜːɹ "
    assert phonemes("t\u0361ʃ r", english=False) == "ʧ r"


@pytest.mark.parametrize(
    ("files", "says"),
    [(["x.deb"], "x.deb is none of"), (["a.zip", "b.tar.gz"], "both become fsdd.tsv"),
     (["a.zip"], "no clip for fsdd.tsv"), (["b.tar.gz"], r"is no \.zip and no \.tar\.gz"), (["gone.zip"], "gone.zip")],
)  # fmt: skip
def test_what_cannot_be_built_from_is_one_line(tmp_path, files, says):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("README", "")
    (tmp_path / "b.tar.gz").write_bytes(b"no archive")
    with pytest.raises(SystemExit, match=says) as caught:
        main([str(tmp_path / "corpus"), *(str(tmp_path / name) for name in files)])
    assert "\n" not in str(caught.value)
    assert not list((tmp_path / "corpus").glob("*.tsv"))
