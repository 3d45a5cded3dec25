"""The `evalsuite` command."""

from __future__ import annotations

from typing import NoReturn

from evalsuite.commands.fairness import fairness
from evalsuite.commands.filter import filter_images
from evalsuite.commands.predict import predict
from evalsuite.commands.privacy import privacy
from evalsuite.commands.quality import quality
from evalsuite.commands.reader_study import reader_study
from evalsuite.commands.report import report
from evalsuite.commands.run import run
from evalsuite.commands.selfcheck import selfcheck
from evalsuite.commands.study import study
from evalsuite.commands.tone import tone
from evalsuite.commands.train import train
from shards import console

app = console.new_app("Does synthetic data help, at which dose, and for whom?")
for command in (run, train, predict, fairness, study, report, quality, tone, privacy):
    app.command()(command)
app.command("filter")(filter_images)
app.command()(reader_study)
app.command()(selfcheck)


def main() -> NoReturn:
    """Entry point."""
    console.run(app)


if __name__ == "__main__":
    main()
