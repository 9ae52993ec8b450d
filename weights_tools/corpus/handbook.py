"""handbook-texts.tsv: sentences of The Debian Administrator's Handbook in five languages, from its Debian package.

    usr/share/doc/debian-handbook/html/fr-FR/*.html      paragraphs are <div class="para">…</div>

The book (CC BY-SA 3.0, or GPL 2 or newer) exists in all languages of the bundled model. It gives the texts that are
spoken by synthetic voices, and words to the language model. A sentence that holds a digit, a name in code or a letter
of another language is left out, and so is what a translation left in English.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from pathlib import Path

from weights_tools.corpus.debian import files_of
from weights_tools.corpus.texts import normalised
from weights_tools.corpus.write import split_of
from xlsr_ref.files import write_whole

BOOK = re.compile(r"usr/share/doc/debian-handbook/html/([a-z]{2})-[A-Z]{2}/[^/]*\.html")
LANGUAGES = ("en", "es", "fr", "it", "ru")
PARAGRAPH = re.compile(r'<div class="para">(.*?)</div>', re.S)
NOT_SAID = re.compile(r"<(code|a class=\"indexterm)[^>]*>.*?</(code|a)>", re.S)  # becomes 0, which no sentence holds
ENDS = re.compile(r"(?<=[.!?:;])\s|,\s|[()—–]")  # of a sentence, or of a part that can stand alone
ENGLISH = {"the", "of", "and", "this", "is", "with", "for", "which", "you", "that", "are", "be", "by"}
LEAST_WORDS, MOST_WORDS = 3, 14


def sentences(package: Path) -> dict[str, list[str]]:
    """The sentences by language, in order, each once. Raises ValueError for what is no such package."""
    found: dict[str, dict[str, None]] = {lang: {} for lang in LANGUAGES}
    for path, content in sorted(files_of(package)):
        match = BOOK.fullmatch(path)
        if match and match[1] in found:
            found[match[1]].update(dict.fromkeys(_of_page(content.decode("utf-8", "replace"), match[1])))
    if not any(found.values()):
        raise ValueError(f"{package} holds no page of the handbook: give debian-handbook_*.deb")
    return {
        lang: [text for text in texts if lang == "en" or not _is_english(text, found["en"])]
        for lang, texts in found.items()
    }


def write_texts(package: Path, folder: Path, name: str) -> int:
    """Write the list ``name`` (lang, split, text) into ``folder``; how many sentences."""
    rows = [f"{lang}\t{split_of(lang, text)}\t{text}" for lang, texts in sentences(package).items() for text in texts]
    folder.mkdir(parents=True, exist_ok=True)
    write_whole(folder / name, "\n".join(["lang\tsplit\ttext", *rows]) + "\n")
    return len(rows)


def _of_page(page: str, lang: str) -> Iterator[str]:
    for paragraph in PARAGRAPH.findall(page):
        plain = html.unescape(re.sub(r"<[^>]+>", "", NOT_SAID.sub(" 0 ", paragraph)))
        for part in ENDS.split(" ".join(plain.split())):
            text = normalised(part, lang) if part else None
            if text and LEAST_WORDS <= len(text.split()) <= MOST_WORDS:
                yield text


def _is_english(text: str, english: dict[str, None]) -> bool:
    return text in english or not ENGLISH.isdisjoint(text.split())
