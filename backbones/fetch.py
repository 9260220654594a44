"""A provider's weight files: from the local cache, or from the provider when it can be reached.

The clients below retry a dead connection for half a minute per file. So the provider's host is tried once, briefly;
where it does not answer, only the cache is read.
"""

from __future__ import annotations

import functools
import re
import socket
import threading
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import torch

from densedistill.backbones.errors import WeightsUnavailableError

CONNECT_SECONDS = 3.0
_DEFAULT_PORTS = {"http": 80, "https": 443}
_HASH_IN_NAME = re.compile(r"-([0-9a-f]{8,})\.")


def hub_file(repo: str, filenames: Sequence[str], *, revision: str | None = None) -> Path:
    """The first of `filenames` that `repo` on the Hugging Face Hub has, as a local file.

    Raises:
        WeightsUnavailableError: none is cached and the hub does not answer, refuses, or has none of them.
    """
    from huggingface_hub import constants, hf_hub_download
    from huggingface_hub.errors import EntryNotFoundError, HfHubHTTPError, LocalEntryNotFoundError

    online = not constants.HF_HUB_OFFLINE and reachable(constants.ENDPOINT)
    # The client's transport errors (httpx in newer releases, requests in older ones) are the bases of its own error.
    transport_errors: tuple[type[BaseException], ...] = HfHubHTTPError.__bases__
    for filename in filenames:
        try:
            return Path(hf_hub_download(repo, filename, revision=revision, local_files_only=not online))
        except EntryNotFoundError as error:
            # "Not in the local cache", although the hub was asked: the connection broke.
            if online and isinstance(error, LocalEntryNotFoundError):
                raise _not_given(f"{constants.ENDPOINT}/{repo}", error) from error
        except transport_errors as error:
            raise _not_given(f"{constants.ENDPOINT}/{repo}", error) from error
    if online:
        raise WeightsUnavailableError(f"{constants.ENDPOINT}/{repo} has none of {', '.join(filenames)}")
    raise WeightsUnavailableError(f"{constants.ENDPOINT} cannot be reached and the local cache does not hold {repo}")


def url_file(url: str) -> Path:
    """The file at `url`, from torch's cache of checkpoints or downloaded into it, checked against the hash in its name.

    Raises:
        WeightsUnavailableError: it is not cached and cannot be downloaded whole.
    """
    path = Path(torch.hub.get_dir()) / "checkpoints" / Path(urlsplit(url).path).name
    if path.exists():
        return path
    if not reachable(url):
        host = urlsplit(url).hostname
        raise WeightsUnavailableError(f"{host} cannot be reached and the local cache does not hold {path.name}")
    path.parent.mkdir(parents=True, exist_ok=True)
    hash_in_name = _HASH_IN_NAME.search(path.name)
    try:
        torch.hub.download_url_to_file(url, str(path), hash_in_name.group(1) if hash_in_name else None, progress=False)
    except (OSError, RuntimeError) as error:  # RuntimeError: the downloaded bytes have another hash
        raise _not_given(url, error) from error
    return path


@functools.cache
def reachable(url: str) -> bool:
    """Whether the host of `url`, or the proxy configured for it, accepts a connection within `CONNECT_SECONDS`."""
    target = urlsplit(url)
    proxy = getproxies().get(target.scheme)
    if proxy and not proxy_bypass(target.hostname or ""):
        target = urlsplit(proxy if "://" in proxy else f"http://{proxy}")
    try:
        port = target.port or _DEFAULT_PORTS.get(target.scheme, 443)
    except ValueError:
        return False
    return _accepts(target.hostname or "", port)


def _accepts(host: str, port: int) -> bool:
    accepted = threading.Event()

    def connect() -> None:
        try:
            with socket.create_connection((host, port), timeout=CONNECT_SECONDS):
                accepted.set()
        except OSError:
            return

    # Name resolution obeys no timeout of ours: it runs in a thread that is left behind when it hangs.
    attempt = threading.Thread(target=connect, name="densedistill-reachable", daemon=True)
    attempt.start()
    attempt.join(CONNECT_SECONDS)
    return accepted.is_set()


def _not_given(source: str, error: BaseException) -> WeightsUnavailableError:
    reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
    return WeightsUnavailableError(f"{source} did not give them ({reason})")
