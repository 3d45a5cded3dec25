"""What every command shares: one line for a user's mistake, progress of long jobs, JSON on request. Commands only."""

from __future__ import annotations

import errno
import functools
import os
import re
import signal
import sys
import time
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from types import FrameType, TracebackType
from typing import IO, Any, NoReturn, TypeVar

import typer
from rich.console import Console, ConsoleOptions, RenderableType
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.segment import Segment
from rich.text import Text

from dermforge.common.as_json import document
from dermforge.common.errors import CheckFailed, DataWarning, Stopped, UserError, system_error
from dermforge.common.option_names import as_typed
from dermforge.common.processes import find_only_installed_modules
from dermforge.common.progress import Ticker
from dermforge.common.texts_as_values import seconds_from_environment

T = TypeVar("T")

#: Exit status of an interrupted command.
INTERRUPTED = 130

#: Columns where there is no terminal. Rich would take 80 and cut the names in a wide table short.
WIDE = 160


#: Characters that move the cursor, change colours or titles, or turn the direction of a text around.
_COMMANDS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


class _PlainConsole(Console):
    """A console to which no text of a file can give commands: each character of one is shown as \ufffd."""

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        for segment in super().render(renderable, options):
            if segment.control or not _COMMANDS.search(segment.text):
                yield segment
            else:
                yield Segment(_COMMANDS.sub("\ufffd", segment.text), segment.style)


def new_console(*, stderr: bool = False, width: int | None = None, file: IO[str] | None = None) -> Console:
    """A console that prints every text as it is, in lines, titles and cells of tables: a group may be called [red].

    Colour is a style of `rich.text.Text`, never a word in brackets.
    """
    return _PlainConsole(stderr=stderr, width=width, file=file, highlight=False, markup=False, emoji=False)


out = new_console(width=None if sys.stdout.isatty() or "COLUMNS" in os.environ else WIDE)
err = new_console(stderr=True)


def new_app(help: str) -> typer.Typer:
    """A Typer application without Typer's own tracebacks and shell completion."""
    return typer.Typer(
        help=help, no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None
    )


def run(app: typer.Typer) -> NoReturn:
    """Run an application. A user's mistake becomes one line on stderr and exit status 2, a failed check status 1.

    Arguments that library code names in backticks are said as the command's options.
    """
    signal.signal(signal.SIGTERM, _terminate)
    find_only_installed_modules()
    usual = warnings.showwarning
    try:
        warnings.showwarning = functools.partial(_show_warning, usual)
        app()
    except CheckFailed as error:
        warn(_said(app, error), "check failed", "red")
        sys.exit(1)
    except UserError as error:
        warn(_said(app, error), "error", "red")
        sys.exit(2)
    except Stopped as error:
        _stopped(str(error))
    except Exception as error:
        failed = system_error(error)  # such as a full disk or a read-only folder: not a bug
        if failed is None:
            raise
        name = f" ({failed.filename})" if failed.filename else ""
        if failed.errno == errno.ENOSPC:
            name += ": free some space and run the same command again; finished work is kept"
        warn(f"{failed.strerror or failed}{name}", "error", "red")
        sys.exit(2)
    except KeyboardInterrupt:
        _stopped()
    except SystemExit as error:  # Typer ends an interrupted command itself
        if error.code == INTERRUPTED:
            _stopped()
        raise
    finally:
        warnings.showwarning = usual
    sys.exit(0)


def _said(app: typer.Typer, error: Exception) -> str:
    return as_typed(str(error), _commands(app))


def _commands(app: typer.Typer) -> Iterator[Callable[..., object]]:
    """The commands of an application and of the programs in it."""
    yield from (one.callback for one in app.registered_commands if one.callback)
    for group in app.registered_groups:
        if group.typer_instance:
            yield from _commands(group.typer_instance)


def _show_warning(usual: Callable[..., None], message: Warning | str, category: type[Warning], *where: Any) -> None:
    if issubclass(category, DataWarning):
        warn(str(message), "note")
    else:
        usual(message, category, *where)


def _stopped(what_is_left: str = "run the same command again to resume") -> NoReturn:
    err.print(f"stopped; {what_is_left}", soft_wrap=True)
    sys.exit(INTERRUPTED)


@contextmanager
def without_resuming(what_is_left: str) -> Iterator[None]:
    """Around the work of a command that starts from nothing each time: nobody is told to run it again.

    Parameters
    ----------
    what_is_left
        Said when somebody stops the command or the disk is full: where its work so far is.

    Raises
    ------
    Stopped
        It was interrupted.
    UserError
        The disk is full.
    """
    try:
        yield
    except KeyboardInterrupt as error:
        raise Stopped(what_is_left) from error
    except Exception as error:
        failed = system_error(error)
        if failed is None or failed.errno != errno.ENOSPC:
            raise
        raise UserError(f"{failed.strerror} ({failed.filename or 'no file named'}); {what_is_left}") from error


def _terminate(signum: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def say(text: str, style: str | None = None) -> None:
    """Print a line as it is: brackets are no markup, and long lines are not broken."""
    out.print(text, style=style, soft_wrap=True)


def warn(text: str, word: str = "warning", style: str = "yellow") -> None:
    """Print a line on stderr after a coloured word, such as `warning: ...`."""
    err.print(Text.assemble((f"{word}:", style), " ", text), soft_wrap=True)


def print_json(value: Any) -> None:
    """Print one JSON document with sorted keys; NaN becomes null."""
    sys.stdout.write(document(value))


def rate_text(done: float, seconds: float, unit: str = "images") -> str:
    """`3.2 images/s`; where one of them takes longer than a second, `12.5 s per image`."""
    rate = done / max(seconds, 1e-9)
    return f"{1 / rate:.1f} s per {unit.removesuffix('s')}" if 0 < rate < 1 else f"{rate:.1f} {unit}/s"


@contextmanager
def progress(what: str, total: int | None, unit: str = "images") -> Iterator[Ticker]:
    """Show progress on stderr, with a rate and, where the total is known, the remaining time.

    On a terminal it is a bar, elsewhere a plain line at most every ten seconds.
    """
    display: _Bar | _Lines = _Bar(what, total, unit) if err.is_terminal else _Lines(what, total, unit)
    with display:
        yield display.tick


def track(items: Iterable[T], what: str, total: int | None, unit: str = "images") -> Iterator[T]:
    """Iterate and show progress, one unit for each item."""
    with progress(what, total, unit) as tick:
        for item in items:
            yield item
            tick()


class _Bar:
    def __init__(self, what: str, total: int | None, unit: str) -> None:
        self.progress = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[rate]}", markup=False),
            TimeRemainingColumn(),
            TextColumn("{task.fields[note]}", markup=False),
            console=err,
            transient=False,
        )
        self.task = self.progress.add_task(what, total=total, rate="", note="")
        self.unit, self.start, self.done = unit, time.monotonic(), 0

    def tick(self, n: int = 1, note: str = "") -> None:
        self.done += n
        rate = rate_text(self.done, time.monotonic() - self.start, self.unit)
        self.progress.update(self.task, advance=n, rate=rate, note=note)

    def __enter__(self) -> None:
        self.progress.start()

    def __exit__(self, kind: type[BaseException] | None, e: BaseException | None, tb: TracebackType | None) -> None:
        self.progress.stop()


class _Lines:
    def __init__(self, what: str, total: int | None, unit: str) -> None:
        self.what, self.total, self.unit = what, total, unit
        self.start = self.last = time.monotonic()
        self.done = 0
        self.interval = seconds_from_environment("DERMFORGE_PROGRESS_INTERVAL", 10)

    def tick(self, n: int = 1, note: str = "") -> None:
        self.done += n
        now = time.monotonic()
        if now - self.last >= self.interval:
            self.last = now
            self.line(now, note)

    def line(self, now: float, note: str = "") -> None:
        seconds = now - self.start
        rate = rate_text(self.done, seconds, self.unit)
        if self.total is None:
            text = f"{self.what}: {self.done} ({rate}) {note}"
        else:
            left = f", {(self.total - self.done) * seconds / self.done:.0f} s left" if self.done else ""
            text = f"{self.what}: {self.done}/{self.total} ({rate}{left}) {note}"
        err.print(text.rstrip(), soft_wrap=True)

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, e: BaseException | None, tb: TracebackType | None) -> None:
        now = time.monotonic()
        if now - self.start > 2:
            self.line(now)
