"""The source of a function, as it is shown."""

import inspect
import re
import sys
from html import unescape

import numpy as np
import pytest
from matplotlib.colors import to_rgb

from xlsr_ref.ops import norm
from xlsr_ref.teach import check, show
from xlsr_ref.teach.show import code
from xlsr_ref.untrusted import shown


def test_outside_a_notebook_it_is_printed(capsys):
    show.source(norm.layer_norm)
    assert capsys.readouterr().out == f"# xlsr_ref/ops/norm.py\n{inspect.getsource(norm.layer_norm)}"


def test_a_function_of_a_file_at_the_root_has_its_file_too(capsys):
    show.source(shown)
    assert capsys.readouterr().out.startswith("# xlsr_ref/untrusted.py\ndef shown(")


def test_a_compiled_kernel_is_shown_as_it_was_written(capsys):
    show.source(norm._layer_norm_loop)
    lines = capsys.readouterr().out.splitlines()
    assert lines[:2] == ["# xlsr_ref/ops/norm.py", "@njit(**REORDER)"]
    assert lines[-1].endswith("= y[t, c] * weight[c] + bias[c]")


def test_a_changed_function_says_so(capsys):
    show.source(check.changed(norm._layer_norm_numpy, "x - mean", "x + mean"))
    out = capsys.readouterr().out
    assert out.startswith("# xlsr_ref/ops/norm.py, changed\ndef _layer_norm_numpy(")
    assert "x + mean" in out


def test_a_function_of_the_reader_has_no_file(capsys):
    class Inside:
        def method(self):
            return 1

    show.source(Inside.method)
    assert capsys.readouterr().out == "def method(self):\n    return 1\n"


def words_of(html):
    return unescape(re.sub("<[^>]*>", "", html))


def test_in_a_notebook_it_is_html_that_sets_no_background(monkeypatch, capsys):
    found = []
    monkeypatch.setattr(code, "in_notebook", lambda: True)
    monkeypatch.setattr(code, "display", found.append)
    show.source(norm.layer_norm)
    assert capsys.readouterr().out == ""
    html = found[0]._repr_html_()
    assert words_of(html) == repr(found[0]) == code.text_of(norm.layer_norm)
    assert "background" not in html
    assert re.search(r'<span style="color: #1[Ff]78[Bb]4; font-weight: bold">def</span>', html)


def test_without_pygments_it_is_plain(monkeypatch):
    monkeypatch.setitem(sys.modules, "pygments", None)
    assert code.Code("a < b")._repr_html_() == '<pre style="font-family: monospace; line-height: 1.4">a &lt; b</pre>'


def test_the_colours_read_on_white_and_on_black():
    for tone in code.TONES.values():
        for colour in re.findall("#[0-9a-f]{6}", tone):
            values = np.array(to_rgb(colour))
            light = np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)
            luminance = light @ [0.2126, 0.7152, 0.0722]
            assert 1.05 / (luminance + 0.05) > 4.2, colour
            assert (luminance + 0.05) / 0.05 > 4.2, colour


def test_what_has_no_source_is_refused():
    with pytest.raises(TypeError):
        show.source(len)
