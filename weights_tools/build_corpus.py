"""Build the corpus that the recipes name, from files that others publish.

    python -m weights_tools.build_corpus CORPUS FILE [FILE ...]
    python -m weights_tools.build_corpus CORPUS --speak NAME.tsv [--texts LIST.tsv] [--engine ENGINE] [--minutes 80]
    python -m weights_tools.build_corpus CORPUS --splice NAME.tsv [--texts LIST.tsv] [--minutes 80] [--parts 0.6]

A FILE is told by its name. asterisk-core-sounds-LANG-g722_*.deb, all five languages at once, become asterisk.tsv;
tuxpaint-stamps-default_*.deb becomes tuxpaint.tsv; an archive of the Free Spoken Digit Dataset (*.zip, *.tar.gz)
becomes fsdd.tsv; debian-handbook_*.deb becomes handbook-texts.tsv, which is text alone. `--speak` makes synthetic
speech of the train texts of a list that is there already, with Kokoro in the folder ENGINE, or with Debian's flite
and festival. `--splice` cuts the words out of the train clips of a list, where the bundled model aligns them, and
joins them to new sentences. Nothing is fetched: recipes/README.md says how to get the files. What is built has the
licences of its sources.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path

from tqdm import tqdm

from weights_tools.corpus.digits import digits
from weights_tools.corpus.handbook import write_texts
from weights_tools.corpus.prompts import prompts
from weights_tools.corpus.splices import splices
from weights_tools.corpus.stamps import stamps
from weights_tools.corpus.synthetic import debian_voices, kokoro, synthetic, texts_of
from weights_tools.corpus.write import Row, write
from xlsr_ref import load

TEXTS = "handbook-texts.tsv"
LANGUAGES = "en,es,fr,it,ru"
KINDS = {"asterisk-core-sounds-": "asterisk.tsv", "tuxpaint-stamps-default": "tuxpaint.tsv",
         "debian-handbook_": TEXTS}  # how packages are named  # fmt: skip
ARCHIVES = (".zip", ".tar.gz", ".tgz")


def list_of(file: Path) -> str:
    """The list that ``file`` becomes. Raises ValueError for a name that says nothing."""
    for begins, name in KINDS.items():
        if file.name.startswith(begins) and file.suffix == ".deb":
            return name
    if file.name.endswith(ARCHIVES):
        return "fsdd.tsv"
    raise ValueError(
        f"{file} is none of asterisk-core-sounds-*-g722_*.deb, tuxpaint-stamps-default_*.deb, debian-handbook_*.deb "
        "and a .zip or .tar.gz of the Free Spoken Digit Dataset: give one of these, under its own name"
    )


def build(corpus: Path, files: Sequence[Path]) -> dict[str, tuple[int, float]]:
    """Write the lists that the ``files`` become; clips and seconds of each. Raises ValueError and OSError."""
    given: dict[str, list[Path]] = {}
    for file in files:
        given.setdefault(list_of(file), []).append(file)
    built = {}
    for name, its in given.items():
        if name != "asterisk.tsv" and len(its) > 1:
            raise ValueError(f"{its[0]} and {its[1]} both become {name}: give one of them")
        if name == TEXTS:
            built[name] = write_texts(its[0], corpus, name), 0.0
            continue
        rows = {"asterisk.tsv": lambda of: prompts(of), "tuxpaint.tsv": lambda of: stamps(of[0]),
                "fsdd.tsv": lambda of: digits(of[0])}[name](its)  # fmt: skip
        built[name] = write(tqdm(rows, unit="clip", disable=None), corpus, name)
    return built


def spoken(chosen: argparse.Namespace) -> Iterator[Row]:
    """The clips of --speak. Raises ValueError where a voice or the list of texts is missing."""
    engine = kokoro(chosen.engine) if chosen.engine else debian_voices()
    texts = texts_of(
        [chosen.corpus / chosen.texts], set(engine.native) & set((chosen.languages or LANGUAGES).split(","))
    )
    return synthetic(texts, engine, chosen.speak.removesuffix(".tsv"), chosen.minutes, chosen.seed, chosen.jobs)


def spliced(chosen: argparse.Namespace) -> Iterator[Row]:
    """The clips of --splice. Raises ValueError and OSError, as iteration does."""
    name = chosen.splice.removesuffix(".tsv")
    return splices(load(), chosen.corpus, chosen.texts, name, chosen.minutes, chosen.seed, chosen.parts)


def share(text: str) -> float:
    """A number from 0 to 1. Raises ArgumentTypeError."""
    try:
        if 0 <= (number := float(text)) <= 1:
            return number
    except ValueError:
        pass
    raise argparse.ArgumentTypeError(f"{text} is no share: give a number from 0 to 1")


def minutes(text: str) -> float:
    """A finite number above 0. Raises ArgumentTypeError."""
    try:
        if 0 < (number := float(text)) < float("inf"):
            return number
    except ValueError:
        pass
    raise argparse.ArgumentTypeError(f"{text} is no number of minutes: give one above 0")


def name_of_list(text: str) -> str:
    """The name of a list to write, without a folder. Raises ArgumentTypeError."""
    if Path(text).name == text and text.endswith(".tsv") and text != ".tsv":
        return text
    raise argparse.ArgumentTypeError(f"{text} is no name of a list: give one such as more.tsv, which CORPUS will hold")


def main(arguments: list[str] | None = None) -> None:
    """The command line: build what the files give, and say how much it is."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("corpus", type=Path, help="the folder to write into")
    parser.add_argument("files", type=Path, nargs="*", help="packages and archives")
    made = parser.add_mutually_exclusive_group()
    made.add_argument("--speak", metavar="NAME.tsv", type=name_of_list, help="make this list of synthetic speech")
    made.add_argument(
        "--splice", metavar="NAME.tsv", type=name_of_list, help="make this list of words in another order"
    )
    parser.add_argument(
        "--texts",
        default="asterisk.tsv",
        help="the list in CORPUS whose train clips are spoken or spliced (default: asterisk.tsv)",
    )
    parser.add_argument("--engine", type=Path, help="the folder of Kokoro (default: Debian's flite and festival speak)")
    parser.add_argument("--languages", help=f"of the texts that are spoken (default: {LANGUAGES})")
    parser.add_argument("--minutes", type=minutes, default=80.0, help="of speech that is made (default: 80)")
    parser.add_argument(
        "--parts", type=share, default=0.0, help="share of long words that are made of two (default: 0)"
    )
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=1, help="how many clips are spoken side by side (default: 1)")
    chosen = parser.parse_args(arguments)
    if not (chosen.files or chosen.speak or chosen.splice):
        parser.error("give packages and archives, --speak or --splice")
    if Path(chosen.texts) == Path(chosen.speak or chosen.splice or ""):
        parser.error(f"--texts {chosen.texts} would be replaced: give the list that is made another name")
    if chosen.splice and chosen.languages:
        parser.error("--splice takes every language of the list: --languages goes with --speak")
    try:
        built = build(chosen.corpus, chosen.files)
        if name := chosen.speak or chosen.splice:
            rows = spoken(chosen) if chosen.speak else spliced(chosen)
            built[name] = write(tqdm(rows, unit="clip", disable=None), chosen.corpus, name)
    except (OSError, ValueError, ImportError) as error:
        raise SystemExit(f"build_corpus: {error}") from None
    for name, (clips, seconds) in built.items():
        much = f"{clips} clips, {seconds / 60:.1f} minutes" if seconds else f"{clips} sentences"
        print(f"wrote {chosen.corpus / name}: {much}")


if __name__ == "__main__":
    main()
