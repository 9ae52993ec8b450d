"""Long recordings in chunks: do seconds grow with the length, does memory not, and how do the words change?

    python tests/benchmarks/long_audio.py 5 60                        # minutes of audio
    python tests/benchmarks/long_audio.py 5 60 --model FOLDER --folder /tmp/long

The recordings are FLAC files of the bundled clips, again and again. Each is transcribed in a process of its own, after
one clip that is not counted; CPU seconds, of all threads, suffer less from a busy machine. Then clips joined to two
minutes, in one piece and in chunks: how many characters differ, and how many are wrong in either. Not a test.
"""

from __future__ import annotations

import argparse
import csv
import itertools
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from xlsr_ref.measure.bench.machine import describe, peak_memory  # noqa: E402

DATA, RATE = ROOT / "xlsr_ref" / "data", 16000
JOINED = 120  # seconds


def clips() -> list[tuple[Path, str, str]]:
    """The bundled clips, their languages and what is said in them."""
    with open(DATA / "clips.tsv", encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE))
    return [(DATA / row["path"], row["lang"], row["text"]) for row in rows]


def write_recording(path: Path, seconds: float) -> None:
    import soundfile

    written, sounds = 0, [soundfile.read(clip)[0] for clip, *_ in clips()]
    with soundfile.SoundFile(path, "w", RATE, 1) as file:
        for sound in itertools.cycle(sounds):
            file.write(sound[: round(seconds * RATE) - written])
            written += len(sound)
            if written >= seconds * RATE:
                return


def transcribe(path: Path, model_folder: Path | None, lengths: dict[str, float | None]) -> dict[str, float]:
    """In a process of its own: seconds, most bytes in memory, and words."""
    import xlsr_ref

    model = xlsr_ref.load(model_folder)
    model.transcribe(clips()[0][0], **lengths)  # compiles kernels, maps the weights
    start, cpu_start = time.perf_counter(), time.process_time()
    words = len(model.transcribe(path, **lengths).words)
    seconds, cpu = time.perf_counter() - start, time.process_time() - cpu_start
    return {"seconds": seconds, "cpu": cpu, "memory": peak_memory() or 0, "words": words}


def measure(minutes: list[float], folder: Path) -> None:
    first: dict[str, float] = {}
    for length in minutes:
        path = folder / f"{length:g}-minutes.flac"
        if not path.exists():
            write_recording(path, 60 * length)
        done = subprocess.run([sys.executable, *sys.argv, "--worker", str(path)], stdout=subprocess.PIPE, check=True)
        found = json.loads(done.stdout.splitlines()[-1])
        first = first or {**found, "minutes": length}
        growth = found["cpu"] / first["cpu"] / (length / first["minutes"])
        print(
            f"  {length:5g} min  {found['seconds']:7.1f} s, {60 * length / found['seconds']:5.1f} x real time"
            f"  CPU {found['cpu']:7.1f} s ({growth:.2f} of linear)"
            f"  at most {found['memory'] / 1e6:6.0f} MB ({found['memory'] / first['memory']:.2f})",
            flush=True,
        )


def compare(model_folder: Path | None, lengths: dict[str, float | None]) -> None:
    """Clips of all languages in turn, and of one language after the other."""
    import xlsr_ref
    from weights_tools.evaluate_model import edit_distance
    from xlsr_ref import audio

    model, everything = xlsr_ref.load(model_folder), clips()
    print(f"\n  clips joined to {JOINED} s  differ   wrong: in one piece  in chunks  each clip alone")
    for language in ("all", *sorted({lang for _, lang, _ in everything})):
        some = itertools.cycle(clip for clip in everything if language in ("all", clip[1]))
        sounds, said = [], []
        while sum(map(len, sounds)) < JOINED * RATE:
            path, _, text = next(some)
            sounds.append(audio.read(path, RATE))
            said.append(text)
        joined, truth = np.concatenate(sounds), " ".join(said)
        whole = model.transcribe(joined, RATE, chunk_seconds=0).text
        cut = model.transcribe(joined, RATE, **lengths).text
        apart = " ".join(transcript.text for transcript in model.transcribe(sounds, RATE))
        wrong = [edit_distance(text, truth) / len(truth) for text in (whole, cut, apart)]
        differ = edit_distance(cut, whole) / len(whole)
        print(f"  {language:20}  {differ:6.1%}  {wrong[0]:19.1%}  {wrong[1]:9.1%}  {wrong[2]:15.1%}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("minutes", type=float, nargs="+", help="lengths of audio")
    parser.add_argument("--model", type=Path, help="a model's folder (default: the bundled model)")
    parser.add_argument("--folder", type=Path, help="where the recordings are kept (default: a temporary folder)")
    parser.add_argument("--chunk", type=float, help="seconds (default: as transcribe has it)")
    parser.add_argument("--stride", type=float, help="seconds (default: as transcribe has it)")
    parser.add_argument("--worker", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    lengths = {"chunk_seconds": args.chunk, "stride_seconds": args.stride}
    if args.worker:
        print(json.dumps(transcribe(args.worker, args.model, lengths)))
        return
    about = describe(["numpy", "numba"])
    print(f"{about['cpu']}, {about['usable_cores']} cores, load {about['load']} at the start")
    with tempfile.TemporaryDirectory() as temporary:
        folder = args.folder or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        measure(args.minutes, folder)
    compare(args.model, lengths)


if __name__ == "__main__":
    main()
