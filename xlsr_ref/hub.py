"""Models by name: OWNER/NAME or OWNER/NAME@REVISION, from the Hugging Face Hub through its own library.

`load` takes a folder or such a name, and a folder that is there always wins. Only the files that `load` reads are
fetched: the config, the vocabulary, the weights (safetensors, or pickles where there are none) and one language's
adapter. They go into the library's cache, which other programs share, and its environment variables hold: HF_HOME,
HF_ENDPOINT, HF_TOKEN, HF_HUB_OFFLINE and the others. A branch is looked up once, by config.json; the rest comes from
the commit that it points to, so that all files are of one version. What has been fetched is not asked for again.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import NamedTuple

from xlsr_ref.config import read_json
from xlsr_ref.errors import HubError, WeightsError
from xlsr_ref.languages import adapter_files

PART = r"[A-Za-z0-9][\w.-]{0,95}"
NAME = re.compile(rf"(?P<repository>{PART}/{PART})(?:@(?P<revision>\S+))?", re.ASCII)
SETTINGS = (  # what is read besides config.json; a model need not have any of them
    "preprocessor_config.json",
    "processor_config.json",
    "vocab.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
)
CONFIG = "config.json"
WEIGHTS = ("model.safetensors", "model.safetensors.index.json", "pytorch_model.bin", "pytorch_model.bin.index.json")
SHARD = re.compile(r"\w[\w.-]{,250}")


class Model(NamedTuple):
    repository: str  # OWNER/NAME
    revision: str | None  # a branch, a tag or a commit; None: the main branch

    def __str__(self) -> str:
        return self.repository if self.revision is None else f"{self.repository}@{self.revision}"


def local_folder(source: str | os.PathLike[str], language: str | None = None) -> Path:
    """The folder of ``source``: itself, or what the cache holds after fetching the model that it names.

    Only a str that looks like OWNER/NAME[@REVISION] and is nothing on this machine is taken for a name. ``language`` is
    one of a multilingual model's. Raises HubError, in one line, where the model cannot be had.
    """
    if not isinstance(source, str) or os.path.lexists(source):
        return Path(source)
    match = NAME.fullmatch(source)
    return Path(source) if match is None else fetch(Model(match["repository"], match["revision"]), language)


def fetch(model: Model, language: str | None = None) -> Path:
    """Every file of ``model`` that `load` needs, in one folder of the cache. Raises HubError."""
    config = _file(model, CONFIG)
    if config is None:
        raise HubError(
            f"{model} has no config.json, so it is no model that transformers could open, nor is it one here"
        )
    at_commit = Model(model.repository, config.parent.name)
    for name in SETTINGS:
        _file(at_commit, name)
    for name in adapter_files(language) if language is not None else ():
        if _file(at_commit, name) is not None:
            break
    weights = next((path for path in (_file(at_commit, name) for name in WEIGHTS) if path is not None), None)
    if weights is None:
        raise HubError(f"{model} has none of {', '.join(WEIGHTS)}{_offline()}")
    if weights.suffix == ".json":
        for shard in _shards(weights):
            if _file(at_commit, shard) is None:
                raise HubError(f"{model} has no {shard}, which its {weights.name} lists{_offline()}")
    return config.parent


def _shards(index: Path) -> list[str]:
    homes = read_json(index, WeightsError).get("weight_map")
    files = set(homes.values()) if isinstance(homes, dict) else set()
    return sorted(file for file in files if isinstance(file, str) and SHARD.fullmatch(file))  # `load` refuses others


# --- one file, and every way in which it cannot be had ----------------------------------------------------------------


def _file(model: Model, name: str) -> Path | None:
    """A file's place in the cache, where it is put if it is not there yet; None where the model has none such."""
    try:
        from huggingface_hub import get_hf_file_metadata, hf_hub_download, hf_hub_url, try_to_load_from_cache
        from huggingface_hub.errors import (
            EntryNotFoundError,
            GatedRepoError,
            HFValidationError,
            LocalEntryNotFoundError,
            RepositoryNotFoundError,
            RevisionNotFoundError,
        )
    except ImportError:
        raise HubError(
            f"{model} is no folder here; to look for it on the Hugging Face Hub: pip install 'xlsr_ref[hub]'"
        ) from None
    try:
        known = try_to_load_from_cache(model.repository, name, revision=model.revision)
        if name != CONFIG and known is not None:  # of a commit, which does not change: what is known of it holds
            return Path(known) if isinstance(known, str) else None  # or a mark that there is none
        if name == CONFIG and known is None and not _is_offline():  # a misspelt folder, maybe: one attempt tells,
            get_hf_file_metadata(hf_hub_url(model.repository, name, revision=model.revision))  # the other makes six
        return Path(hf_hub_download(model.repository, name, revision=model.revision))
    except GatedRepoError:
        problem = f"{model} is gated: accept its conditions on its page, and give a token (HF_TOKEN, or hf auth login)"
    except RepositoryNotFoundError:
        problem = (
            f"{model} is no folder here, and the Hub has no such model that you may read: check the name; a private "
            "one needs a token (HF_TOKEN, or hf auth login)"
        )
    except RevisionNotFoundError:
        problem = f"{model.repository} has no revision {model.revision}: give a branch, a tag or a commit of it"
    except LocalEntryNotFoundError as error:
        if _is_offline() and name != CONFIG:
            return None  # nobody can tell whether the model has such a file; `load` says what it lacks
        forbidden = "HF_HUB_OFFLINE forbids to fetch it"
        why = forbidden if _is_offline() else f"{_endpoint()} does not answer: {_reason(error.__cause__ or error)}"
        problem = f"{model} is no folder here, and {name} is not in the cache either: {why}"
    except EntryNotFoundError:
        return None
    except HFValidationError as error:
        problem = f"{model} is no folder here, and no name of a model: {_reason(error)}"
    except Exception as error:  # of the connection, by whichever library makes it, or of the disk
        problem = f"{model} lacks {name} so far: {_reason(error)}; files that came whole are kept, so try again"
        if name == CONFIG:
            problem = f"{model} is no folder here, and {_endpoint()} does not answer: {_reason(error)}"
    raise HubError(problem)


def _is_offline() -> bool:
    from huggingface_hub import constants

    return bool(constants.HF_HUB_OFFLINE)


def _offline() -> str:
    return " in the cache, and HF_HUB_OFFLINE forbids to fetch it" if _is_offline() else ""


def _endpoint() -> str:
    from huggingface_hub import constants

    return str(constants.ENDPOINT)


def _reason(error: BaseException) -> str:
    """The first line that an error says, or its kind."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0].rstrip(".:") if lines else type(error).__name__
