"""`gen pull`: a tuned pipeline or a bundle from the Hugging Face Hub."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dermforge.common import console
from dermforge.common.errors import CheckFailed
from dermforge.common.hub_address import hub_address

if TYPE_CHECKING:
    from dermforge.common.hub_pull import Remote


def pull(
    source: Annotated[str, typer.Argument(metavar="ADDRESS", help="hf://OWNER/NAME, with @REVISION or not")],
    out: Annotated[Path, typer.Argument(metavar="OUT", help="New folder.")],
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
) -> None:
    """Fetch a pipeline or a bundle that gen push sent to the Hugging Face Hub, and check every digest of it.

    Only files that its own record names are fetched, never pickles, and nothing that is compiled. A stopped pull goes
    on. OUT appears when all is whole; exit status 1 where something is not. @REVISION is a branch, a tag or a commit.

    Example: gen pull hf://me/lesions-sd15 tuned
    """
    from dermforge.common.hub_pull import Format
    from dermforge.common.hub_pull import pull as fetch
    from engines.published import check_whole

    form = Format("a pipeline or a bundle", _chosen, check_whole)
    done = fetch(hub_address(source, "model"), out, form, console.progress)
    if as_json:
        console.print_json(vars(done))
        return
    state = "already there, and as on the hub" if done.was_there else "as it was written"
    console.say(f"{done.out}: {done.files} files, {done.bytes / 1e6:.1f} MB of revision {done.revision[:12]}, {state}")
    if done.left_out:
        console.say(f"not fetched: {', '.join(done.left_out)}")


def _chosen(remote: Remote) -> list[str]:
    """The files that the record in a repository names, all of which have to be there."""
    from engines.published import beside, record_of, recorded

    record = record_of(remote.names)
    remote.read(record)
    if record == "dermforge.json":
        remote.read("model_index.json")
    digests = recorded(remote.folder)
    if lacking := sorted(digests.keys() - set(remote.names)):
        raise CheckFailed(
            f"{remote.repository.address} has no {lacking[0]}, which its {record} names; pull another revision"
        )
    return sorted({*digests, *beside(remote.names, record)})
