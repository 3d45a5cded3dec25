"""The working folder of a run: what is in it, and when it goes."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from accelerate import Accelerator

from dermforge.common.output_folder import claim
from dermforge.common.whole_folder import TEMPORARY
from shards.storage.turn import LOCK, turn

CHECKPOINT, LOG = "checkpoint.safetensors", "log.csv"
LATENTS, PRIOR, VALIDATION = "latents", "prior", "validation"
#: An empty file: nothing here is needed once the tuned pipeline is in its place.
SPENT = "spent"
T = TypeVar("T")


@dataclass(frozen=True)
class Work:
    """The folder; what a stranger put into it stays there."""

    folder: Path

    def claim(self) -> None:
        """Refuse a folder of somebody else; see `output_folder.claim`."""
        claim(self.folder, "the work of fine-tuning", [LOG, CHECKPOINT], [LATENTS, PRIOR, VALIDATION, SPENT])

    def begin(self, fresh: bool) -> None:
        """Make the folder ready for a run, and remove what an earlier one made where it is not to be resumed."""
        if fresh:
            self.remove()
        self.folder.mkdir(parents=True, exist_ok=True)
        self.mark(spent=False)

    def carry_out(
        self, accelerator: Accelerator, train: Callable[[], T] | None, write: Callable[[T], None], keep: bool
    ) -> None:
        """Train, unless that was done already (None), and write; the folder goes once the result is in its place.

        Parameters
        ----------
        write
            Called by the main process alone.
        keep
            Leave the folder, so that a run can be made longer.
        """
        self.claim()
        if train:
            with self._turn(accelerator.is_main_process):
                made = train()
                if accelerator.is_main_process:
                    self.mark(spent=not keep)
                    write(made)
                accelerator.wait_for_everyone()
                accelerator.free_memory()
        if accelerator.is_main_process:
            self.remove_if_spent()

    @contextmanager
    def _turn(self, is_main: bool) -> Iterator[None]:
        """Be the only run that works here; its other processes are let in by the main one."""
        if is_main:
            self.folder.mkdir(parents=True, exist_ok=True)
        with turn(self.folder, patience=0) if is_main else nullcontext():
            yield

    def mark(self, spent: bool) -> None:
        """Write down whether the folder may go once the tuned pipeline is in its place."""
        if spent:
            (self.folder / SPENT).touch()
        else:
            (self.folder / SPENT).unlink(missing_ok=True)

    def remove_if_spent(self) -> None:
        """The last step of a run, and of the next one where a process ended before it."""
        if (self.folder / SPENT).exists():
            self.remove()

    def remove(self) -> None:
        """Remove what runs make; by its mark a later call finds what was left of a folder."""
        temporary = [path for pattern in TEMPORARY for path in self.folder.glob(pattern) if path.name != LOCK]
        for path in (*temporary, *(self.folder / n for n in (LATENTS, PRIOR, VALIDATION, CHECKPOINT, LOG))):
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)
        self.mark(spent=False)
        if self.folder.is_dir() and not any(self.folder.iterdir()):
            self.folder.rmdir()

    def records(self) -> list[tuple[Path, str]]:
        """What stays with the tuned pipeline, and its name there: the log and the sheets."""
        kept = [(self.folder / LOG, LOG)] if (self.folder / LOG).exists() else []
        return kept + [(path, path.name) for path in sorted((self.folder / VALIDATION).glob("*.png"))]
