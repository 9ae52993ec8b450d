"""Ship a few recordings inside the package: two test clips a language, and the spoken digits.

    python -m weights_tools.bundle_clips CORPUS_FOLDER [--data xlsr_ref/data]

CORPUS_FOLDER holds `asterisk.tsv` and `asterisk/`. Only this part of the corpus may be shipped. The files are copied
byte for byte to `clips/<language>/`, so the splits of `clips.tsv` are the splits of training: the test clips are
sentences that the bundled model never heard, the digits come from what it was trained on. A digit that fell into
another split is left out.
"""

from __future__ import annotations

import argparse
import csv
import io
import shutil
from pathlib import Path

from xlsr_ref.files import write_whole

DATA = Path(__file__).resolve().parent.parent / "xlsr_ref" / "data"
LIMIT = 1_000_000  # bytes of audio in the package
COLUMNS = ("path", "lang", "speaker", "seconds", "split", "text")

# Two whole sentences of ordinary words a language, 2 to 5 seconds long, from the test split.
TEST_CLIPS = {
    "en": ("tt-monkeysintro", "vm-review-urgent"),
    "es": ("vm-savefolder", "priv-introsaved"),
    "fr": ("vm-tocallnum", "transfer"),
    "it": ("vm-savefolder", "tt-weasels"),
    "ru": ("conf-full", "vm-prev"),
}

# The words of 0 to 9. The recording of digit n is `digits__n`.
DIGITS = {
    "en": "zero one two three four five six seven eight nine",
    "es": "cero uno dos tres cuatro cinco seis siete ocho nueve",
    "fr": "zéro un deux trois quatre cinq six sept huit neuf",
    "it": "zero uno due tre quattro cinque sei sette otto nove",
    "ru": "ноль один два три четыре пять шесть семь восемь девять",
}

LICENCES = """\
# Licences of the bundled recordings and weights

The code of this project is under the Apache License 2.0. The files in this folder are not: they keep the licences
below. Copying them asks for the credits in the tables and, for everything marked BY-SA, for the same licence on what
is made from them.

## clips/

Recordings from the Asterisk core sounds 1.6.1, http://downloads.asterisk.org/pub/telephony/asterisk/

| language | voice | licence | credits |
|---|---|---|---|
| English (`clips/en`) | Allison Smith (http://www.theivrvoice.com) | CC BY-SA 3.0 | \
Copyright 2003-2010 Allison Smith; financial contributions by Digium, Inc. (http://www.digium.com) |
| Spanish (`clips/es`) | folder es_MX_f_Allison of the source | CC BY-SA 3.0 | Copyright 2003-2010 Allison Smith; \
financial contributions by Digium, Inc. |
| French (`clips/fr`) | June Wallack (http://www.junewallack.com) | CC BY-SA 3.0 | Copyright 2006-2008 June Wallack; \
translated by Clod Patry, Kristopher Lalletti and June Wallack; financial contributions by Digium, Inc., \
Unlimitel (http://www.unlimitel.ca), BGM Informatique (www.bgm.qc.ca) |
| Italian (`clips/it`) | Carlo Flora (http://www.carloflora.com) | CC BY 3.0 | Copyright 2012 Carlo Flora, \
http://www.segreterietelefoniche.it; translated by Silvia Petrin from the English text of Digium |
| Russian (`clips/ru`) | IVRvoice (http://www.ivrvoice.ru) | CC BY 3.0 | Copyright 2010 Maxim; \
provided by Maxim Topal |

Changes: the recordings were decoded, converted to 16 kHz mono where needed, and stored as FLAC or Ogg Vorbis. The
transcripts in `clips.tsv` were normalised (lower case, no punctuation, numerals spelled out). Nothing else was
changed.

## small-ctc/ (the bundled model)

The weights were trained on the recordings below and carry their licences: CC BY-SA 3.0, CC BY 3.0 and CC BY-SA 4.0.

* Asterisk core sounds 1.6.1: the five languages of the table above, with the same credits.
* Free Spoken Digit Dataset, https://github.com/Jakobovski/free-spoken-digit-dataset
  (DOI: https://zenodo.org/badge/latestdoi/61622039), CC BY-SA 4.0. Speakers: jackson, nicolas, theo, yweweler, george,
  lucas. Changes: resampled from 8 to 16 kHz. Its recordings are not in this package.
* Synthetic speech made with Kokoro-82M (https://huggingface.co/hexgrad/Kokoro-82M, Apache License 2.0): sentences from
  the prompts, from the games Drascula and Flight of the Amazon Queen, and from Tux Paint. It is not in this package.
* Sentences of The Debian Administrator's Handbook (https://debian-handbook.info), CC BY-SA 3.0, Copyright 2003-2022
  Raphaël Hertzog, Roland Mas and Freexian SARL, spoken by Kokoro-82M and by voices of flite (awb, kal16, rms, slt:
  Copyright Carnegie Mellon University) and festival (msu_ru_nsh_clunits: Copyright 2005 Nickolay V. Shmyrev), which
  are free to use and to change. Neither book nor sound is in this package.

Changes: a neural network was fitted to the recordings and transcripts; its weights were then rounded to float16.

## digits-bert/ (a small Wav2Vec2-BERT)

The weights were trained on the Free Spoken Digit Dataset, as named above, and carry its licence: CC BY-SA 4.0.

Changes: a neural network was fitted to the recordings and transcripts; its weights were then rounded to float16.

## few-labels/

Counts and error rates of small models on recordings of Tux Paint's stamps; neither recordings nor weights
are in this package.

## small-ctc-lm/ (the bundled language model)

Counts of strings of up to eight characters in the train transcripts of Asterisk core sounds 1.6.1, the five languages
of the table above, with the same credits, and in sentences of The Debian Administrator's Handbook, named above. It
carries their licences: CC BY-SA 3.0 and CC BY 3.0.

Changes: the transcripts were normalised; their statistics were smoothed (modified Kneser-Ney). No sentence is stored.

## small-pretrained/ (the bundled pre-trained model)

The weights were trained on Asterisk core sounds 1.6.1, the five languages of the table above, with the same credits,
and carry their licences: CC BY-SA 3.0 and CC BY 3.0.

Changes: a neural network was fitted to the recordings; its weights were then rounded to float16.

## digits-curves.jsonl

The log of a training run with the recipe digits, that is its metrics.jsonl. It holds numbers that this package's
program wrote, and nothing of the recordings (Free Spoken Digit Dataset, see above). It has the licence of the code.

## The licences

* CC BY-SA 3.0: https://creativecommons.org/licenses/by-sa/3.0/
* CC BY 3.0: https://creativecommons.org/licenses/by/3.0/
* CC BY-SA 4.0: https://creativecommons.org/licenses/by-sa/4.0/

The holders of these rights do not endorse this project.
"""


def choose(rows: list[dict[str, str]]) -> list[dict[str, str]]:
    """The rows of ``asterisk.tsv`` that are shipped: test clips, then digits, language by language.

    Raises ValueError for a listed test clip that the corpus lacks or does not hold in its test split.
    """
    by_stem = {Path(row["path"]).with_suffix("").as_posix(): row for row in rows}
    chosen = []
    for lang, stems in TEST_CLIPS.items():
        for stem in stems:
            row = by_stem.get(f"asterisk/{lang}/{stem}")
            if row is None or row["split"] != "test":
                raise ValueError(f"asterisk/{lang}/{stem} is not in the test split of this corpus: choose another clip")
            chosen.append(row)
    for lang, words in DIGITS.items():
        for digit, word in enumerate(words.split()):
            row = by_stem.get(f"asterisk/{lang}/digits__{digit}")
            if row is not None and row["split"] == "train" and row["text"] == word:
                chosen.append(row)
    return chosen


def bundle(corpus: Path, data: Path) -> list[dict[str, str]]:
    """Write ``clips/``, ``clips.tsv`` and ``LICENSES.md`` below ``data``; returns the rows of ``clips.tsv``."""
    with open(corpus / "asterisk.tsv", encoding="utf-8", newline="") as file:
        rows = choose(list(csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE)))
    size = sum((corpus / row["path"]).stat().st_size for row in rows)
    if size > LIMIT:
        raise ValueError(f"the chosen clips take {size} bytes, {LIMIT} are allowed: choose shorter ones")
    shutil.rmtree(data / "clips", ignore_errors=True)
    bundled = []
    for row in rows:
        path = "clips" + row["path"].removeprefix("asterisk")
        (data / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(corpus / row["path"], data / path)
        bundled.append({**row, "path": path})
    table = io.StringIO()
    writer = csv.DictWriter(table, COLUMNS, delimiter="\t", quoting=csv.QUOTE_NONE, lineterminator="\n")
    writer.writeheader()
    writer.writerows(bundled)
    write_whole(data / "clips.tsv", table.getvalue())
    write_whole(data / "LICENSES.md", LICENCES)
    return bundled


def main(arguments: list[str] | None = None) -> None:
    """The command line: copy the chosen clips and count them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("corpus", type=Path, help="the folder that holds asterisk.tsv")
    parser.add_argument("--data", type=Path, default=DATA)
    chosen = parser.parse_args(arguments)
    try:
        bundled = bundle(chosen.corpus, chosen.data)
    except (OSError, ValueError) as error:
        raise SystemExit(f"bundle_clips: {error}") from None
    size = sum((chosen.data / row["path"]).stat().st_size for row in bundled)
    seconds = sum(float(row["seconds"]) for row in bundled)
    print(f"wrote {len(bundled)} clips ({seconds:.0f} s, {size / 1e6:.2f} MB) to {chosen.data / 'clips'}")


if __name__ == "__main__":
    main()
