"""Files of weights, through torch.hub and huggingface_hub: kept where torch and timm keep them, with their progress.

torchvision's and a few of timm's lie in torch's hub folder (TORCH_HOME), under the last part of their address, which
carries the first digits of their sha256. The others lie in the Hugging Face cache (HF_HOME).
"""

from __future__ import annotations

import re
import urllib.error
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import huggingface_hub
import torch.hub
from huggingface_hub import constants
from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError, RepositoryNotFoundError
from tqdm import tqdm

from explorer.errors import ExplorerError, NetworkError
from explorer.progress import Progress

# As in torch.hub, but with no fewer digits: "IN22K-vit.g.16-600e.pth" has no hash.
_HASH = re.compile(r"-([0-9a-f]{8,64})\.")
_PROGRESS: ContextVar[Progress | None] = ContextVar("progress of the file that is fetched here", default=None)


class NotFetchedError(NetworkError):
    """A file could not be fetched; `missing` where its server is there and the file is not. The message says why."""

    def __init__(self, reason: str, missing: bool = False) -> None:
        super().__init__(reason)
        self.missing = missing


class ReportingBar(tqdm):
    """A library's progress bar that reports to the `Progress` of its context; where there is none it is drawn."""

    def __init__(self, *args: Any, **options: Any) -> None:
        self._report = _PROGRESS.get()
        super().__init__(*args, **(options | {"disable": True} if self._report else options))

    def update(self, n: float | None = 1) -> bool | None:
        if self._report is None:
            return super().update(n)
        self.n += n or 0
        self._report(int(self.n), int(self.total or 0))
        return None


torch.hub.tqdm = ReportingBar  # type: ignore[misc]  # it takes no bar as an argument


def address_file(address: str) -> Path:
    """Where the file of an address is kept."""
    return Path(torch.hub.get_dir(), "checkpoints", Path(urlsplit(address).path).name)


def fetch_address(address: str, progress: Progress | None = None) -> Path:
    """The file of an address, from torch's hub folder or else from there; a hash in its name is checked.

    Args:
        address: "https://.../resnet50-11ad3fa6.pth".
        progress: called with the bytes fetched so far and in all (0 when the server does not say); what it raises
            stops the download.

    Raises NotFetchedError.
    """
    file = address_file(address)
    if not file.is_file():
        digits = _HASH.search(file.name)
        with _fetching(progress):
            file.parent.mkdir(parents=True, exist_ok=True)
            torch.hub.download_url_to_file(address, str(file), digits[1] if digits else None)
    return file


def hub_file(repository: str, names: tuple[str, ...]) -> Path | None:
    """The first of these files that the Hugging Face cache has."""
    repository, _, revision = repository.partition("@")
    for name in names:
        file = huggingface_hub.try_to_load_from_cache(
            repository, name, cache_dir=constants.HF_HUB_CACHE, revision=revision or None)
        if isinstance(file, str):
            return Path(file)
    return None


def fetch_from_hub(repository: str, names: tuple[str, ...], progress: Progress | None = None) -> Path:
    """The first of these files that a Hugging Face repository has, from the cache or else from there.

    Args:
        repository: "timm/resnet50.a1_in1k", with "@" and a revision when it is not "main".
        names: such as ("model.safetensors", "pytorch_model.bin").
        progress: as in `fetch_address`.

    Raises NotFetchedError.
    """
    if (cached := hub_file(repository, names)) is not None:
        return cached
    repository, _, revision = repository.partition("@")
    for name in names:
        try:
            with _fetching(progress):
                return Path(huggingface_hub.hf_hub_download(
                    repository, name, revision=revision or None, cache_dir=constants.HF_HUB_CACHE,
                    tqdm_class=ReportingBar if progress else None))
        except NotFetchedError as error:
            if not error.missing or name == names[-1]:
                raise
    raise ValueError("There is no name to fetch.")


@contextmanager
def _fetching(progress: Progress | None) -> Iterator[None]:
    """Leads the libraries' bars to `progress`, and makes one error of theirs."""
    most = 0

    def report(done: int, total: int) -> None:
        nonlocal most
        if progress and done > most:  # the hub has one bar of what is received and one of what is written
            most = done
            progress(done, total)

    token = _PROGRESS.set(report if progress else None)
    try:
        yield
    except ExplorerError:
        raise  # what progress raised
    except Exception as error:  # each library raises what its own transport raises
        status = _status(error)
        reason = f"the server answered {status}" if status else _cause(error)
        raise NotFetchedError(reason, missing=status in (404, 410)) from None
    finally:
        _PROGRESS.reset(token)


def _status(error: BaseException | None) -> int | None:
    """What a server answered; None when none did."""
    if isinstance(error, LocalEntryNotFoundError):  # it is not here either; why not there is its cause
        return _status(error.__cause__)
    if isinstance(error, EntryNotFoundError | RepositoryNotFoundError):
        return 404
    if isinstance(error, urllib.error.HTTPError):
        return error.code
    return getattr(getattr(error, "response", None), "status_code", None)


def _cause(error: BaseException) -> str:
    """Why no server answered, in a few words."""
    if constants.HF_HUB_OFFLINE and isinstance(error, LocalEntryNotFoundError):
        return "HF_HUB_OFFLINE is set"
    cause: Any = error.__cause__ or error
    cause = getattr(cause, "reason", None) or cause
    words = str(getattr(cause, "strerror", None) or cause or type(cause).__name__).strip().split("\n")[0]
    file = getattr(cause, "filename", None)
    return re.sub(r"^\[Errno -?\d+\] ", "", words).rstrip(".")[:150] + (f": {file}" if file else "")
