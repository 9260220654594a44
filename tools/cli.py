"""What the commands share: exit statuses and messages."""

from __future__ import annotations

from collections.abc import Callable

from densedistill.tools.messages import say


def guarded(command: Callable[[], int]) -> int:
    """Run `command`; turn what went wrong into one message on stderr and the exit status that contract.md names.

    0 done, 2 the request is wrong, 3 the run failed, 130 or 143 interrupted. A fault of our own is not caught: its
    traceback is what a bug report needs.
    """
    from densedistill.backbones.errors import NetworkError
    from densedistill.datasets.base import DataError
    from densedistill.distill.errors import InterruptedRunError, RequestError, RunFailedError

    try:
        return command()
    except (RequestError, NetworkError, DataError) as error:
        return _told(str(error), 2)
    except RunFailedError as error:
        return _told(str(error), 3)
    except InterruptedRunError as error:
        return _told(str(error), error.exit_status)
    except KeyboardInterrupt:
        return _told("interrupted.", 130)


def _told(message: str, status: int) -> int:
    say(message)
    return status
