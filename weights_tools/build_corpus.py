"""Build the corpus that the recipes name, from files that others publish.

    python -m weights_tools.build_corpus CORPUS FILE [FILE ...]
    python -m weights_tools.build_corpus CORPUS --engine ENGINE [--minutes 80] [--seed 1]

A FILE is told by its name. asterisk-core-sounds-LANG-g722_*.deb, all five languages at once, become asterisk.tsv;
tuxpaint-stamps-default_*.deb becomes tuxpaint.tsv; an archive of the Free Spoken Digit Dataset (*.zip, *.tar.gz)
becomes fsdd.tsv. `--engine` makes kokoro.tsv from the train texts of the asterisk.tsv that is there already. Nothing
is fetched: recipes/README.md says how to get the files. What is built has the licences of its sources.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from tqdm import tqdm

from weights_tools.corpus.digits import digits
from weights_tools.corpus.prompts import prompts
from weights_tools.corpus.stamps import stamps
from weights_tools.corpus.synthetic import kokoro, synthetic
from weights_tools.corpus.write import write

KINDS = {"asterisk-core-sounds-": "asterisk.tsv", "tuxpaint-stamps-default": "tuxpaint.tsv"}  # how packages are named
ARCHIVES = (".zip", ".tar.gz", ".tgz")


def list_of(file: Path) -> str:
    """The list that ``file`` becomes. Raises ValueError for a name that says nothing."""
    for begins, name in KINDS.items():
        if file.name.startswith(begins) and file.suffix == ".deb":
            return name
    if file.name.endswith(ARCHIVES):
        return "fsdd.tsv"
    raise ValueError(
        f"{file} is none of asterisk-core-sounds-*-g722_*.deb, tuxpaint-stamps-default_*.deb and a .zip or .tar.gz of "
        "the Free Spoken Digit Dataset: give one of these, under its own name"
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
        rows = {"asterisk.tsv": lambda of: prompts(of), "tuxpaint.tsv": lambda of: stamps(of[0]),
                "fsdd.tsv": lambda of: digits(of[0])}[name](its)  # fmt: skip
        built[name] = write(tqdm(rows, unit="clip", disable=None), corpus, name)
    return built


def main(arguments: list[str] | None = None) -> None:
    """The command line: build what the files give, and say how much it is."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("corpus", type=Path, help="the folder to write into")
    parser.add_argument("files", type=Path, nargs="*", help="packages and archives")
    parser.add_argument("--engine", type=Path, help="the folder of the synthesiser")
    parser.add_argument("--minutes", type=float, default=80.0, help="of synthetic speech (default: 80)")
    parser.add_argument("--seed", type=int, default=1)
    chosen = parser.parse_args(arguments)
    if not chosen.files and chosen.engine is None:
        parser.error("give packages and archives, or --engine")
    try:
        built = build(chosen.corpus, chosen.files)
        if chosen.engine is not None:
            voices, speak = kokoro(chosen.engine)
            rows = synthetic([chosen.corpus / "asterisk.tsv"], voices, speak, chosen.minutes, chosen.seed)
            built["kokoro.tsv"] = write(tqdm(rows, unit="clip", disable=None), chosen.corpus, "kokoro.tsv")
    except (OSError, ValueError, ImportError) as error:
        raise SystemExit(f"build_corpus: {error}") from None
    for name, (clips, seconds) in built.items():
        print(f"wrote {chosen.corpus / name}: {clips} clips, {seconds / 60:.1f} minutes")


if __name__ == "__main__":
    main()
