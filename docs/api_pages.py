"""The API pages: one for each folder of the package, a section for each module, in the order of the floors.

A page is made from the tree whenever the site is built, so that a new module has its place without anybody's help.
"""

from __future__ import annotations

from pathlib import Path

FOLDERS = {  # of the package, in the order in which a reader should meet them
    "model": "The model", "wav2vec2": "The network", "wav2vec2_bert": "Wav2Vec2-BERT",
    "heads": "Heads", "losses": "Losses", "ops": "Operations",
    "audio": "Audio", "text": "Text", "checkpoint": "Checkpoints", "training": "Training",
    "measure": "Measuring",
    "teach": "Teaching", "": "The package",
}  # fmt: skip
LEFT_OUT = ("cli", "data")


def modules(package: Path, folder: str) -> list[str]:
    """The dotted names of the modules of one page, the front file of each folder first."""
    inside = (package / folder).rglob("*.py") if folder else package.glob("*.py")
    files = [path.relative_to(package.parent).with_suffix("") for path in inside if path.name != "__main__.py"]
    return sorted(".".join(path.parts).removesuffix(".__init__") for path in files)


def write_pages(package: Path, out: Path) -> list[str]:
    """Write a page for each folder that there is into ``out``; their names."""
    out.mkdir(parents=True, exist_ok=True)
    names = []
    for folder, title in FOLDERS.items():
        found = modules(package, folder) if (package / folder).is_dir() else []
        if found:
            sections = "".join(f"{name}\n{'-' * len(name)}\n\n.. automodule:: {name}\n\n" for name in found)
            names.append(folder or "package")
            (out / f"{names[-1]}.rst").write_text(f"{title}\n{'=' * len(title)}\n\n{sections}", encoding="utf-8")
    return names
