"""What is read of files that nobody has checked, and what is shown of them."""

import gzip
import io
import json
import os
import socket
import threading

import pytest

from xlsr_ref import untrusted
from xlsr_ref.errors import ConfigError, XlsrError
from xlsr_ref.untrusted import (
    decode,
    lines,
    listed,
    one_line,
    opened,
    parse_json,
    plain,
    read_bytes,
    read_json,
    read_text,
    read_toml,
    shown,
    text_lines,
    whole_number,
)


def refused(act, *arguments, **named):
    with pytest.raises(ConfigError) as raised:
        act(*arguments, ConfigError, **named)
    message = str(raised.value)
    assert "\n" not in message
    assert 0 < len(message) < 1000
    return message


# --- what is shown ---------------------------------------------------------------------------------------------------

CONTROL = [*range(32), 127, *range(128, 160), 0x2028, 0x2029, *range(0x202A, 0x202F), *range(0x2066, 0x206A)]


def test_control_characters_are_spelled_out():
    for code in CONTROL:
        if chr(code) in "\n\t":
            assert plain(f"a{chr(code)}b") == f"a{chr(code)}b"
        else:
            assert plain(f"a{chr(code)}b") == f"a\\u{code:04x}b"
        assert one_line(chr(code)).isprintable()


def test_text_stays_as_it_is():
    text = "größer 的 שלום می\u200cخواهم नमस्ते 👩\u200d🚀 e\u0301 \u00a0\u200e"
    assert plain(text) == one_line(text) == text


def test_json_stays_valid_and_says_the_same():
    value = {"text": "".join(map(chr, CONTROL))}
    for ascii_only in (True, False):
        written = plain(json.dumps(value, ensure_ascii=ascii_only, indent=2))
        assert json.loads(written) == value
        assert not any(chr(code) in written for code in CONTROL if chr(code) not in "\n\t")


def test_names():
    assert shown("a b.wav") == "a b.wav"
    assert shown("a\x1b.wav") == r"'a\x1b.wav'"
    assert shown(b"a\xff") == r"'a\udcff'"
    assert shown("") == "''"
    assert len(shown("x" * 100_000)) < 400


# --- files -----------------------------------------------------------------------------------------------------------


def test_what_is_no_file(tmp_path):
    assert refused(read_bytes, tmp_path / "none").endswith("none is missing")
    assert refused(read_bytes, tmp_path).endswith("is a folder, not a regular file")
    assert "cannot be read" in refused(read_bytes, "a\0b")
    assert "cannot be read" in refused(read_bytes, tmp_path / ("x" * 5000))
    if os.path.exists("/dev/zero"):
        assert refused(read_bytes, "/dev/zero", pipes=True) == "/dev/zero is not a regular file"


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="named pipes are POSIX")
def test_a_pipe_is_read_only_where_somebody_named_it(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    assert refused(read_json, tmp_path / "pipe").endswith("is not a regular file")
    writer = threading.Thread(target=lambda: (tmp_path / "pipe").write_bytes(b"hello"))
    writer.start()
    assert read_text(tmp_path / "pipe", ConfigError, pipes=True) == "hello"
    writer.join()


@pytest.mark.skipif(not hasattr(socket, "AF_UNIX"), reason="needs Unix sockets")
def test_a_socket(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with socket.socket(socket.AF_UNIX) as place:
        place.bind("s")
        assert refused(read_json, "s") == "s is not a regular file"


def test_a_file_that_is_too_large_is_not_read(tmp_path):
    with open(tmp_path / "x", "wb") as file:
        file.truncate(1 << 40)
    assert "has 1,099,511,627,776 bytes, more than any such file needs" in refused(read_bytes, tmp_path / "x")


# --- JSON ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (b'{"a": NaN}', "NaN is not JSON"),
        (b'{"a": -Infinity}', "-Infinity is not JSON"),
        (b'{"a": 1e999}', "the number '1e999' is too large"),
        (b'{"a": -1' + b"0" * 400 + b".5}", "is too large"),
        (b'{"a": ' + b"9" * 5000 + b"}", "a whole number has 5,000 digits"),
        (b'{"a": 1, "a": 1}', "the key 'a' stands twice"),
        (b'{"a": ' + b"[" * 3000 + b"]" * 3000 + b"}", "nested too deeply, in more than 100 levels"),
        (b'{"a":' * 3000, "nested too deeply"),
        (b'{"a": "\\ud800"}', "half of a surrogate pair"),
        (b'{"a\xff": 1}', "not UTF-8 text: byte 3 is 0xff"),
        (b"[1]", "must hold a JSON object, found [1]"),
    ],
)
def test_json_that_is_refused(text, said):
    assert said in refused(lambda text, error: parse_json(text, "x.json", error), text)


def test_json_that_is_read():
    deep = b"[" * 99 + b"]" * 99
    assert parse_json(b'\xef\xbb\xbf{"a": ' + deep + b"}", "x", ConfigError)
    assert parse_json(b'{"' + b"[" * 5000 + b'": "{{{\\"[' + b"{" * 5000 + b'"}', "x", ConfigError)
    assert parse_json(b'{"a": 1e308, "b": -0}', "x", ConfigError) == {"a": 1e308, "b": 0.0}
    assert parse_json(b'{"a": Infinity}', "x", ConfigError, finite=False) == {"a": float("inf")}


# --- TOML ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a = " + "[" * 3000, "nested too deeply"),
        ("a = " + "{a = " * 3000, "nested too deeply"),
        ("a." * 3000 + "b = 1", "nested too deeply"),  # tomllib's memory grows with the square
        ("[" + "a." * 3000 + "b]", "nested too deeply"),
        ("a = " + "9" * 5000, "a number has too many digits"),
        ("a = 0x" + "f" * 5000, "a whole number of more than 300 digits"),
        ("a = ", "is not TOML"),
        ("# " + "x" * 2**18, "more than any such file needs"),
    ],
)
def test_toml_that_is_refused(tmp_path, text, said):
    (tmp_path / "x.toml").write_text(text)
    assert said in refused(read_toml, tmp_path / "x.toml")


def test_toml_that_is_read(tmp_path):
    (tmp_path / "x.toml").write_text('\ufeffa = [1.5, "' + "a. " * 100 + '"]  # ' + "." * 200 + "\n")
    assert read_toml(tmp_path / "x.toml", ConfigError) == {"a": [1.5, "a. " * 100]}


# --- lines -----------------------------------------------------------------------------------------------------------


def test_lines(tmp_path):
    content = "\ufeffché\r\n\nb".encode()
    assert list(lines(io.BytesIO(content), "x", ConfigError)) == [(1, "ché\r\n".encode()), (2, b"\n"), (3, b"b")]
    assert list(text_lines(io.BytesIO(content), "x", ConfigError)) == [(1, "ché\r\n"), (2, "\n"), (3, "b")]


def test_a_line_that_does_not_end(monkeypatch):
    monkeypatch.setattr(untrusted, "LONGEST_LINE", 10)
    assert len(list(lines(io.BytesIO(b"a\n" + b"b" * 9 + b"\n"), "x", ConfigError))) == 2
    with pytest.raises(ConfigError, match="x, line 2: it has more than 10 bytes"):
        list(lines(io.BytesIO(b"a\n" + b"b" * 10 + b"\n"), "x", ConfigError))


def test_very_many_empty_lines(monkeypatch):
    monkeypatch.setattr(untrusted, "MOST_EMPTY", 3)
    assert len(list(lines(io.BytesIO(b"a\n\n \n\nb\n\n\n\n"), "x", ConfigError))) == 8
    with pytest.raises(ConfigError, match="x, line 5: more than 3 lines in a row are empty"):
        list(lines(io.BytesIO(b"a" + b"\n" * 5), "x", ConfigError))


def test_lines_that_are_no_text():
    with pytest.raises(ConfigError, match="x, line 2: this is no text: it has null bytes"):
        list(text_lines(io.BytesIO(b"a\n\0"), "x", ConfigError))
    with pytest.raises(ConfigError, match="x, line 2: is not UTF-8 text: byte 1 is 0xff"):
        list(text_lines(io.BytesIO(b"a\nb\xff"), "x", ConfigError))


def test_packed_lines(tmp_path, monkeypatch):
    (tmp_path / "x").write_bytes(gzip.compress(b"a\nb\n" * 1000))
    with opened(tmp_path / "x", ConfigError) as file:
        assert len(list(lines(file, "x", ConfigError))) == 2000
    monkeypatch.setattr(untrusted, "UNPACKED", (2, 100))
    with (
        pytest.raises(ConfigError, match="unpacks to far more than its size"),
        opened(tmp_path / "x", ConfigError) as file,
    ):
        list(lines(file, "x", ConfigError))


@pytest.mark.parametrize("part", [5, 12, -9])
def test_a_packed_file_that_is_cut_short(tmp_path, part):
    (tmp_path / "x").write_bytes(gzip.compress(b"a\nb\n" * 1000)[:part])
    with pytest.raises(ConfigError, match="ends early or is damaged"), opened(tmp_path / "x", ConfigError) as file:
        list(lines(file, "x", ConfigError))


def test_whole_numbers():
    assert whole_number("12") == whole_number(b" 12 ") == 12
    for text in ("", "-1", "1.0", "9" * 19, "9" * 5000, "٣", "²", "1_0", b"\xb2"):
        assert whole_number(text) is None


def test_decoding():
    assert decode("\ufeffé".encode(), "x", XlsrError) == "é"


def test_long_lists_of_names_are_cut():
    assert listed("abc") == "a, b, c"
    assert listed([str(n) for n in range(20)]) == "0, 1, 2, 3, 4, 5, 6, 7 and 12 more"
    assert listed(["a\nb", ""]) == r"'a\nb', ''"
