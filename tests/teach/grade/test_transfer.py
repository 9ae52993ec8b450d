"""How a function is packed for another process, in which way, and that it is the same function there."""

import sys

import numpy as np
import pytest
from cells import cell

from xlsr_ref.ops.norm import layer_norm
from xlsr_ref.teach.grade import transfer

AROUND = """
import math
import numpy as np
from math import sqrt as root
from numpy import exp, float64
from fractions import Fraction

EPS = 1e-5
ORDER = [("a", 1), ("b", 2)]
x = np.arange(3)

def helper(v, times=EPS):
    return other(v) * times

def other(v):
    return v + len(ORDER) if v < 9 else helper(v - 9)  # each needs the other
"""


@pytest.mark.parametrize(
    "text",
    [
        "def f(v):\n    return math.floor(v) + np.float64(1)",
        "def f(v):\n    return root(v) + float(exp(v)) + Fraction(1, 2)",
        "def f(v, k=EPS, *, j=len(ORDER)):\n    return helper(v) + k + j",
        "def f(v: Unknown) -> Unknown:\n    return v",  # a name that only a hint has
        "def f(v):\n    x = v\n    return x",  # the x outside is another one
        "def f(v):\n    return 1 if v < 1 else v * f(v - 1)",
        "def f(v):\n    return sum(helper(i) for i in range(int(v)))",  # a code within the code
        "if True:\n    def f(v):\n        return v",
    ],
)
def test_a_function_of_a_cell_goes_as_source_with_what_it_names(text):
    source = AROUND + ("Unknown = [np.zeros(2)]\n" if "Unknown" in text else "") + text
    function = cell(source)["f"]
    packed = transfer.pack(function)
    assert packed.kind == "source"
    assert transfer.unpack(packed)(3.0) == function(3.0)


NOT_AS_SOURCE = {
    "an array outside": "def f(v):\n    return v + x",
    "a class of the cell": "class Box:\n    pass\n\ndef f(v):\n    return Box and v",
    "a closure": "def make(k):\n    def f(v):\n        return v + k\n    return f\n\nf = make(2)",
    "a lambda": "f = lambda v: v + 1",
    "decorated": "def twice(g):\n    return lambda v: g(g(v))\n\n@twice\ndef f(v):\n    return v + 1",
    "a helper without source": "def f(v):\n    return unread(v)",
}


@pytest.mark.parametrize("text", NOT_AS_SOURCE.values(), ids=NOT_AS_SOURCE)
def test_others_are_pickled_where_cloudpickle_is(text):
    pytest.importorskip("cloudpickle")
    function = cell(AROUND + text, unread=eval("lambda v: v"))["f"]
    packed = transfer.pack(function)
    assert packed.kind == "pickle"
    np.testing.assert_array_equal(transfer.unpack(packed)(3.0), function(3.0))


@pytest.mark.parametrize("text", NOT_AS_SOURCE.values(), ids=NOT_AS_SOURCE)
def test_and_stay_where_it_is_not(text, monkeypatch):
    monkeypatch.setitem(sys.modules, "cloudpickle", None)
    assert transfer.pack(cell(AROUND + text, unread=eval("lambda v: v"))["f"]) is None


def test_a_text_that_is_no_longer_the_functions_is_not_sent(monkeypatch):
    """As when the file of a script is changed while it runs."""
    monkeypatch.setitem(sys.modules, "cloudpickle", None)
    function = cell("def f(v):\n    return v + 1")["f"]
    assert transfer.pack(function).kind == "source"
    lines = ["def f(v):\n", "    return v - 1\n"]
    monkeypatch.setitem(transfer.linecache.cache, function.__code__.co_filename, (9, None, lines, "f"))
    assert transfer.pack(function) is None


def test_a_helper_from_elsewhere_with_names_of_its_own_does_not_go_as_source(monkeypatch):
    """Both use a K, and not the same one."""
    monkeypatch.setitem(sys.modules, "cloudpickle", None)
    helper = cell("K = 1\ndef helper(v):\n    return v + K")["helper"]
    assert transfer.pack(cell("K = 2\ndef f(v):\n    return K * helper(v)", helper=helper)["f"]) is None


def test_a_function_of_a_module_goes_by_its_name():
    packed = transfer.pack(layer_norm)
    assert packed[:3] == ("module", "layer_norm", ("xlsr_ref.ops.norm",))
    assert transfer.unpack(packed) is layer_norm


def test_what_a_text_raises_is_told_with_its_line(tmp_path):
    path = str(tmp_path / "solution.py")
    with pytest.raises(transfer.CannotUnpack, match=r"^line 2: ModuleNotFoundError: No module named 'nosuch'$"):
        transfer.unpack(transfer.pack_file("f", "import math\nimport nosuch\n", path))
    with pytest.raises(transfer.CannotUnpack, match=r"^line 1: SystemExit: 4$"):
        transfer.unpack(transfer.pack_file("f", "raise SystemExit(4)\n", path))


def test_a_file_finds_its_neighbours(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "path", list(sys.path))
    (tmp_path / "my_neighbour_of_the_test.py").write_text("ONE = 1\n", encoding="utf-8")
    text = "from my_neighbour_of_the_test import ONE\n\ndef f(v):\n    return v + ONE\n"
    assert transfer.unpack(transfer.pack_file("f", text, str(tmp_path / "solution.py")))(1) == 2
