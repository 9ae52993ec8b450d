"""Functions as a notebook's cell defines them."""

import itertools
import linecache

RIGHT = """
import numpy as np

def layer_norm(x, p, eps):
    mean = x.mean(axis=-1, keepdims=True)
    return (x - mean) / np.sqrt(x.var(axis=-1, keepdims=True) + eps) * p["weight"] + p["bias"]
"""
NUMBER = itertools.count()


def cell(text, **names):
    """All that a cell defines: its text stands where inspect looks for it, and its functions belong to __main__."""
    where = f"<cell {next(NUMBER)}>"
    linecache.cache[where] = (len(text), None, text.splitlines(keepends=True), where)
    defined = {"__name__": "__main__", **names}
    exec(compile(text, where, "exec", dont_inherit=True), defined)
    return defined


def body(text):
    """A layer_norm that does this: the text of a file."""
    return "import numpy as np\n\ndef layer_norm(x, p, eps):\n" + "".join(f"    {line}\n" for line in text.splitlines())
