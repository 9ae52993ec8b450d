"""``xlsr-ref listen``: what is said, while it is said, from a microphone or from a file played as if from one."""

from __future__ import annotations

import argparse
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from xlsr_ref.cli.options import add_model, load_model
from xlsr_ref.cli.say import STYLE, WrongUsage, note, say, status_line
from xlsr_ref.cli.transcribe import SUFFIXES, add_search, hotwords_of, searches

if TYPE_CHECKING:
    from xlsr_ref.audio.live import LiveSound
    from xlsr_ref.model.stream import Stream
    from xlsr_ref.text.transcript import Transcript

LATE = 5.0  # seconds of sound that wait: then the model is too slow for this machine
TAIL = 70  # characters of the text that may still change


def add(commands: Any) -> None:
    p = commands.add_parser(
        "listen",
        usage="xlsr-ref listen [options]",
        description="Write down what is said while it is said, until Ctrl-C. Words are printed once they\n"
        "are final; a terminal also shows, below them, the words that may still change.",
        epilog="examples:\n"
        "  xlsr-ref listen -o talk.srt\n"
        "  xlsr-ref listen --file talk.wav   # a recording, at the speed of speech\n"
        "python -m sounddevice lists the microphones.",
        **STYLE,
    )
    p.add_argument("--device", metavar="NAME", help="microphone: its number, or a part of its name")
    p.add_argument("--file", metavar="FILE", dest="file", help="listen to this recording instead")
    p.add_argument(
        "--speed", metavar="X", type=float, default=1.0, help="with --file: how many times as fast (default: 1)"
    )
    p.add_argument("-o", "--output", metavar="FILE", help="write the whole text at the end: .srt, .json …")
    p.add_argument("--chunk", metavar="SEC", type=float, help="length of sound computed at once (default: 6)")
    p.add_argument("--stride", metavar="SEC", type=float, help="context on each side of it (default: a third)")
    add_search(p)
    add_model(p)
    p.set_defaults(call=run)


def run(arguments: argparse.Namespace) -> int:
    """Print what becomes final, as it does."""
    from xlsr_ref.audio.live import Microphone, Player
    from xlsr_ref.files import write_whole
    from xlsr_ref.text.formats import format_transcript
    from xlsr_ref.untrusted import plain

    form = format_of(arguments.output)
    searches(arguments)
    if arguments.file is None and arguments.speed != 1:
        raise WrongUsage("--speed is for --file: a microphone has its own")
    if arguments.file is not None and arguments.device is not None:
        raise WrongUsage("give --device or --file, and not both")
    device = arguments.device
    usual = 16000  # of nearly all models: a microphone that is not there is told before the model is loaded
    sound: LiveSound
    if arguments.file is not None:
        sound = Player(arguments.file, usual, arguments.speed)
    else:
        sound = Microphone(usual, int(device) if device is not None and device.isdecimal() else device)
    transcript = heard(stream_of(arguments, sound.sampling_rate), sound)
    if arguments.output is not None:
        write_whole(Path(arguments.output), plain(format_transcript(transcript, form, Path(arguments.output).stem)))
    return 0


def format_of(output: str | None) -> str:
    """The format of a file, by the end of its name. Raises WrongUsage."""
    forms = {suffix.lower(): form for form, suffix in SUFFIXES.items()}
    suffix = ".txt" if output is None else Path(output).suffix.lower()
    if suffix not in forms:
        raise WrongUsage(f"--output {output}: its name should end in one of {', '.join(SUFFIXES.values())}")
    return forms[suffix]


def stream_of(arguments: argparse.Namespace, sampling_rate: int) -> Stream:
    """The model, ready to listen. Raises XlsrError."""
    from xlsr_ref.model.stream import CHUNK
    from xlsr_ref.text.search.beam import WIDTH

    model = load_model(arguments)
    how: dict[str, Any] = {}
    if searches(arguments):
        weights = {"alpha": arguments.alpha, "beta": arguments.beta}
        how["beam"] = model.search(
            arguments.beam or WIDTH, arguments.lm, hotwords_of(arguments.hotwords or ""), **weights
        )
    chunk = CHUNK if arguments.chunk is None else arguments.chunk
    stream = model.stream(sampling_rate, chunk_seconds=chunk, stride_seconds=arguments.stride, **how)
    note(f"a word is final {stream.context:.1f} to {stream.latency:.1f} s after it was said")
    return stream


def heard(stream: Stream, sound: LiveSound) -> Transcript:
    """Listen until the sound ends or Ctrl-C, and print what is final. Raises AudioError."""
    told, notes = (
        "",
        {
            "this machine computes slower than people speak: give a longer --chunk or a smaller model": is_late,
            "the microphone lost sound: something else keeps this machine busy": has_lost,
        },
    )
    with ctrl_c() as asked_to_end, sound:
        for samples in sound:
            so_far = stream.feed(samples)
            if len(so_far.final) > len(told):
                status_line("")
                say(so_far.final[len(told) :].strip() + "\n")
                told = so_far.final
            status_line(so_far.text[len(told) :].strip()[-TAIL:])
            for line in [line for line, is_so in notes.items() if is_so(sound)]:
                note(line)
                del notes[line]  # each is told once
            if asked_to_end.is_set():
                break
    status_line("")
    transcript = stream.finish()
    rest = transcript.text[len(told) :].strip()
    if rest:
        say(rest + "\n")
    return transcript


def is_late(sound: LiveSound) -> bool:
    """Does more sound wait than a window takes to compute?"""
    return sound.waiting > LATE


def has_lost(sound: LiveSound) -> bool:
    """Is sound missing?"""
    return sound.lost > 0


@contextmanager
def ctrl_c() -> Iterator[threading.Event]:
    """Inside, the first Ctrl-C sets the event, and the second one interrupts as usual."""
    asked = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield asked
        return
    before = signal.getsignal(signal.SIGINT)

    def answer(number: int, frame: Any) -> None:
        asked.set()
        signal.signal(signal.SIGINT, before)

    signal.signal(signal.SIGINT, answer)
    try:
        yield asked
    finally:
        signal.signal(signal.SIGINT, before)
