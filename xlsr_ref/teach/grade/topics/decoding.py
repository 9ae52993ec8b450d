"""Exercises: from a path of tokens to a text (text/greedy.py), and how wrong a text is (text/metrics.py)."""

from __future__ import annotations

import numpy as np

from xlsr_ref.teach.grade.battery import cases
from xlsr_ref.teach.grade.definition import Case, exercise
from xlsr_ref.text import greedy, metrics


def collapse(path, blank):
    """CTC's collapse: merge repeats, then drop blanks.

        a a - a b b -  →  a - a b -  →  a a b          (- is the blank)

    path is a list of T tokens, whole numbers, one for each frame; blank is one of them, not always 0.
    Return a list with (token, first, stop) for each token that is left: it stood at the frames first to stop - 1.
    Source: Graves et al. 2006, §3.1.
    """
    runs, first = [], 0
    for t in range(1, len(path) + 1):
        if t == len(path) or path[t] != path[first]:
            if path[first] != blank:
                runs.append((path[first], first, t))
            first = t
    return runs


def edit_distance(said, read):
    """The edit distance: the fewest substitutions, deletions and insertions that turn one text into the other.

        d[i, j] = min( d[i-1, j-1] + (said_i ≠ read_j),  d[i-1, j] + 1,  d[i, j-1] + 1 )       d[i, 0] = i,  d[0, j] = j

    said and read are lists of whole numbers (letters or words, numbered). Return a whole number.
    Source: Wagner & Fischer 1974; divided by the length of what was said it is the error rate.
    """
    d = np.zeros((len(said) + 1, len(read) + 1), int)
    d[:, 0] = np.arange(len(said) + 1)
    d[0, :] = np.arange(len(read) + 1)
    for i in range(1, len(said) + 1):
        for j in range(1, len(read) + 1):
            both = d[i - 1, j - 1] + (said[i - 1] != read[j - 1])
            deletion = d[i - 1, j] + 1
            insertion = d[i, j - 1] + 1
            d[i, j] = min(both, deletion, insertion)
    return int(d[-1, -1])


def _collapsed(path: list[int], blank: int) -> np.ndarray:
    return np.array(greedy.collapse(path, blank), np.int64).reshape(-1, 3)  # type: ignore[arg-type]  # any tokens will do


def _edits(said: list[int], read: list[int]) -> int:
    return metrics.count(metrics.compare(said, read)).edits  # type: ignore[arg-type]


def _paths(rng: np.random.Generator) -> tuple[Case, ...]:
    tries: dict[str, tuple] = {
        "usual": (rng.integers(0, 3, 20).tolist(), 0),
        "one frame": ([2], 0),
        "one long token": ([1] * 7, 0),
        "a double letter": ([1, 1, 0, 1, 2, 2], 0),
        "blank is not 0": ([0, 0, 3, 0, 1, 3, 3, 1, 2], 3),
        "ends on a token": ([0, 2, 0, 1, 1], 0),
        "ends on a blank": ([1, 2, 2, 0, 0], 0),
        "no blank": (rng.integers(0, 3, 9).tolist(), 5),
        "long": (np.repeat(rng.integers(0, 4, 30), rng.integers(1, 4, 30)).tolist(), 2),
    }
    return cases(tries)


def _texts(rng: np.random.Generator) -> tuple[Case, ...]:
    said = rng.integers(0, 4, 12).tolist()
    transcript = [*said[:3], 9, *said[4:8], *said[9:], 8]
    tries: dict[str, tuple] = {
        "usual": (said, transcript),
        "equal": (said, list(said)),
        "nothing read": (said[:5], []),
        "nothing said": ([], said[:4]),
        "nothing at all": ([], []),
        "all wrong": ([1, 2, 3], [4, 5, 6]),
        "one substitution": ([1, 2, 3, 4], [1, 2, 7, 4]),
        "one deletion": ([1, 2, 3, 4], [1, 2, 4]),
        "one insertion": ([1, 2, 4], [1, 2, 3, 4]),
        "moved": ([1, 2, 3, 4, 5], [2, 3, 4, 5, 1]),
        "exchanged": ([1, 2, 3], [1, 3, 2]),
        "of other lengths": (rng.integers(0, 3, 5).tolist(), rng.integers(0, 3, 11).tolist()),
    }
    return cases(tries)


COLLAPSE = exercise(
    collapse,
    _collapsed,
    module="text.greedy",
    notebook="09",
    title="From a path to a text",
    battery=_paths,
    returns=("runs",),
    mistakes={
        "repeats are not collapsed": ("path[t] != path[first]:", "True:"),
        "blanks are dropped first, then repeats merged": (
            "path[t] != path[first]:\n            if path[first] != blank:\n                runs",
            "path[t] != path[first]:\n"
            "            if path[first] != blank and runs and runs[-1][0] == path[first]:\n"
            "                runs[-1] = (path[first], runs[-1][1], t)\n"
            "            elif path[first] != blank:\n                runs",
        ),
        "blank is taken to be 0": ("path[first] != blank", "path[first] != 0"),
        "only neighbours of one token are merged, and the blanks left in the way are not dropped": (
            "path[first] != blank:",
            "path[first] != blank or t - first > 1:",
        ),
        "first and stop count the runs, not the frames": ("first, t))", "len(runs), len(runs) + 1))"),
        "one frame late": ("first, t))", "first + 1, t + 1))"),
        "each token once: the same token later is dropped": (
            "if path[first] != blank:",
            "if path[first] != blank and path[first] not in [run[0] for run in runs]:",
        ),
        "blanks are kept": ("if path[first] != blank:", "if True:"),
        "stop is the last frame, not the one after it": ("first, t))", "first, t - 1))"),
        "stop is the number of frames": ("first, t))", "first, t - first))"),
        "the last run is lost": ("range(1, len(path) + 1)", "range(1, len(path))"),
    },
)

EDIT_DISTANCE = exercise(
    edit_distance,
    _edits,
    module="text.metrics",
    notebook="10b",
    title="Edit distance",
    battery=_texts,
    returns=("edits",),
    mistakes={
        "a substitution costs two": ("+ (said[i - 1] != read[j - 1])", "+ 2 * (said[i - 1] != read[j - 1])"),
        "a hit costs as much as a substitution": ("+ (said[i - 1] != read[j - 1])", "+ 1"),
        "insertions are free": (
            "insertion = d[i, j - 1] + 1",
            "insertion = d[i, j - 1]",
            "d[0, :] = np.arange(len(read) + 1)",
            "d[0, :] = 0",
        ),
        "deletions are free": (
            "deletion = d[i - 1, j] + 1",
            "deletion = d[i - 1, j]",
            "d[:, 0] = np.arange(len(said) + 1)",
            "d[:, 0] = 0",
        ),
        "the difference of the lengths": ("return int(d[-1, -1])", "return abs(len(said) - len(read))"),
        "hits are counted, not edits": (
            "return int(d[-1, -1])",
            "return sum(a == b for a, b in zip(said, read))",
        ),
        "1 is counted for a hit, 0 for a substitution": ("said[i - 1] != read[j - 1]", "said[i - 1] == read[j - 1]"),
        "how many of what was said are not read, as sets": (
            "return int(d[-1, -1])",
            "return len(set(said) ^ set(read))",
        ),
        "max in place of min": ("min(both, deletion, insertion)", "max(both, deletion, insertion)"),
        "the last letter is left out": (
            "return int(d[-1, -1])",
            "return int(d[max(len(said) - 1, 0), max(len(read) - 1, 0)])",
        ),
        "the first row of d is 0": ("d[0, :] = np.arange(len(read) + 1)", "d[0, :] = 0"),
        "the first column of d is 0": ("d[:, 0] = np.arange(len(said) + 1)", "d[:, 0] = 0"),
        "place by place, without moving": (
            "return int(d[-1, -1])",
            "return sum(a != b for a, b in zip(said, read)) + abs(len(said) - len(read))",
        ),
        "divided by the length: this is the error rate": (
            "return int(d[-1, -1])",
            "return int(d[-1, -1]) / max(len(said), 1)",
        ),
        "two neighbours exchanged cost one": (
            "d[i, j] = min(both, deletion, insertion)",
            "d[i, j] = min(both, deletion, insertion)\n"
            "            if i > 1 and j > 1 and said[i - 1] == read[j - 2] and said[i - 2] == read[j - 1]:\n"
            "                d[i, j] = min(d[i, j], d[i - 2, j - 2] + 1)",
        ),
    },
)
