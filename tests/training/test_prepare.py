"""Before the first step: every way in which a corpus and a recipe do not fit is one line, and nothing is written."""

import json
import os
import shutil
from collections import Counter

import pytest
from tiny_run import HEAD, ROWS, make_corpus, recipe

from xlsr_ref.checkpoint.safetensors_file import read_arrays
from xlsr_ref.errors import ManifestError, TrainingError, XlsrError
from xlsr_ref.training.loop import batches_to_go, train
from xlsr_ref.training.prepare import prepare_run, release, with_seed


@pytest.fixture
def prepare(tmp_path):
    """prepare(task, rows, text of the recipe, …): the run, and what was said."""
    begun = []

    def call(task="finetune", rows=ROWS, text=None, resume=False, **changes):
        make_corpus(tmp_path / "corpus", rows)
        (tmp_path / "tiny.toml").write_text(text or recipe(**changes))
        said = []
        run = prepare_run(task, tmp_path / "tiny.toml", tmp_path / "run", tmp_path / "corpus", resume, said.append)
        begun.append(run)
        return run, said

    yield call
    for run in begun:
        release(run)


def refused(prepare, tmp_path, says, kind=TrainingError, **how):
    with pytest.raises(kind, match=says) as caught:
        prepare(**how)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("text", "expected"),
    [("seed = 3\n[run]\nsteps = 1\n", "seed = 7\n[run]\nsteps = 1\n"),
     ("[run]\nsteps = 1", "seed = 7\n[run]\nsteps = 1"),
     ("# a\n seed=3 # b\n\n[a]\nseed = 1\n", "seed = 7\n# a\n\n[a]\nseed = 1\n"), ("", "seed = 7\n")],
)  # fmt: skip
def test_another_seed_is_in_the_recipe_that_is_kept(text, expected):
    assert with_seed(text, 7) == expected


def test_a_run_that_fits(prepare, tmp_path):
    run, said = prepare()
    assert said == [
        "new weights",
        "a new head for 6 tokens, drawn with seed 0",
        "3 clips to learn from, 0.0 minutes; 1 to check with",
    ]
    assert [len(ids) for ids in run.targets] == [2, 4, 1]
    assert list(run.dev) == ["tiny-en"]
    assert (tmp_path / "run" / "recipe.toml").read_text() == recipe()


def test_pre_training_needs_no_texts(prepare):
    run, said = prepare("pretrain", [(*row[:4], "") for row in ROWS])
    assert [len(ids) for ids in run.targets] == [0, 0, 0]
    assert (run.dev, run.tokenizer) == ({}, None)
    assert said == ["new weights", "3 clips to learn from, 0.0 minutes; 0 to check with"]


def test_a_list_that_is_repeated_counts_so_many_times_in_an_epoch(prepare, tmp_path):
    """Of ten clips in an epoch, three clips of the first list come three times, one of the second once."""
    lists = 'manifests = ["tiny.tsv", "more.tsv"]\nrepeat = { "tiny.tsv" = 3 }'
    make_corpus(tmp_path / "corpus")
    (tmp_path / "corpus" / "more.tsv").write_text(HEAD + "more.wav\ten\tsomebody\t0.4\ttrain\tab\n", "utf-8")
    shutil.copy(tmp_path / "corpus" / "a.wav", tmp_path / "corpus" / "more.wav")
    run, _ = prepare(text=recipe(steps=100).replace('manifests = ["tiny.tsv"]', lists))
    counts, batches = Counter(), batches_to_go(run)
    while run.place.epoch == 0:
        chosen = next(batches)
        if run.place.epoch == 0:
            counts.update(run.clips[i].path.stem for i in chosen)
    assert counts == {"a": 3, "b": 3, "c": 3, "more": 1}


def test_a_corpus_that_is_not_there(prepare, tmp_path):
    (tmp_path / "tiny.toml").write_text(recipe())
    (tmp_path / "file").touch()
    for corpus in ("nowhere", "file"):
        with pytest.raises(TrainingError, match=f"{corpus} is not a folder: give that of the corpus with --data"):
            prepare_run("finetune", tmp_path / "tiny.toml", tmp_path / "run", tmp_path / corpus, False, print)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("data", "says"),
    [
        ('manifests = ["tiny.tsv", "other.tsv"]', "other.tsv is missing"),
        ('manifests = ["tiny.tsv", "tiny.tsv"]', "data.manifests and data.unheard name 'tiny' twice"),
        ('manifests = ["tiny.tsv"]\nunheard = ["tiny.tsv"]', "data.manifests and data.unheard name 'tiny' twice"),
        ('manifests = ["tiny.tsv"]\nunheard = ["new.tsv", "more.tsv"]', "new.tsv, more.tsv is missing in .*the recipe"),
        ('manifests = ["tiny.tsv"]\ntrain = "tain"', "split data.train = 'tain', only to 'dev', 'train'"),
        ('manifests = ["tiny.tsv"]\ndev = "test"', "split data.dev = 'test', only to 'dev', 'train': name another, or"),
        (
            'manifests = ["tiny.tsv"]\nshortest = 2.0',
            "no clip of the split 'train' has 2 to 20 s, the longest has 0.5",
        ),
    ],
)
def test_splits_without_clips(prepare, tmp_path, data, says):
    text = recipe().replace('manifests = ["tiny.tsv"]', data)
    refused(prepare, tmp_path, says, XlsrError, text=text)


def with_more(tmp_path, lang, speaker, keys):
    """The corpus with a second list of one dev clip, and a recipe whose data has ``keys``."""
    corpus = make_corpus(tmp_path / "corpus")
    shutil.copy(corpus / "a.wav", corpus / "more.wav")
    (corpus / "more.tsv").write_text(HEAD + f"more.wav\t{lang}\t{speaker}\t0.4\tdev\tab\n", "utf-8")
    return recipe().replace('manifests = ["tiny.tsv"]', f'manifests = ["tiny.tsv"]\n{keys}')


def test_unheard_speakers_are_checked_and_choose_nothing(prepare, tmp_path, capsys):
    """The best step is that of the lowest dev error; the unheard group is reported in a line of its own."""
    run, said = prepare(text=with_more(tmp_path, "en", "anna", 'unheard = ["more.tsv"]'))
    assert (list(run.dev), list(run.unheard)) == (["tiny-en"], ["more-en"])
    assert said[-1] == "3 clips to learn from, 0.0 minutes; 2 to check with"
    train(run, print)
    lines = capsys.readouterr().out.splitlines()
    dev = [line.split() for line in lines if line.startswith("  dev character error rate tiny-en ")]
    assert (
        len(dev) == sum(line.startswith("  of unheard speakers character error rate more-en ") for line in lines) == 3
    )
    assert run.place.best[0] == pytest.approx(min(float(line[-1]) for line in dev), abs=1e-3)


def test_a_speaker_who_is_learnt_from_is_not_unheard(prepare, tmp_path):
    text = with_more(tmp_path, "en", "somebody", 'unheard = ["more.tsv"]')
    refused(prepare, tmp_path, "the speakers somebody are in data.unheard and are learnt from, too", text=text)


def test_a_language_without_a_clip_to_learn_from(prepare, tmp_path):
    text = with_more(tmp_path, "ro", "anna", 'unheard = ["more.tsv"]')
    refused(prepare, tmp_path, "no clip is there to learn ro from: leave it out", text=text)
    text = with_more(tmp_path, "ro", "anna", 'languages = ["en", "fi", "sv"]')
    refused(prepare, tmp_path, "no clip is there to learn fi, sv from", text=text)


@pytest.mark.parametrize("task", ["finetune", "pretrain"])
@pytest.mark.parametrize("named", [["fi"], ["en", "fi"]])
def test_a_language_that_no_clip_has(prepare, tmp_path, task, named):
    changed = f"languages = {named}".replace("'", '"')
    refused(prepare, tmp_path, "no clip is there to learn fi from: leave it out", task=task, text=recipe(data=changed))


@pytest.mark.parametrize(
    ("task", "stage", "says"),
    [
        ("finetune", 'learn = "adapters"', r"stages\[1\].learn is 'adapters', but the model has no attention adapters"),
        ("pretrain", 'learn = "head"', r"stages\[1\].learn is 'head', but pre-training teaches all: leave it out"),
        ("finetune", "longest = 0.1", r"no clip is as short as stages\.longest = 0\.1 s: raise it to 0\.3 at least"),
        ("pretrain", "longest = 0.1", r"no clip is as short as stages\.longest = 0\.1 s: raise it to 0\.3 at least"),
    ],
)
def test_a_stage_that_nothing_can_be_learnt_in_is_refused_before_the_first_step(prepare, tmp_path, task, stage, says):
    text = recipe() + f"[[stages]]\nfirst_step = 1\n[[stages]]\nfirst_step = 9\n{stage}\n"
    refused(prepare, tmp_path, says, task=task, text=text)


def two_lists(tmp_path, split):
    """Two lists with one clip in common, learnt from by the first, of this split in the second; and their recipe."""
    make_corpus(tmp_path / "corpus")
    (tmp_path / "corpus" / "more.tsv").write_text(HEAD + f"a.wav\ten\tsomebody\t0.4\t{split}\tab\n", "utf-8")
    return recipe().replace('["tiny.tsv"]', '["tiny.tsv", "more.tsv"]')


def test_a_clip_that_one_list_learns_from_and_another_checks_with(prepare, tmp_path):
    text = two_lists(tmp_path, "dev")
    refused(prepare, tmp_path, "a.wav: learnt from by one list and checked with by another: take it out", text=text)
    run, _ = prepare("pretrain", text=text)  # which checks with none
    assert len(run.clips) == 3


def test_a_clip_in_two_lists_is_told(prepare, tmp_path):
    _, said = prepare(text=two_lists(tmp_path, "train"))
    assert "warning: 1 of 4 clips stand in another list, too, and are learnt from for each" in said


def test_a_dev_split_that_is_learnt_from_is_told(prepare):
    _, said = prepare(text=recipe(data='dev = "train"'))
    assert "warning: data.dev is data.train: the error rates are those of clips that are learnt from" in said


def test_only_the_languages_that_are_named_are_learnt_and_checked(prepare, tmp_path):
    run, _ = prepare(text=with_more(tmp_path, "ro", "anna", 'unheard = ["more.tsv"]\nlanguages = ["en"]'))
    assert ({clip.lang for clip in run.clips}, run.unheard) == ({"en"}, {})


def test_a_recording_that_is_missing_is_named_with_its_line(prepare, tmp_path):
    make_corpus(tmp_path / "corpus")
    with open(tmp_path / "corpus" / "tiny.tsv", "a") as file:
        file.write("gone.wav\ten\tsomebody\t1.0\ttrain\thello\n")
    (tmp_path / "tiny.toml").write_text(recipe())
    with pytest.raises(ManifestError, match=r"tiny\.tsv, line 6: there is no file .*gone\.wav"):
        prepare_run("finetune", tmp_path / "tiny.toml", tmp_path / "run", tmp_path / "corpus", False, print)
    assert not (tmp_path / "run").exists()


def test_texts_that_do_not_fit_into_their_frames_are_left_out(prepare, tmp_path):
    long = ("e", "en", 0.4, "train", "ab" * 10)  # 0.4 s are 19 frames
    run, said = prepare(rows=[*ROWS, long])
    out = "warning: 1 of 4 clips are left out, e.wav the first: "
    assert f"{out}they have more letters in their text than frames" in said
    assert len(run.clips) == len(run.targets) == 3


def test_no_text_fits(prepare, tmp_path):
    rows = [(*row[:4], "ab" * 20) for row in ROWS]
    refused(prepare, tmp_path, "no clip is left to learn from: all 3 have more letters in their text", rows=rows)


def test_repeated_letters_need_a_blank_between_them(prepare):
    doubled = ("e", "en", 0.4, "train", "a" * 10)  # ten letters and nine blanks are 19 frames
    assert len(prepare(rows=[*ROWS, doubled])[0].clips) == 4


def test_clips_without_a_text_are_counted(prepare):
    _, said = prepare(rows=[*ROWS, ("e", "en", 0.4, "train", "")])
    assert "warning: 1 clips have no text: they are learnt as silence" in said


def test_clips_without_room_for_a_span_are_left_out_of_pre_training(prepare, tmp_path):
    rows = [*ROWS, ("e", "en", 0.11, "train", "a")]  # 5 frames
    run, said = prepare("pretrain", rows, recipe().replace("mask_time_length = 3", "mask_time_length = 6"))
    assert (
        "warning: 1 of 4 clips are left out, e.wav the first: they are shorter than a masked span of 6 frames" in said
    )
    assert len(run.clips) == 3


def test_unknown_letters_are_listed_with_their_counts_before_training(prepare, tmp_path):
    run, _ = prepare(steps=1)
    train(run, lambda text: None)
    (tmp_path / "run").rename(tmp_path / "start")
    text = recipe(steps=1, model='start = "start/model"\nhead = "keep"').replace("[model.config]", "[model.config]\n")
    rows = [*ROWS, ("e", "en", 0.4, "train", "xyx"), ("f", "en", 0.4, "dev", "aэ")]
    run, said = prepare(rows=rows, text=text)
    assert "warning: not in the vocabulary, and learnt as unknown: 'x' 2 times, 'y' 1 times" in said
    assert "warning: not in the vocabulary, and always wrong in dev: 'э' 1 times" in said


def test_a_start_with_two_blanks(prepare, tmp_path):
    run, _ = prepare(steps=1)
    train(run, lambda text: None)
    (tmp_path / "run").rename(tmp_path / "start")
    path = tmp_path / "start" / "model" / "config.json"
    path.write_text(path.read_text().replace('"pad_token_id": 0', '"pad_token_id": 2'))
    text = recipe(steps=1, model='start = "start/model"\nhead = "keep"').replace("[model.config]", "[model.config]\n")
    refused(
        prepare,
        tmp_path,
        r"model\.start start/model: config\.json says pad_token_id=2 .* the id 0",
        XlsrError,
        text=text,
    )


@pytest.mark.parametrize(
    ("model", "config", "says"),
    [
        ('start = "nowhere"', "", "nowhere"),
        ('head = "keep"', "", "model.head is 'keep', but a new model has no head"),
        ("", "hidden_size = 17\n", "model.config: "),
        ("", 'conv_dim = "wide"\n', "model.config: conv_dim must be"),
        ('start = "small-ctc"', "", "does not fit model.config"),
    ],
)
def test_a_start_that_cannot_be(prepare, tmp_path, model, config, says):
    text = recipe(model=model)
    for line in config.splitlines():
        key = line.split(" = ")[0]
        text = "".join(line + "\n" if row.startswith(f"{key} =") else row for row in text.splitlines(keepends=True))
    refused(prepare, tmp_path, says, XlsrError, text=text)


# --- resuming --------------------------------------------------------------------------------------------------------


@pytest.fixture
def stopped(prepare, tmp_path):
    """A run of 12 steps, stopped after step 5: the last checkpoint is that of step 4."""
    run, _ = prepare()
    with pytest.raises(KeyboardInterrupt):
        train(run, stop_at(6))
    return tmp_path / "run"


def stop_at(step):
    def say(text):
        if text.startswith(f"step {step:2}/"):
            raise KeyboardInterrupt

    return say


def test_it_goes_on_after_the_last_checkpoint(prepare, stopped):
    run, said = prepare(resume=True)
    assert run.place.step == 4
    assert said == ["resuming after step 4", "3 clips to learn from, 0.0 minutes; 1 to check with"]
    stored = read_arrays(stopped / "checkpoints" / "step-0000004" / "model.safetensors")
    assert all((run.start.params[name] == array).all() for name, array in stored.items())
    assert "6" not in [line.split(",")[0] for line in (stopped / "metrics.jsonl").read_text().splitlines()]


def test_what_cannot_be_resumed_stays_as_it_is(prepare, stopped):
    before = {path: path.read_bytes() for path in stopped.rglob("*") if path.is_file()}
    with pytest.raises(TrainingError, match=r"begun with another recipe: run\.steps was 12 and is 20"):
        prepare(resume=True, steps=20)
    with pytest.raises(TrainingError, match="holds a Wav2Vec2ForCTC, and this trains a Wav2Vec2ForPreTraining"):
        prepare("pretrain", resume=True)
    with pytest.raises(TrainingError, match=r"has another vocab\.json: the texts of the corpus have changed"):
        prepare(rows=[*ROWS, ("e", "en", 0.4, "train", "z")], resume=True)
    with pytest.raises(TrainingError, match="holds a run: give another --out, or --resume"):
        prepare()
    assert {path: path.read_bytes() for path in stopped.rglob("*") if path.is_file()} == before


def test_a_corpus_that_has_changed_is_said(prepare, stopped):
    _, said = prepare(rows=[*ROWS, ("e", "en", 0.4, "train", "a")], resume=True)
    assert "warning: the corpus has changed: the run goes on, but not as it would have without that" in said


def test_a_best_checkpoint_that_was_deleted_is_said_and_the_run_goes_on(prepare, stopped):
    last = max((stopped / "checkpoints").iterdir())
    state = json.loads((last / "state.json").read_text())
    state["place"]["best"] = [0.0, 1]  # better than all that will come
    (last / "state.json").write_text(json.dumps(state))
    run, said = prepare(resume=True)
    assert said[0].endswith(
        "step-0000001 is missing, the best checkpoint so far: the model will be the best of the others"
    )
    train(run, said.append)
    assert (stopped / "model" / "model.safetensors").is_file()


def test_other_clips_to_check_with_are_said(prepare, stopped):
    _, said = prepare(rows=[*ROWS, ("e", "en", 0.4, "dev", "a")], resume=True)
    assert "warning: the clips to check with have changed: their error rates until now are of other clips" in said
    assert not any("corpus has changed" in line for line in said)


def test_a_run_without_a_checkpoint_begins_again(prepare, tmp_path):
    run, _ = prepare()
    with pytest.raises(KeyboardInterrupt):
        train(run, stop_at(2))
    assert prepare(resume=True)[0].place.step == 0
    assert os.listdir(tmp_path / "run").count("recipe.toml") == 1
