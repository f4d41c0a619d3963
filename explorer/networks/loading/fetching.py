"""Files of weights: fetched once, whole and of the right hash or not at all, and kept where torch and timm keep them.

torchvision's and the older ones of timm's lie in torch's hub folder (TORCH_HOME), named after their address, which ends
in the first digits of their sha256. The others lie in the Hugging Face cache (HF_HOME), laid out as huggingface_hub
does: blobs/<sha256>, to which snapshots/<commit>/<file> points, and refs/<revision> with the commit.
"""

from __future__ import annotations

import hashlib
import os
import re
import threading
import urllib.error
import urllib.request
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from urllib.parse import urljoin, urlsplit
from uuid import uuid4

import huggingface_hub
import torch
from huggingface_hub import constants

from explorer.errors import NetworkError
from explorer.progress import Progress

CONNECTING = 10.0  # seconds for each answer of a server, so that nobody waits for one that is not there
_CHUNK = 1 << 18  # bytes
# As in torch.hub, but no fewer digits: "IN22K-vit.g.16-600e.pth" has no hash.
_DIGITS = re.compile(r"-([0-9a-f]{8,64})\.")
_SHA256 = re.compile("[0-9a-f]{64}")
_COMMIT = re.compile("[0-9a-f]{40}")
_REDIRECTS = 5
_LOCKS: defaultdict[str, threading.Lock] = defaultdict(threading.Lock)


class NoConnectionError(NetworkError):
    """The server cannot be reached; `host` and `cause` say which and why."""

    def __init__(self, host: str, cause: str) -> None:
        super().__init__(f"There is no connection to {host}: {cause}.")
        self.host, self.cause = host, cause


class NoSuchFileError(NetworkError):
    """The server is there and the file is not."""


def fetch_address(address: str, progress: Progress | None = None) -> tuple[Path, str]:
    """The file of an address that carries its hash, from torch's hub folder or else from there.

    Args:
        address: "https://.../resnet50-11ad3fa6.pth".
        progress: called with the bytes written so far and in all (0 when the server does not say); what it raises
            stops the download, and nothing is kept.

    Returns:
        The file, and its sha256 in hex, which was computed now.

    Raises:
        NoConnectionError: it is not there, or damaged, and the server cannot be reached.
        NetworkError: the address has no hash, the server refuses, the download breaks off or has another hash, or the
            folder cannot be written to.
    """
    target = address_file(address)
    digits = _DIGITS.search(target.name)
    if not digits:
        raise NetworkError(f"The file {target.name} cannot be checked: expected the first digits of its sha256 in its "
                           "name.")
    with _LOCKS[str(target)]:
        digest = _digest(target) if target.is_file() else ""
        if not digest.startswith(digits[1]):
            digest = download(address, target, digits[1], progress)
    return target, digest


def address_file(address: str) -> Path:
    """Where the file of an address is kept."""
    return Path(torch.hub.get_dir(), "checkpoints", Path(urlsplit(address).path).name)


def fetch_from_hub(repository: str, names: tuple[str, ...], progress: Progress | None = None) -> tuple[Path, str]:
    """The first of these files that a Hugging Face repository has, from the cache or else from there.

    Args:
        repository: "timm/resnet50.a1_in1k", with "@" and a revision when it is not "main".
        names: such as ("model.safetensors", "pytorch_model.bin").
        progress: as in `fetch_address`.

    Returns and raises what `fetch_address` does.
    """
    with _LOCKS[repository]:
        if (cached := hub_file(repository, names)) is not None:
            digest = _digest(cached)
            # Where links are not possible the cache keeps the file itself, without the hash that it was checked by.
            expected = cached.resolve().name
            if digest and (digest == expected or not _SHA256.fullmatch(expected)):
                return cached, digest
        for name in names:
            try:
                return _from_hub(repository, name, progress)
            except NoSuchFileError:
                if name == names[-1]:
                    raise
    raise ValueError("There is no name to fetch.")


def hub_file(repository: str, names: tuple[str, ...]) -> Path | None:
    """The first of these files that the Hugging Face cache has."""
    repository, _, revision = repository.partition("@")
    for name in names:
        found = huggingface_hub.try_to_load_from_cache(
            repository, name, cache_dir=constants.HF_HUB_CACHE, revision=revision or None)
        if isinstance(found, str):
            return Path(found)
    return None


def _from_hub(repository: str, name: str, progress: Progress | None) -> tuple[Path, str]:
    repository, _, revision = repository.partition("@")
    revision = revision or "main"
    address = huggingface_hub.hf_hub_url(repository, name, revision=revision)
    sha256, commit, location = _asked(address)
    folder = Path(constants.HF_HUB_CACHE, f"models--{repository.replace('/', '--')}")
    blob, pointer = folder / "blobs" / sha256, folder / "snapshots" / commit / name
    if not (blob.is_file() and _digest(blob) == sha256):
        download(location, blob, sha256, progress)
    with _writing(folder):
        _point(pointer, blob)
        reference = folder / "refs" / revision
        reference.parent.mkdir(parents=True, exist_ok=True)
        reference.write_text(commit, encoding="utf-8")
    return pointer, sha256


def _point(pointer: Path, blob: Path) -> None:
    if pointer.is_file() and pointer.samefile(blob):
        return
    pointer.parent.mkdir(parents=True, exist_ok=True)
    pointer.unlink(missing_ok=True)
    try:
        pointer.symlink_to(os.path.relpath(blob, pointer.parent))
    except OSError:  # Windows without the right to link
        os.replace(blob, pointer)


def _asked(address: str) -> tuple[str, str, str]:
    """(sha256, commit, where the bytes are) of a file on the hub."""
    host, asked, location = urlsplit(address).netloc, address, ""
    if constants.HF_HUB_OFFLINE:
        raise NoConnectionError(host, "HF_HUB_OFFLINE is set")
    for _ in range(_REDIRECTS):
        with _opened(asked, "HEAD") as response:
            headers = response.headers
        location = urljoin(asked, headers.get("Location", ""))
        if location == asked or headers.get("X-Linked-Etag"):
            break
        asked = location  # a repository that was renamed
    sha256 = headers.get("X-Linked-Etag", headers.get("ETag", "")).removeprefix("W/").strip('"')
    commit = headers.get("X-Repo-Commit", "")
    if not (_SHA256.fullmatch(sha256) and _COMMIT.fullmatch(commit)):
        raise NetworkError(f"The server {host} does not say the sha256 of {address}, so it cannot be checked.")
    return sha256, commit, location


def download(address: str, target: Path, sha256: str, progress: Progress | None = None) -> str:
    """Write what is at an address to a file, once it is whole and its hash is right; else nothing is left behind.

    Args:
        sha256: hex, all of it or its beginning.

    Returns the whole sha256, hex. Raises what `fetch_address` does.
    """
    partial = target.with_name(f"{target.name[:100]}.{uuid4().hex}.partial")
    try:
        with _writing(target.parent):
            target.parent.mkdir(parents=True, exist_ok=True)
            with _opened(address) as response, partial.open("xb") as file:
                digest = hashlib.sha256()
                for chunk in _chunks(response, address, progress):
                    file.write(chunk)
                    digest.update(chunk)
            if not digest.hexdigest().startswith(sha256):
                raise NetworkError(f"What {urlsplit(address).netloc} sent has sha256 {digest.hexdigest()[:12]}..., "
                                   f"expected {sha256[:12]}...: it was damaged or exchanged.")
            os.replace(partial, target)
    finally:
        with suppress(OSError):  # it is not there once it was moved, nor where its folder cannot be
            partial.unlink()
    return digest.hexdigest()


class _Unfollowed(urllib.request.HTTPRedirectHandler):
    """Gives the answer that sends elsewhere instead of going there: on the hub it is that one which has the hash."""

    def http_error_302(self, req, fp, code, msg, headers):
        return fp

    http_error_301 = http_error_303 = http_error_307 = http_error_308 = http_error_302


@contextmanager
def _opened(address: str, method: str = "GET") -> Iterator[HTTPResponse]:
    host = urlsplit(address).netloc
    if urlsplit(address).scheme not in ("http", "https"):
        raise NetworkError(f"The address {address[:100]!r} is none of the web; expected http or https.")
    headers = {"User-Agent": "poolscope", "Accept-Encoding": "identity"}
    request = urllib.request.Request(address, headers=headers, method=method)
    opener = urllib.request.build_opener(*([_Unfollowed] if method == "HEAD" else []))
    try:
        response = opener.open(request, timeout=CONNECTING)
    except urllib.error.HTTPError as error:
        error.close()
        kind = NoSuchFileError if error.code in (404, 410) else NetworkError
        raise kind(f"The server {host} answered {error.code} {error.reason}; expected the file "
                   f"{Path(urlsplit(address).path).name}.") from None
    except (OSError, HTTPException) as error:
        raise NoConnectionError(host, _cause(error)) from None
    with response:
        yield response


def _chunks(response: HTTPResponse, address: str, progress: Progress | None) -> Iterator[bytes]:
    total, done, broken = response.length or 0, 0, False
    while not broken:
        try:
            chunk = response.read(_CHUNK)
        except (OSError, HTTPException):
            chunk, broken = b"", True
        if not chunk:
            break
        done += len(chunk)
        if progress:
            progress(done, total)
        yield chunk
    if broken or done < total:
        of = f" of {total / 1e6:.1f}" if total else ""
        raise NetworkError(f"The download from {urlsplit(address).netloc} broke off after {done / 1e6:.1f}{of} MB; "
                           "expected all of it: try again.")


@contextmanager
def _writing(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise NetworkError(f"The folder {folder} cannot be written to: {error.strerror or error}.") from None


def _digest(file: Path) -> str:
    """sha256 of a file, hex; "" when it cannot be read."""
    try:
        with file.open("rb") as opened:
            return hashlib.file_digest(opened, "sha256").hexdigest()
    except OSError:
        return ""


def _cause(error: BaseException) -> str:
    """Why there is no connection, in a few words."""
    reason = getattr(error, "reason", error)
    if isinstance(reason, TimeoutError):
        return f"no answer within {CONNECTING:.0f} seconds"
    text = getattr(reason, "strerror", None) or str(reason) or type(reason).__name__
    return text.rstrip(".").split("\n")[0][:100]
