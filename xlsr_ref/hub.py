"""Models by name: OWNER/NAME or OWNER/NAME@REVISION, from the Hugging Face Hub.

`load` takes a folder or such a name, and a folder that is there always wins. weights_tools/hub.py says which files are
fetched, where they go and which environment variables hold; it is imported when the first such name is met.
"""

from __future__ import annotations

import os
from pathlib import Path

from xlsr_ref.errors import HubError


def local_folder(source: str | os.PathLike[str], language: str | None = None) -> Path:
    """The folder of ``source``: itself, or what the cache holds after fetching the model that it names.

    Only a str that looks like OWNER/NAME[@REVISION] and is nothing on this machine is taken for a name. ``language`` is
    one of a multilingual model's. Raises HubError, in one line, where the model cannot be had.
    """
    if not isinstance(source, str) or "/" not in source or os.path.lexists(source):
        return Path(source)
    from weights_tools import hub
    from weights_tools.errors import CheckpointError

    model = hub.named(source)
    if model is None:
        return Path(source)
    try:
        return hub.fetch(model, language)
    except hub.NothingThere as error:
        raise HubError(f"{model} is no folder here, and {error.why}") from None
    except CheckpointError as error:
        raise HubError(str(error)) from None
