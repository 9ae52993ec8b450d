"""The recipes that come with the package: those of every model that is bundled or spoken of, by name."""

from __future__ import annotations

import os
from pathlib import Path

from xlsr_ref.errors import TrainingError
from xlsr_ref.untrusted import shown

FOLDER = Path(__file__).parents[1] / "data" / "recipes"


def names() -> list[str]:
    """Of all recipes in the package, in order."""
    return sorted(path.stem for path in FOLDER.glob("*.toml"))


def text_of(name: str) -> str:
    """The recipe of that name, as it stands. Raises TrainingError for a name that the package lacks."""
    if name not in names():
        raise TrainingError(f"{shown(name)}: no recipe in the package has this name: there are {', '.join(names())}")
    return (FOLDER / f"{name}.toml").read_text("utf-8")


def about(name: str) -> str:
    """What it is for, in one line: the comment that it begins with."""
    return text_of(name).partition("\n")[0].removeprefix("# ")


def find(argument: str) -> Path:
    """The file that ``argument`` means: the one that is there or, where none is, the package's recipe of that name.

    A folder is no file: a run of the same name may have made it. Raises TrainingError where there is neither.
    """
    if os.path.exists(argument) and not (os.path.isdir(argument) and argument in names()):
        return Path(argument)
    if argument not in names():
        raise TrainingError(
            f"{shown(argument)}: there is no such file, nor a recipe of that name in the package: give a TOML file, or "
            f"one of {', '.join(names())}"
        )
    return FOLDER / f"{argument}.toml"


def base_of(recipe: Path) -> Path:
    """The folder that relative paths in a recipe begin at: its own or, of one of the package's, the current one."""
    return Path() if recipe.parent.resolve() == FOLDER.resolve() else recipe.parent
