"""Damaged files of every kind: each is read, or refused with one line; none takes 20 s or a GiB of memory more.

Runs in processes of their own, because a bomb or a crash would take the test runner with it. A longer campaign:
``python tests/test_untrusted_fuzz.py 10000 [first case]``; it prints each case that went wrong, and how much time and
memory the worst took. A case depends on its number alone. Checkpoints are damaged as in
checkpoint/test_readers_fuzz.
"""

from __future__ import annotations

import faulthandler
import gzip
import importlib.util
import io
import json
import os
import signal
import struct
import subprocess
import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

HERE = Path(__file__).parent
DATA = HERE.parent / "xlsr_ref" / "data"
SECONDS, MEMORY = 20, 2**30  # of one case: processor time, and memory beyond what the process has at the start
BATCH = 250  # cases of one process


def checkpoints() -> Any:
    """The tests of damaged checkpoints, as a module."""
    spec = importlib.util.spec_from_file_location("damaged", HERE / "checkpoint" / "test_readers_fuzz.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


# --- what is damaged, and who reads it -------------------------------------------------------------------------------

WORDS = "\n".join(f"-{i}.5\tword{i}\t-0.{i}" for i in range(9))
PAIRS = "-1\tword1 word2\n-2\tword3 word4"
ARPA = f"\\data\\\nngram 1=9\nngram 2=2\n\n\\1-grams:\n{WORDS}\n\n\\2-grams:\n{PAIRS}\n\n\\end\\\n"
LM = {
    "alphabet.json": b'{"labels": ["", "a", "b", " ", "[UNK]"], "is_bpe": false}',
    "language_model/attrs.json": b'{"alpha": 0.5, "beta": 1.5, "unk_score_offset": -10.0, "score_boundary": true}',
    "language_model/unigrams.txt": b"ab\nba\nbb\n",
    "language_model/2gram.arpa": ARPA.encode(),
}
MANIFEST = "path\tlang\tspeaker\tseconds\tsplit\ttext\n" + "x\ten\ta\t1.5\ttrain\thello\n" * 5
RECIPE = b'seed = 1\n[data]\nmanifests = ["a.tsv"]\n[run]\nsteps = 5\n[[stages]]\nfirst_step = 1\nlearn = "head"\n'


def wav(riff: bytes = b"RIFF") -> bytes:
    samples = (np.sin(np.arange(4000) * 0.1) * 9000).astype("<i2").tobytes()
    n = len(samples)
    large = struct.pack("<4sIQQQI", b"ds64", 28, 72 + n, n, n // 2, 0) if riff == b"RF64" else b""
    sizes = (0xFFFFFFFF, 0xFFFFFFFF) if large else (36 + n, n)
    form = struct.pack("<HHIIHH", 1, 1, 16000, 32000, 2, 16)
    start = struct.pack("<4sI4s", riff, sizes[0], b"WAVE") + large + struct.pack("<4sI16s", b"fmt ", 16, form)
    return start + struct.pack("<4sI", b"data", sizes[1]) + samples


def sound(form: str) -> bytes:
    import soundfile

    memory = io.BytesIO()
    soundfile.write(memory, np.sin(np.arange(8000) * 0.1) / 3, 16000, format=form)
    return memory.getvalue()


def kinds() -> dict[str, tuple[dict[str, bytes], str, Callable[[Path], Any]]]:
    """Kind → the files of a folder, which of them is damaged, and what reads the folder."""

    from xlsr_ref import audio
    from xlsr_ref.audio.manifest import read_manifest
    from xlsr_ref.checkpoint.fairseq import read_dictionary
    from xlsr_ref.checkpoint.read import shards_of
    from xlsr_ref.errors import TrainingError, WeightsError
    from xlsr_ref.text.read_tokenizer import read_tokenizer
    from xlsr_ref.text.search.kneser_ney import train
    from xlsr_ref.text.search.labels import labels_of
    from xlsr_ref.text.search.lm_files import open_lm, read_lines
    from xlsr_ref.training.folder import read_metrics
    from xlsr_ref.training.recipe import read_recipe
    from xlsr_ref.untrusted import read_json as strict
    from xlsr_ref.wav2vec2.config import Config

    def tokenizer(folder: Path) -> None:
        found = read_tokenizer(folder)
        found.decode(found.encode("ab c")[:5])
        found.check_rows(5)
        labels_of(found, 5)

    def corpus(folder: Path) -> None:
        train((line.split() for line in read_lines(folder / "x.txt")), 3)

    small = {path.name: path.read_bytes() for path in (DATA / "small-ctc").iterdir() if path.suffix == ".json"}
    foreign = {path.name: path.read_bytes() for path in (HERE / "golden/foreign/fairseq_ctc").iterdir()}
    index = json.dumps({"weight_map": {f"a{i}": f"model-{i}.safetensors" for i in range(9)}}).encode()
    letters = {"x.txt": b"the cat sat on the mat\na dog sat on a log\n" * 20}
    metrics = b"".join(json.dumps({"step": i, "loss": 1.5}).encode() + b"\n" for i in range(9))
    packed = LM["language_model/2gram.arpa"]
    read_sound = lambda folder: sum(map(len, audio.pieces(folder / "x.wav", 16000)))  # noqa: E731
    table: dict[str, tuple[dict[str, bytes], str, Callable[[Path], Any]]] = {
        "config": (small, "config.json", Config.from_folder),
        "preprocessor": (small, "preprocessor_config.json", audio.Preprocessor.from_folder),
        "vocabulary": (small, "vocab.json", tokenizer),
        "tokenizer": (small, "tokenizer_config.json", tokenizer),
        **{f"lm {name}": (LM, name, open_lm) for name in LM},
        "arpa": (LM, "language_model/2gram.arpa", lambda folder: open_lm(folder / "language_model/2gram.arpa")),
        "arpa.gz": ({"x.gz": packed}, "x.gz", lambda folder: open_lm(folder / "x.gz")),
        "corpus": (letters, "x.txt", corpus),
        "manifest": ({"x": b"", "x.tsv": MANIFEST.encode()}, "x.tsv", lambda folder: read_manifest(folder / "x.tsv")),
        "recipe": ({"x.toml": RECIPE}, "x.toml", lambda folder: read_recipe(folder / "x.toml")),
        "index": ({"x.json": index}, "x.json", lambda folder: shards_of(folder / "x.json")),
        "hub": ({"x.json": small["config.json"]}, "x.json", lambda folder: strict(folder / "x.json", WeightsError)),
        "state": ({"s.json": metrics[:30]}, "s.json", lambda f: strict(f / "s.json", TrainingError, finite=False)),
        "metrics": ({"metrics.jsonl": metrics}, "metrics.jsonl", read_metrics),
    }
    table["fairseq's dictionary"] = (foreign, "dict.ltr.txt", lambda folder: read_dictionary(folder / "dict.ltr.txt"))
    sounds = {
        "WAV": wav(),
        "RF64": wav(b"RF64"),
        **{form: sound(form) for form in ("FLAC", "OGG", "AIFF", "W64", "AU")},
    }
    return table | {form: ({"x.wav": content}, "x.wav", read_sound) for form, content in sounds.items()}


# --- damage ----------------------------------------------------------------------------------------------------------

BOMBS = [
    *(b"[" * 3000, b'{"a":' * 3000, b"[" * 3000 + b"]" * 3000, b"a." * 3000 + b"b = 1\n", b"[[a]]\n" * 500),
    *(b"9" * 5000, b"1e999", b"NaN", b"-Infinity", b"0" * 400, b"1" + b"0" * 400, b"ngram 1=" + b"9" * 5000 + b"\n"),
    *(
        b"x" * (3 << 20),
        b"\n" * 100_000,
        b"a " * 200_000,
        b"a\n" * 200_000,
        b'"\\ud800"',
        b"\0",
        b"\xff",
        b"\xef\xbb\xbf",
    ),
    *(b"\xff\xff\xff\xff", b"\0\0\0\0", b"\xff\xff\xff\x7f", b"\x1b[2J", "\u202e".encode(), b'"a": 1, "a": 1,'),
]


def mutate(data: bytes, draw: np.random.Generator) -> bytes:
    """``data`` with one to four changes."""
    changed = bytearray(data)
    for _ in range(int(draw.choice([1, 1, 2, 3, 4]))):
        at, how = int(draw.integers(len(changed) + 1)), draw.integers(7)
        if how == 0 and at < len(changed):
            changed[at] = int(draw.integers(256))
        elif how == 1:
            del changed[at : at + int(draw.integers(1, 40))]
        elif how == 2:
            begin = int(draw.integers(len(data)))
            changed[at:at] = data[begin : begin + int(draw.integers(1, 200))] * int(draw.choice([1, 1, 1000]))
        elif how == 3 and draw.random() < 0.3:
            del changed[at:]
        else:
            bomb = BOMBS[int(draw.integers(len(BOMBS)))]
            changed[at : at + (len(bomb) if draw.random() < 0.5 else 0)] = bomb
    return bytes(changed)


def packed(data: bytes, draw: np.random.Generator) -> bytes:
    """Damaged and packed, or packed and damaged; or a bomb of many short lines."""
    if draw.random() < 0.1:
        return gzip.compress(b"\\data\\\n" + b"\n" * int(draw.integers(1 << 24, 1 << 28)), 1)
    if draw.random() < 0.6:
        return gzip.compress(mutate(data, draw), 1)
    return mutate(gzip.compress(data), draw)


# --- the campaign ----------------------------------------------------------------------------------------------------


def run(first: int, cases: int) -> int:
    """Run the cases in this process, print what went wrong, the counts and the worst; how many went wrong."""
    from xlsr_ref.errors import WeightsError, XlsrError

    warnings.simplefilter("ignore")
    damaged, texts = checkpoints(), kinds()
    seeds = {reader: path.read_bytes() for reader, path in damaged.SEEDS.items()}
    places = {reader: damaged.structure(path) for reader, path in damaged.SEEDS.items()}
    names = [*texts, *seeds]
    limit_memory()
    counts: Counter[str] = Counter()
    slowest, wrong = (0.0, ""), 0
    for case in range(first, first + cases):
        draw, name = np.random.default_rng(case), names[case % len(names)]
        with tempfile.TemporaryDirectory() as made:
            read = prepare(Path(made), name, draw, texts, damaged, seeds, places)
            damaged._watch(SECONDS)
            began = time.process_time()
            try:
                refusal = isinstance(outcome := read(), str) and outcome != "read"  # a checkpoint's, which is checked
                counts[f"{name}: {'refused' if refusal else 'read'}"] += 1
            except (XlsrError, WeightsError) as error:
                counts[f"{name}: refused"] += 1
                if "\n" in str(error) or not 0 < len(str(error)) < 5000:
                    wrong += 1
                    print(f"case {case} ({name}): not one short line: {str(error)[:300]!r}", flush=True)
            except BaseException:
                wrong += 1
                print(f"case {case} ({name}):\n{traceback.format_exc()[-2000:]}", flush=True)
            slowest = max(slowest, (time.process_time() - began, f"case {case}, {name}"))
            damaged._watch(0)
    print(json.dumps({"counts": counts, "wrong": wrong, "slowest": slowest, "peak": peak()}), flush=True)
    return wrong


def prepare(
    folder: Path, name: str, draw: np.random.Generator, texts: dict, damaged: Any, seeds: dict, places: dict
) -> Callable[[], Any]:
    """Write the damaged file of a case; what reads it."""
    if name in texts:
        files, target, read = texts[name]
        for file, content in files.items():
            (folder / file).parent.mkdir(exist_ok=True)
            (folder / file).write_bytes(content)
        (folder / target).write_bytes(
            packed(files[target], draw) if name.endswith("gz") else mutate(files[target], draw)
        )
        return lambda: read(folder)
    path, config = folder / f"x{damaged.SEEDS[name].suffix}", damaged.SEEDS[name].with_name("config.json")
    if config.exists():
        (folder / "config.json").write_bytes(config.read_bytes())
    others = list(seeds.values())
    if seeds[name][:2] == b"PK" and draw.random() < 0.5:
        path.write_bytes(damaged.rewrite(seeds[name], others, draw))
    else:
        path.write_bytes(damaged.mutate(seeds[name], places[name], others, draw))
    return lambda: damaged.one(name, path)


def limit_memory() -> None:
    if sys.platform == "linux":
        import resource

        now = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (now + MEMORY, now + MEMORY))
    faulthandler.enable()


def peak() -> float:
    """MiB of memory that this process has used at most; 0 where the system does not say."""
    if sys.platform != "linux":
        return 0.0
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM"))


def campaign(first: int, cases: int) -> int:
    """All cases, BATCH in a process, and a summary; how many went wrong."""
    counts: Counter[str] = Counter()
    slowest, most, wrong = [0.0, ""], 0.0, 0
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(HERE.parent)}
    for begin in range(first, first + cases, BATCH):
        command = [sys.executable, __file__, "batch", str(begin), str(min(BATCH, first + cases - begin))]
        done = subprocess.run(command, capture_output=True, text=True, env=environment)
        *said, last = done.stdout.splitlines() or [""]
        if not last.startswith('{"counts"'):  # it was ended
            wrong += 1
            print(f"the cases from {begin}: status {done.returncode}\n{done.stdout}{done.stderr[-3000:]}", flush=True)
            continue
        found = json.loads(last)
        print("".join(f"{line}\n" for line in said), end="", flush=True)
        counts.update(found["counts"])
        wrong, most, slowest = wrong + found["wrong"], max(most, found["peak"]), max(slowest, found["slowest"])
    kinds_read = {name: counts[name] for name in sorted(counts)}
    print(f"{cases} cases from {first}: {kinds_read}", flush=True)
    print(f"{wrong} wrong; slowest {slowest[0]:.1f} s ({slowest[1]}); peak {most:,.0f} MiB with all that is imported")
    return wrong


def test_damaged_files_of_every_kind_are_read_or_refused():
    cases = int(os.environ.get("XLSR_REF_FUZZ", "175"))
    done = subprocess.run([sys.executable, __file__, str(cases)], capture_output=True, text=True, timeout=3000)
    assert done.returncode == 0, (done.stdout + done.stderr)[-5000:]
    assert "\n0 wrong;" in done.stdout
    for name in ("config", "vocabulary", "arpa.gz", "recipe", "manifest", "safetensors", "fairseq", "flax"):
        assert f"{name}: refused" in done.stdout  # the damage reaches each of them


def test_the_limits_are_kept():
    """A reader that takes a GiB, or runs for ever, is seen."""
    script = "import test_untrusted_fuzz as t; t.limit_memory(); bytearray(t.MEMORY)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=HERE)
    assert sys.platform != "linux" or "MemoryError" in done.stderr
    if hasattr(signal, "setitimer"):
        script = "import test_untrusted_fuzz as t; t.checkpoints()._watch(0.1)\nwhile True: pass"
        done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=HERE)
        assert done.returncode == -signal.SIGPROF


if __name__ == "__main__":
    if sys.argv[1] == "batch":
        sys.exit(min(1, run(int(sys.argv[2]), int(sys.argv[3]))))
    sys.exit(min(1, campaign(int(sys.argv[2]) if len(sys.argv) > 2 else 0, int(sys.argv[1]))))
