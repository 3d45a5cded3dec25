"""Joining Ray: actors and tasks on this machine alone, or on a cluster."""

from __future__ import annotations

import os
from typing import Any

from dermforge.common.errors import UserError
from dermforge.common.extras import how_to_install
from dermforge.common.processes import find_only_installed_modules


def connect(address: str) -> Any:
    """Initialise Ray and return the module `ray`; the caller shuts it down.

    Parameters
    ----------
    address
        "local" for this machine only, bound to localhost and without a dashboard; else the address of a cluster.

    Raises
    ------
    UserError
        Ray is not installed, would accept connections from other machines, or finds no cluster at the address.
    """
    # Ray 2.60 would otherwise write a token into the home folder, which may be read-only.
    os.environ.setdefault("RAY_AUTH_MODE", "disabled")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    if address == "local":  # read on import; else Ray replaces 127.0.0.1 by the machine's address
        os.environ["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "0"
    find_only_installed_modules()
    try:
        import ray
        from ray.job_config import JobConfig
    except ImportError as error:
        raise UserError(f"Ray is not installed: {how_to_install('ray')}") from error
    # Ray puts the current folder first on the path of its workers, except for the jobs of its remote client.
    job = JobConfig(_client_job=True)
    if address == "local":
        ray.init(
            address="local",
            include_dashboard=False,
            job_config=job,
            _node_ip_address="127.0.0.1",
            log_to_driver=False,
            object_store_memory=100 << 20,
        )
        if ray.util.get_node_ip_address() != "127.0.0.1":
            ray.shutdown()
            raise UserError(
                "Ray would accept connections from other machines, because it was imported before; use a new process"
            )
        return ray
    try:
        ray.init(address=address, job_config=job, log_to_driver=False)
    except (ConnectionError, ValueError, RuntimeError) as error:
        raise UserError(
            f"no Ray cluster at {address!r} ({str(error).splitlines()[0]}); give its HOST:PORT, or local"
        ) from error
    return ray
