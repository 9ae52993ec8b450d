"""The recipe of the bundled model: train a small CTC model with torch and transformers.

    python -m weights_tools.train_small_ctc --corpus CORPUS --out FOLDER --hours 3 [--init CHECKPOINT] [--resume]

This is another toolkit at work, on purpose: it makes a real trained checkpoint by code that shares nothing with
xlsr_ref. OUT/best holds the weights with the smallest mean error on the dev split, OUT/last the newest with the
optimizer's state. The learning rate follows --hours; --resume goes on with an interrupted run of the same --hours.

Without pre-training such a model likes to stay on a plateau where it only says "blank". What it took to leave it:
initializer_range 0.06, short clips first, small batches, and neither masking nor dropout before it fits.
"""

from __future__ import annotations

import argparse
import csv
import json
import random
import shutil
import time
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

PARTS = ("asterisk", "fsdd")
DIGITS_PER_EPOCH = 700  # single digits are many and easy: each epoch sees a part of them
REGULARISE_AFTER = 0.3  # fraction of the time; by then it fits, and masking and dropout are switched on
DROPOUT = 0.1
EPOCHS_PER_EVALUATION = 4
# in the config from the start, though switched on late: a model made without them has no vector to mask with
MASKING: dict[str, Any] = {"mask_time_prob": 0.10, "mask_feature_prob": 0.05}

TOKENIZER = {
    "tokenizer_class": "Wav2Vec2CTCTokenizer",
    "pad_token": "[PAD]",
    "unk_token": "[UNK]",
    "bos_token": None,
    "eos_token": None,
    "word_delimiter_token": "|",
    "do_lower_case": False,
    "replace_word_delimiter_char": " ",
}
PREPROCESSOR = {
    "feature_extractor_type": "Wav2Vec2FeatureExtractor",
    "feature_size": 1,
    "sampling_rate": 16000,
    "padding_value": 0.0,
    "do_normalize": True,
    "return_attention_mask": True,
}


class Clip(NamedTuple):
    """One recording and its transcript."""

    part: str
    lang: str
    split: str
    seconds: float
    text: str
    sound: np.ndarray  # float16, as it is kept in memory


# --- data ------------------------------------------------------------------------------------------------------------


def read_corpus(corpus: Path) -> tuple[list[Clip], dict[str, int]]:
    """The clips of the train and dev splits that are short enough, and the vocabulary of all transcripts."""
    import soundfile

    clips: list[Clip] = []
    characters: set[str] = set()
    for part in PARTS:
        with open(corpus / f"{part}.tsv", encoding="utf-8", newline="") as file:
            for row in csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE):
                characters.update(row["text"])
                seconds = float(row["seconds"])
                if row["split"] in ("train", "dev") and 0.2 < seconds < 10 and row["text"]:
                    sound, _ = soundfile.read(corpus / row["path"], dtype="float32")
                    clips.append(Clip(part, row["lang"], row["split"], seconds, row["text"], sound.astype(np.float16)))
    vocabulary = {"[PAD]": 0, "[UNK]": 1, "|": 2}
    for character in sorted(characters - {" "}):
        vocabulary.setdefault(character, len(vocabulary))
    return clips, vocabulary


def augment(sound: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The same words a little faster or slower, noisier, with silence around them."""
    speed = rng.choice([0.9, 0.95, 1, 1, 1.05, 1.1])
    if speed != 1:
        places = np.linspace(0, len(sound) - 1, int(len(sound) / speed))
        sound = np.interp(places, np.arange(len(sound)), sound).astype(np.float32)
    if rng.random() < 0.5:
        decibels = rng.uniform(15, 40)  # signal to noise
        noise = rng.standard_normal(len(sound)).astype(np.float32)
        sound = sound + noise * sound.std() * np.float32(10 ** (-decibels / 20))
    if rng.random() < 0.3:
        sound = np.pad(sound, (rng.integers(0, 4001), rng.integers(0, 4001)))
    return sound


def make_batches(clips: list[Clip], batch_seconds: float, rng: random.Random) -> list[list[Clip]]:
    """Clips of similar length together, each batch at most ``batch_seconds`` long with its padding, in random order."""
    batches: list[list[Clip]] = [[]]
    for clip in sorted(clips, key=lambda clip: clip.seconds + rng.random() * 0.5):
        batch = batches[-1]
        if batch and max(c.seconds for c in [*batch, clip]) * (len(batch) + 1) > batch_seconds:
            batches.append([])
        batches[-1].append(clip)
    rng.shuffle(batches)
    return batches


def collate(
    batch: list[Clip], vocabulary: dict[str, int], rng: np.random.Generator | None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Padded waveforms (N, L), their mask (N, L) and labels (N, S) padded with -100; augmented if ``rng`` is given."""
    sounds = [clip.sound.astype(np.float32) for clip in batch]
    if rng is not None:
        sounds = [augment(sound, rng) for sound in sounds]
    sounds = [(sound - sound.mean()) / np.sqrt(sound.var() + 1e-7) for sound in sounds]
    labels = [[vocabulary.get(c, vocabulary["[UNK]"]) for c in clip.text.replace(" ", "|")] for clip in batch]
    x = np.zeros((len(batch), max(map(len, sounds))), np.float32)
    mask = np.zeros(x.shape, np.int64)
    y = np.full((len(batch), max(map(len, labels))), -100)
    for i, (sound, label) in enumerate(zip(sounds, labels)):
        x[i, : len(sound)], mask[i, : len(sound)], y[i, : len(label)] = sound, 1, label
    return x, mask, y


# --- model -----------------------------------------------------------------------------------------------------------


def new_model(vocabulary: dict[str, int]) -> Any:
    """XLSR's family, small: 2.9 million random weights."""
    from transformers import Wav2Vec2Config, Wav2Vec2ForCTC

    config = Wav2Vec2Config(
        # the shape
        hidden_size=192,
        num_hidden_layers=6,
        num_attention_heads=4,
        intermediate_size=768,
        conv_dim=(64,) * 7,
        conv_bias=True,
        feat_extract_norm="layer",
        do_stable_layer_norm=True,
        num_conv_pos_embeddings=64,
        num_conv_pos_embedding_groups=16,
        num_codevectors_per_group=64,
        codevector_dim=96,
        proj_codevector_dim=96,
        # the text
        vocab_size=len(vocabulary),
        pad_token_id=0,
        bos_token_id=None,
        eos_token_id=None,
        ctc_loss_reduction="mean",
        ctc_zero_infinity=True,
        # the training: nothing is dropped or masked until it fits
        initializer_range=0.06,
        apply_spec_augment=False,
        **MASKING,
        mask_time_length=6,
        mask_feature_length=8,
        layerdrop=0.0,
        hidden_dropout=0.0,
        attention_dropout=0.0,
        activation_dropout=0.0,
        feat_proj_dropout=0.0,
        final_dropout=0.0,
    )
    return Wav2Vec2ForCTC(config)


def regularise(model: Any) -> None:
    """Switch on what keeps a model that fits from learning by heart: spans masked in time and channel, and dropout."""
    import torch

    model.config.apply_spec_augment = True
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = DROPOUT
    for layer in model.wav2vec2.encoder.layers:
        layer.attention.dropout = DROPOUT  # a number, not a module


def save(model: Any, vocabulary: dict[str, int], state: dict, optimizer: Any, folder: Path) -> None:
    """Write a checkpoint folder under another name first, so that ``folder`` is never half-written."""
    import torch

    new, old = folder.with_name(folder.name + ".new"), folder.with_name(folder.name + ".old")
    shutil.rmtree(new, ignore_errors=True)
    model.save_pretrained(new)
    torch.save({"optimizer": optimizer.state_dict(), **state}, new / "optimizer.pt")
    files = {
        "vocab.json": vocabulary,
        "tokenizer_config.json": TOKENIZER,
        "special_tokens_map.json": {"pad_token": "[PAD]", "unk_token": "[UNK]"},
        "preprocessor_config.json": PREPROCESSOR,
    }
    for name, content in files.items():
        (new / name).write_text(json.dumps(content, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    shutil.rmtree(old, ignore_errors=True)
    if folder.exists():
        folder.rename(old)
    new.rename(folder)
    shutil.rmtree(old, ignore_errors=True)


# --- error on the dev split ------------------------------------------------------------------------------------------


def greedy(ids: list[int], vocabulary: dict[str, int]) -> str:
    """The most likely token of each frame, repeats merged, blanks (id 0) dropped."""
    tokens = {index: token for token, index in vocabulary.items()}
    kept = [tokens[i] for t, i in enumerate(ids) if i and (t == 0 or i != ids[t - 1])]
    return "".join(kept).replace("|", " ").strip()


def dev_errors(model: Any, batches: list[list[Clip]], vocabulary: dict[str, int]) -> dict[str, float]:
    """Character error rate per part and language."""
    import torch

    from weights_tools.evaluate_model import edit_distance

    edits: dict[str, int] = {}
    characters: dict[str, int] = {}
    model.eval()
    with torch.inference_mode():
        for batch in batches:
            x, mask, _ = map(torch.from_numpy, collate(batch, vocabulary, None))
            ids = model(x, attention_mask=mask).logits.argmax(-1).tolist()
            frames = model._get_feat_extract_output_lengths(mask.sum(1)).tolist()
            for clip, row, count in zip(batch, ids, frames):
                key = f"{clip.part}-{clip.lang}"
                edits[key] = edits.get(key, 0) + edit_distance(greedy(row[:count], vocabulary), clip.text)
                characters[key] = characters.get(key, 0) + len(clip.text)
    model.train()
    return {key: round(edits[key] / characters[key], 3) for key in sorted(edits)}


# --- training --------------------------------------------------------------------------------------------------------


def learning_rate(peak: float, step: int, done: float) -> float:
    """Up over 150 steps, flat until half of the time is ``done``, then down to 2 % of the peak."""
    return peak * min(1, (step + 1) / 150) * (1 if done < 0.5 else max(0.02, (1 - done) / 0.5))


def longest_clip(done: float, has_init: bool) -> float:
    """Seconds: a model that starts from nothing learns from single words first."""
    if has_init or done > 0.35:
        return 10
    return 3.5 if done > 0.18 else 1.3


def train(chosen: argparse.Namespace) -> None:
    """Train until the hours are over."""
    import torch
    from transformers import Wav2Vec2ForCTC, set_seed

    set_seed(0)  # torch draws dropout and transformers its masks from global generators
    shuffle, noise = random.Random(0), np.random.default_rng(0)
    chosen.out.mkdir(parents=True, exist_ok=True)
    clips, vocabulary = read_corpus(chosen.corpus)
    dev = [clip for clip in clips if clip.split == "dev"]

    start = chosen.out / "last" if chosen.resume else chosen.init
    model = Wav2Vec2ForCTC.from_pretrained(start, dtype=torch.float32, **MASKING) if start else new_model(vocabulary)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1, betas=(0.9, 0.98), weight_decay=0.01)
    step, seconds_before, best = 0, 0.0, float("inf")
    if chosen.resume:
        state = torch.load(start / "optimizer.pt")
        optimizer.load_state_dict(state["optimizer"])
        step, seconds_before, best = state["step"], state["elapsed"], state["best"]

    started, end = time.monotonic(), chosen.hours * 3600

    def elapsed() -> float:
        return seconds_before + time.monotonic() - started

    model.config.apply_spec_augment = False
    model.train()
    epoch, regularised = 0, False
    while elapsed() < end:
        epoch += 1
        losses = []
        done = elapsed() / end
        if done > REGULARISE_AFTER and not regularised:
            regularise(model)
            regularised = True
            print(f"masking and dropout {DROPOUT} are on", flush=True)
        longest = longest_clip(done, has_init=chosen.init is not None)
        usable = [clip for clip in clips if clip.split == "train" and clip.seconds < longest]
        digits = [clip for clip in usable if clip.part == "fsdd"]
        chosen_clips = [clip for clip in usable if clip.part == "asterisk"]
        chosen_clips += shuffle.sample(digits, min(DIGITS_PER_EPOCH, len(digits)))
        for batch in make_batches(chosen_clips, chosen.batch_seconds, shuffle):
            rate = learning_rate(chosen.lr, step, min(1, elapsed() / end))
            for group in optimizer.param_groups:
                group["lr"] = rate
            x, mask, y = map(torch.from_numpy, collate(batch, vocabulary, noise))
            loss = model(x, attention_mask=mask, labels=y).loss
            optimizer.zero_grad()
            loss.backward()
            if torch.isfinite(torch.nn.utils.clip_grad_norm_(model.parameters(), 5.0)):
                optimizer.step()
            step += 1
            losses.append(loss.item())
            if elapsed() > end:
                break
        print(f"epoch {epoch} step {step} {elapsed():.0f} s loss {np.mean(losses):.3f} rate {rate:.1e}", flush=True)
        if epoch % EPOCHS_PER_EVALUATION == 0 or elapsed() > end:
            errors = dev_errors(model, make_batches(dev, chosen.batch_seconds, shuffle), vocabulary)
            mean = sum(errors.values()) / len(errors)
            print(f"  dev character error rate {errors} mean {mean:.3f}", flush=True)
            improved, best = mean < best, min(mean, best)
            state = {"step": step, "elapsed": elapsed(), "best": best}
            for name in ["best", "last"] if improved else ["last"]:
                save(model, vocabulary, state, optimizer, chosen.out / name)


def main(arguments: list[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--corpus", type=Path, required=True, help="the folder with asterisk.tsv and fsdd.tsv")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--hours", type=float, required=True)
    parser.add_argument("--init", type=Path, help="a checkpoint folder to start from")
    parser.add_argument("--resume", action="store_true")
    parser.add_argument("--lr", type=float, default=1e-3)
    parser.add_argument("--batch-seconds", type=float, default=20)
    train(parser.parse_args(arguments))


if __name__ == "__main__":
    main()
