"""Models by name: OWNER/NAME or OWNER/NAME@REVISION, from the Hugging Face Hub through its own library.

Only the files that a model folder needs are fetched: the config, the vocabulary, the weights (safetensors, or pickles
where there are none) and one language's adapter. They go into the library's cache, which other programs share, and its
environment variables hold: HF_HOME, HF_ENDPOINT, HF_TOKEN, HF_HUB_OFFLINE and the others. A branch is looked up once,
by config.json; the rest comes from the commit that it points to, so that all files are of one version. What has been
fetched is not asked for again.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from xlsr_ref.checkpoint import infer
from xlsr_ref.checkpoint.languages import adapter_files, nearest, vocabularies
from xlsr_ref.checkpoint.read import SIDE_FILES, WEIGHTS, shards_of
from xlsr_ref.errors import HubError, XlsrError
from xlsr_ref.untrusted import brief, read_json

PART = r"[A-Za-z0-9][\w.-]{0,95}"
NAME = re.compile(rf"(?P<repository>{PART}/{PART})(?:@(?P<revision>\S+))?", re.ASCII)
CONFIG = "config.json"


class Named(NamedTuple):
    """A model on the Hub."""

    repository: str  # OWNER/NAME
    revision: str | None  # a branch, a tag or a commit; None: the main branch

    def __str__(self) -> str:
        return self.repository if self.revision is None else f"{self.repository}@{self.revision}"


class NothingThere(HubError):
    """Not one file of a model can be had. ``why`` says so without the model's name, for a sentence of the caller's."""

    def __init__(self, model: Named, why: str) -> None:
        super().__init__(f"{model}: {why}")
        self.why = why


def named(text: str) -> Named | None:
    """The model that ``text`` names, or None where it cannot be a name."""
    match = NAME.fullmatch(text)
    return None if match is None else Named(match["repository"], match["revision"])


def local_folder(source: str | os.PathLike[str], language: str | None = None) -> Path:
    """The folder of ``source``: itself, or what the cache holds after fetching the model that it names.

    Only a str that looks like OWNER/NAME[@REVISION] and is nothing on this machine is taken for a name. ``language`` is
    one of a multilingual model's. Raises HubError, in one line, where the model cannot be had.
    """
    if not isinstance(source, str) or "/" not in source or os.path.lexists(source):
        return Path(source)
    model = named(source)
    if model is None:
        return Path(source)
    try:
        return fetch(model, language)
    except NothingThere as error:
        raise HubError(f"{model} is no folder here, and {error.why}") from None
    except XlsrError as error:
        raise HubError(str(error)) from None


def fetch(model: Named, language: str | None = None) -> Path:
    """Every file that a model folder needs, in one folder of the cache. Raises HubError, in one line.

    ``language`` is one of a multilingual model's: its adapter is fetched too.
    """
    adapters: Sequence[str] = adapter_files(language) if language is not None else ()
    config = _file(model, CONFIG)
    if config is None:
        raise HubError(f"{model} has no {CONFIG}, so it is no model that transformers could open, nor one here")
    kind = read_json(config, HubError).get("model_type")  # very old files have none
    if kind not in (None, *infer.FAMILIES.values()):  # known before a gigabyte of it has come
        raise HubError(f"{model} is another network: its {CONFIG} says model_type {brief(kind)}")
    folder, at_commit = config.parent, Named(model.repository, config.parent.name)
    for name in SIDE_FILES:
        _file(at_commit, name)
    if language is not None and _first(at_commit, adapters) is None:
        known = [key for key, value in vocabularies(folder).items() if isinstance(value, dict)]
        raise HubError(f"{model} has no {adapters[0]}{_offline()}; {nearest(language, known)}")
    weights = _first(at_commit, WEIGHTS)
    if weights is None:
        raise HubError(f"{model} has none of {', '.join(WEIGHTS)}{_offline()}")
    for shard in shards_of(weights) if weights.suffix == ".json" else ():
        if _file(at_commit, shard) is None:
            raise HubError(f"{model} has no {shard}, which its {weights.name} lists{_offline()}")
    return folder


def _first(model: Named, names: Sequence[str]) -> Path | None:
    """The first of these files that the model has."""
    return next((path for path in (_file(model, name) for name in names) if path is not None), None)


# --- one file, and every way in which it cannot be had ----------------------------------------------------------------


def _file(model: Named, name: str) -> Path | None:
    """A file's place in the cache, where it is put if it is not there yet; None where the model has none such."""
    try:
        from huggingface_hub import get_hf_file_metadata, hf_hub_download, hf_hub_url, try_to_load_from_cache
        from huggingface_hub.utils import logging
    except ImportError:
        why = "the Hugging Face Hub needs a library that is missing here: pip install 'xlsr_ref[hub]'"
        raise NothingThere(model, why) from None
    if "HF_HUB_VERBOSITY" not in os.environ:
        logging.set_verbosity_error()  # its warnings tell of attempts that failed; what came of them is said below
    try:
        known = try_to_load_from_cache(model.repository, name, revision=model.revision)
        if name != CONFIG and known is not None:  # of a commit, which does not change: what is known of it holds
            return Path(known) if isinstance(known, str) else None  # or a mark that there is none
        if name == CONFIG and known is None and not _is_offline():  # a misspelt folder, maybe: one attempt tells,
            get_hf_file_metadata(hf_hub_url(model.repository, name, revision=model.revision))  # the other makes six
        return Path(hf_hub_download(model.repository, name, revision=model.revision))
    except Exception as error:  # of the library, of the connection, by whichever library makes it, or of the disk
        if (problem := _problem(model, name, error)) is not None:
            raise problem from None
        return None


def _problem(model: Named, name: str, error: Exception) -> HubError | None:
    """What to say of an ``error`` of the library; None where the model has no such file, or nobody can tell."""
    from huggingface_hub import errors as hub

    if isinstance(error, hub.GatedRepoError):
        how = "accept its conditions on its page, and give a token (HF_TOKEN, or hf auth login)"
        return HubError(f"{model} is gated: {how}")
    if isinstance(error, hub.RepositoryNotFoundError):
        why = "the Hub has no such model that you may read: check the name"
        return NothingThere(model, f"{why}; a private one needs a token (HF_TOKEN, or hf auth login)")
    if isinstance(error, hub.RevisionNotFoundError):
        how = "give a branch, a tag or a commit of it"
        return HubError(f"{model.repository} has no revision {model.revision}: {how}")
    if isinstance(error, hub.LocalEntryNotFoundError):
        if _is_offline() and name != CONFIG:
            return None  # nobody can tell whether the model has such a file; who reads the folder says what it lacks
        why = "HF_HUB_OFFLINE forbids to fetch it" if _is_offline() else _unheard(error.__cause__ or error)
        return NothingThere(model, f"{name} is not in the cache either: {why}")
    if isinstance(error, hub.EntryNotFoundError):
        return None
    if isinstance(error, hub.HFValidationError):
        return NothingThere(model, f"no name of a model: {_reason(error)}")
    if name == CONFIG:
        answered = isinstance(error, hub.HfHubHTTPError)
        return NothingThere(model, f"{_endpoint()} answers: {_reason(error)}" if answered else _unheard(error))
    kept = "files that came whole are kept, so try again"
    return HubError(f"{model} lacks {name} so far: {_reason(error)}; {kept}")


def _is_offline() -> bool:
    from huggingface_hub import constants

    return bool(constants.HF_HUB_OFFLINE)


def _offline() -> str:
    return " in the cache, and HF_HUB_OFFLINE forbids to fetch it" if _is_offline() else ""


def _endpoint() -> str:
    from huggingface_hub import constants

    return str(constants.ENDPOINT)


def _unheard(error: BaseException) -> str:
    return f"{_endpoint()} does not answer: {_reason(error)}; check the network"


def _reason(error: BaseException) -> str:
    """The first line that an error says, or its kind."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0].rstrip(".:") if lines else type(error).__name__
