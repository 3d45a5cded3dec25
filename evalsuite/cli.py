"""The `evalsuite` command."""

from __future__ import annotations

from typing import NoReturn

from dermforge.common.program import Program

PROGRAM = Program(
    "Does synthetic data help, at which dose, and for whom?",
    {
        "run": "evalsuite.commands.run:run",
        "train": "evalsuite.commands.train:train",
        "predict": "evalsuite.commands.predict:predict",
        "fairness": "evalsuite.commands.fairness:fairness",
        "study": "evalsuite.commands.study:study",
        "report": "evalsuite.commands.report:report",
        "quality": "evalsuite.commands.quality:quality",
        "tone": "evalsuite.commands.tone:tone",
        "privacy": "evalsuite.commands.privacy:privacy",
        "leak": "evalsuite.commands.leak:leak",
        "use": "evalsuite.commands.use:use",
        "filter": "evalsuite.commands.filter:filter_images",
        "reader-study": "evalsuite.commands.reader_study:reader_study",
        "plan-size": "evalsuite.commands.plan_size:plan_size",
        "rare-groups": "evalsuite.commands.rare_groups:rare_groups",
        "readers": "evalsuite.commands.readers:readers",
        "selfcheck": "evalsuite.commands.selfcheck:selfcheck",
    },
)


def main() -> NoReturn:
    """Entry point."""
    PROGRAM.run()
