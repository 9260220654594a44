"""What the commands share: exit statuses and messages."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Callable

from densedistill.tools.messages import say


def guarded(command: Callable[[], int]) -> int:
    """Run `command`; turn what went wrong into one message on stderr and the exit status that contract.md names.

    0 done, 2 the request is wrong, 3 the run failed, 130 or 143 interrupted. A file that cannot be read or written is
    of the request: somebody named it, or the folder it lies in. A fault of our own is not caught: its traceback is
    what a bug report needs.
    """
    from densedistill.backbones.errors import NetworkError
    from densedistill.datasets.base import DataError
    from densedistill.distill.errors import InterruptedRunError, RequestError, RunFailedError

    if isinstance(sys.stdout, io.TextIOWrapper):
        # A file's name that is no UTF-8 is printed as the bytes that it is.
        sys.stdout.reconfigure(errors="surrogateescape")
    try:
        return command()
    except (RequestError, NetworkError, DataError) as error:
        return _told(str(error), 2)
    except RunFailedError as error:
        return _told(str(error), 3)
    except InterruptedRunError as error:
        return _told(str(error), error.exit_status)
    except OSError as error:
        if error.filename is None or isinstance(error.filename, int):
            raise
        return _of_file(error)
    except KeyboardInterrupt:
        return _told("interrupted.", 130)


def _of_file(error: OSError) -> int:
    """Say which file cannot be read or written; returns the exit status."""
    from densedistill.distill.errors import DISK_FULL

    name = os.fsdecode(error.filename)
    if error.errno in DISK_FULL:
        return _told(f"the disk is full: '{name}' cannot be written; free some space and give the command again.", 3)
    return _told(
        f"'{name}' cannot be read or written ({error.strerror}): mend its place or permissions, or name another.", 2
    )


def _told(message: str, status: int) -> int:
    say(message)
    return status
