"""How the command ends: 0 done, 1 a difference was found, 2 an error, 130 interrupted.

Errors are one line on stderr.  A bug is a traceback.
"""

import os
import sys
from collections.abc import Callable
from typing import Any, NoReturn

import click

from dataplane.errors import DataplaneError

DONE, DIFFERENT, WRONG, INTERRUPTED = 0, 1, 2, 130


def end_with(run: Callable[[], Any]) -> NoReturn:
    """Leaves with what `run` returns, or with what its error means."""
    sys.exit(_status(run))


def _status(run: Callable[[], Any]) -> int:
    try:
        status = run()
        sys.stdout.flush()
        return status if isinstance(status, int) else DONE
    except DataplaneError as error:
        return _say(str(error))
    except click.ClickException as error:
        error.show()
        return WRONG
    except (click.Abort, KeyboardInterrupt):
        return INTERRUPTED
    except BrokenPipeError:
        return reader_left()
    except OSError as error:
        return _say(f"{error.filename or 'output'}: {error.strerror or error}")


def _say(message: str) -> int:
    one_line = " ".join(message.split("\n"))
    print(f"dataplane: {one_line}", file=sys.stderr)
    return WRONG


def reader_left() -> int:
    """Who reads has enough, as `head` does; nothing is wrong."""
    # What is still in the buffer goes nowhere, instead of failing once more at exit.
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return DONE
