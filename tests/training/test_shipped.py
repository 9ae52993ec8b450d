"""The package's recipes are found by name; a file of the name wins."""

from pathlib import Path

import pytest

from xlsr_ref.cli import main
from xlsr_ref.errors import TrainingError
from xlsr_ref.training import shipped
from xlsr_ref.training.recipe import read_recipe


def test_each_has_a_name_and_a_line():
    assert shipped.names() == [
        "adapters", "digits", "digits-bert", "digits-small", "few-labels", "pretrain-five", "pretrain-one",
        "small-ctc", "small-ctc-final", "small-ctc-first", "small-ctc-from-nothing", "small-ctc-from-pretrained",
        "small-ctc-parts", "small-ctc-prompts", "small-ctc-short", "small-ctc-spliced", "small-ctc-voices",
        "small-pretrained"]  # fmt: skip
    for name in shipped.names():
        assert shipped.about(name)[-1] in ".…"
        assert len(shipped.about(name)) <= 95


def test_each_comment_gives_the_command():
    for name in shipped.names():
        read_recipe(shipped.find(name))
        task = "pretrain" if name.startswith(("pretrain-", "small-pretrained")) else "finetune"
        assert f"\n#   xlsr-ref {task} {name} --data CORPUS --out " in shipped.text_of(name)


def test_a_file_of_the_name_wins_and_a_folder_does_not(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert shipped.find("digits") == shipped.FOLDER / "digits.toml"
    Path("digits").mkdir()  # the run that the recipe's command makes
    assert shipped.find("digits") == shipped.FOLDER / "digits.toml"
    assert shipped.base_of(shipped.find("digits")) == Path()
    Path("digits").rmdir()
    Path("digits").write_text("seed = 5")
    assert shipped.find("digits") == Path("digits")
    Path("deep").mkdir()
    assert shipped.base_of(Path("deep/a.toml")) == Path("deep")


@pytest.mark.parametrize("name", ["digit", "", "../recipes/digits", "nowhere.toml"])
def test_an_unknown_name_is_told_the_others(name):
    for look in (shipped.find, shipped.text_of):
        with pytest.raises(TrainingError, match="adapters, digits, digits-bert, digits-small, few-labels"):
            look(name)


def test_the_command_lists_and_prints(capsys, tmp_path):
    assert main(["recipe"]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    assert [line.split()[0] for line in out.splitlines()] == shipped.names()
    assert max(map(len, out.splitlines())) <= 120
    assert main(["recipe", "digits"]) == 0
    (tmp_path / "mine.toml").write_text(capsys.readouterr().out, encoding="utf-8")
    assert read_recipe(tmp_path / "mine.toml") == read_recipe(shipped.FOLDER / "digits.toml")
    assert main(["recipe", "digit"]) == 1
    assert "digit: no recipe in the package has this name: there are adapters, digits," in capsys.readouterr().err


def test_training_takes_one_by_name(capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    Path("corpus").mkdir()
    assert main(["finetune", "digits", "--data", "corpus"]) == 1
    assert "fsdd.tsv" in capsys.readouterr().err  # the recipe was read: its manifest is missing
    assert main(["finetune", "nosuch", "--data", "corpus"]) == 1
    assert "nosuch: there is no such file, nor a recipe" in capsys.readouterr().err
