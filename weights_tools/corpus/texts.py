"""Texts as the corpora have them: the letters of a language, small, with spaces between words, and nothing else."""

from __future__ import annotations

import re
import unicodedata

LETTERS = {
    "en": "abcdefghijklmnopqrstuvwxyz'",
    "es": "abcdefghijklmnopqrstuvwxyzáéíóúüñ",
    "fr": "abcdefghijklmnopqrstuvwxyzàâæçéèêëîïôœùûüÿ'",
    "it": "abcdefghijklmnopqrstuvwxyzàèéìòù'",
    "ru": "абвгдежзийклмнопрстуфхцчшщъыьэюя",
}


def normalised(text: str, lang: str) -> str | None:
    """Small letters and spaces; None where the text is empty or holds anything that is not read as it stands."""
    plain = unicodedata.normalize("NFC", text).lower().replace("’", "'")
    plain = plain.replace("ё", "е") if lang == "ru" else plain
    plain = re.sub(r"[-–—.,;:!?¡¿«»“”…º\"]", " ", plain)
    plain = plain if "'" in LETTERS[lang] else plain.replace("'", " ")
    plain = " ".join(plain.split())
    return plain if plain and set(plain) <= set(LETTERS[lang] + " ") else None
