"""``xlsr-ref grade``: a student's functions held against the library's, and the mistake named."""

from __future__ import annotations

import argparse
from typing import Any

from xlsr_ref.cli.say import STYLE, WrongUsage, complain, say, status_line
from xlsr_ref.errors import ExerciseError

HINT = "how much to tell. 1: what fails; 2: also the part; 3: also the line (default: 3)"


def add(commands: Any) -> None:
    p = commands.add_parser(
        "grade",
        description="Compare a student's functions with the library's: which properties hold, and which known\n"
        "mistake was made. Each runs in its own process. Exit status 0: all passed; 1: not all.",
        epilog="examples:\n"
        "  xlsr-ref grade solution.py --exercise layer_norm --json\n"
        "  xlsr-ref grade course/submitted --csv marks.csv    # regrades only what changed",
        **STYLE,
    )
    p.add_argument("file", metavar="FILE", nargs="?", help="Python file; with --csv, the folder of a class")
    p.add_argument("--exercise", metavar="NAME", nargs="+", help="grade only these exercises")
    p.add_argument("--list", action="store_true", help="list the exercises")
    p.add_argument("--json", action="store_true", help="write JSON instead of tables")
    p.add_argument("--csv", metavar="CSV", dest="results", help="write the table of marks, a row for each student")
    p.add_argument("--points", metavar="N", type=float, default=10, help="points for each exercise (default: 10)")
    p.add_argument("--seed", metavar="N", type=int, help="seed of the inputs (default: a new one)")
    p.add_argument("--hint", metavar="N", type=int, choices=(1, 2, 3), default=3, help=HINT)
    p.add_argument("--seconds", metavar="S", type=float, default=5.0, help="time limit of a function (default: 5)")
    p.add_argument("--memory", metavar="MB", type=int, default=1024, help="memory limit of a function (default: 1024)")
    p.set_defaults(call=run)


def run(arguments: argparse.Namespace) -> int:
    """Grade what the file has, print the tables and a summary; 1 if something failed."""
    import json

    _check(arguments)
    if arguments.list:
        return _list(arguments.json)
    if arguments.results is not None:
        return _class(arguments)

    from xlsr_ref.teach.grade import sandbox, submission
    from xlsr_ref.untrusted import shown

    text = submission.read(arguments.file)
    names = _asked(arguments.exercise, submission.names(text, arguments.file), shown(arguments.file))
    misspelt = [] if arguments.exercise else submission.misspelt(text)
    if misspelt:
        complain(f"{shown(arguments.file)}: not graded, for no exercise has this name: {', '.join(misspelt)}")
    seed = _seed() if arguments.seed is None else arguments.seed  # one for all, so that one number tells all
    verdicts = []
    for number, name in enumerate(names, 1):
        status_line(f"{number} of {len(names)}: {name}")
        how = {"seed": seed, "seconds": arguments.seconds, "memory_mb": arguments.memory, "path": arguments.file}
        try:
            verdict = sandbox.run(name, text, None, **how).hinted(arguments.hint)
        except ExerciseError as error:
            raise ExerciseError(f"{shown(arguments.file)}: {error}") from None
        finally:
            status_line("")
        verdicts.append(verdict)
        if not arguments.json:
            say(f"{name}\n{verdict}\n\n")
    passed = sum(verdict.passed for verdict in verdicts)
    score = sum(verdict.score for verdict in verdicts) / len(verdicts)
    if arguments.json:
        whole = {"file": arguments.file, "seed": seed, "passed": passed == len(verdicts), "score": score}
        say(json.dumps(whole | {"exercises": [verdict.to_dict() for verdict in verdicts]}, indent=2) + "\n")
    else:
        say(f"{passed} of {len(verdicts)} passed; {score:.0%} of the points\n")
    return int(passed < len(verdicts))


def _class(arguments: argparse.Namespace) -> int:
    """Grade a class's folder and write the table; 1 if somebody has not all the points."""
    from pathlib import Path

    from xlsr_ref.teach.grade import handed_in, marks
    from xlsr_ref.untrusted import shown

    for name in arguments.exercise or ():
        _require_exercise(name)
    if not Path(arguments.file).is_dir():
        raise ExerciseError(f"{shown(arguments.file)}: is no folder; --csv grades a folder, a file for each student")
    before = marks.read_table(arguments.results) if Path(arguments.results).exists() else []
    seed = arguments.seed if arguments.seed is not None else int(before[0]["seed"]) if before else _seed()
    limits = {"seconds": arguments.seconds, "memory_mb": arguments.memory, "watch": status_line}
    try:
        everyone = handed_in.of_class(arguments.file)
        rows = marks.grade_class(
            everyone, arguments.exercise, points=arguments.points, seed=seed, before=before, **limits
        )
    finally:
        status_line("")
    marks.write_table(arguments.results, rows)
    for row in rows:
        say(f"{row['student']}: {row['points']} of {row['of']}\n")
    say(f"{shown(arguments.results)}\n")
    return int(any(float(row["points"]) < float(row["of"]) for row in rows))


def _check(arguments: argparse.Namespace) -> None:
    """What is wrong with the usage, before anything is imported."""
    if not arguments.list and not arguments.file:
        raise WrongUsage("give a FILE with functions first, as in grade solution.py --exercise layer_norm, or --list")
    if arguments.list and arguments.file:
        raise WrongUsage("give a FILE, or --list, and not both")
    if arguments.results is not None and not arguments.results:
        raise WrongUsage("--csv CSV is an empty name")
    if not 0 < arguments.points < 1e6:
        raise WrongUsage(f"--points {arguments.points:g}: give a number above 0")
    if not 0 < arguments.seconds <= 3600:
        raise WrongUsage(f"--seconds {arguments.seconds:g}: give a number above 0, and 3600 at most")
    if arguments.memory <= 0:
        raise WrongUsage(f"--memory {arguments.memory}: give a number of MB above 0")
    if arguments.seed is not None and arguments.seed < 0:
        raise WrongUsage(f"--seed {arguments.seed}: give 0 or more")


def _asked(asked: list[str] | None, there: tuple[str, ...], file: str) -> tuple[str, ...]:
    for name in asked or ():
        _require_exercise(name)
        if name not in there:
            raise ExerciseError(f"{file}: has no function {name}; it has {', '.join(there)}")
    return tuple(dict.fromkeys(asked)) if asked else there


def _require_exercise(name: str) -> None:
    from xlsr_ref.teach.grade import exercise

    try:
        exercise(name)
    except ExerciseError as error:
        raise WrongUsage(str(error)) from None


def _seed() -> int:
    import numpy as np

    return int(np.random.default_rng().integers(2**31))


def _list(as_json: bool) -> int:
    import json

    from xlsr_ref.teach.grade.catalogue import all_exercises
    from xlsr_ref.teach.table import Table

    every = all_exercises()
    if as_json:
        fields = ("name", "module", "notebook", "title", "signature")
        say(json.dumps([{field: getattr(each, field) for field in fields} for each in every], indent=2) + "\n")
    else:
        rows = [(each.name, each.module, each.notebook, each.title) for each in every]
        say(Table(("exercise", "module", "notebook", "title"), rows).text() + "\n")
    return 0
