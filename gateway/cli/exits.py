"""What the `weir` command tells the shell, and what it says to the person when it cannot do as asked."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from enum import IntEnum
from typing import NoReturn

import typer

from gateway.cli.output import OutputFailed
from gateway.cli.terminal import escape_controls
from gateway.client import BadArgument, ClientError, CutShort, Unreachable


class Exit(IntEnum):
    """Exit codes, the same for every command."""

    OK = 0
    REFUSED = 1
    USAGE = 2
    UNREACHABLE = 3
    PARTIAL = 4
    INTERRUPTED = 130


MEANINGS: dict[Exit, str] = {
    Exit.OK: "Done. Also when whoever read the output (`| head`) had enough of it.",
    Exit.REFUSED: "The server said no, and its text is printed; or the server itself, a check or a compilation failed.",
    Exit.USAGE: "A flag, an argument or the configuration is wrong. Nothing was asked of a server.",
    Exit.UNREACHABLE: "No answer: nobody listens at the address, or the connection broke or timed out.",
    Exit.PARTIAL: "Some of the answer was printed but not all: a later page failed, the server answered with warnings, "
    "or the output could not be written; or some lines of an import were refused.",
    Exit.INTERRUPTED: "Stopped with Ctrl-C.",
}


def say(text: str) -> None:
    """A message to the person, on stderr; on a terminal it cannot move the cursor, whoever wrote it."""
    if sys.stderr.isatty():
        text = "\n".join(escape_controls(line) for line in text.split("\n"))
    typer.echo(f"weir: {text}", err=True)


def leave(code: Exit, text: str) -> NoReturn:
    """Says why and ends the command."""
    say(text)
    raise typer.Exit(code)


@contextmanager
def exit_codes() -> Iterator[None]:
    """Turns what a client command can run into to an exit code and a message."""
    try:
        yield
    except BrokenPipeError:
        # The interpreter flushes stdout once more when it ends, and must not complain then.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise typer.Exit(Exit.OK) from None
    except KeyboardInterrupt:
        raise typer.Exit(Exit.INTERRUPTED) from None
    except ClientError as error:
        leave(_code_of(error), str(error))
    except OutputFailed as error:
        leave(Exit.PARTIAL, f"cannot write the output: {error}")


def _code_of(error: ClientError) -> Exit:
    if isinstance(error, CutShort):
        return Exit.PARTIAL
    if isinstance(error, Unreachable):
        return Exit.UNREACHABLE
    if isinstance(error, BadArgument):
        return Exit.USAGE
    return Exit.REFUSED
