"""Joining Ray: actors and tasks on this machine alone, or on a cluster.

Ray runs the code of anybody who reaches one of its ports: other users of this machine on the loopback interface, and
others on every other interface, on which a cluster listens. A token keeps out those who do not have it.
"""

from __future__ import annotations

import ipaddress
import os
import secrets
from pathlib import Path
from typing import Any

from dermforge.common.errors import UserError, first_line
from dermforge.common.extras import how_to_install
from dermforge.common.processes import find_only_installed_modules

#: Ray reads it on import. Unless it is 0, Ray takes the machine's address for 127.0.0.1 and listens on every interface.
NETWORK = "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"


def connect(address: str) -> Any:
    """Initialise Ray and return the module `ray`; the caller shuts it down.

    Parameters
    ----------
    address
        "local" for this machine only, bound to localhost, with a token of its own and without a dashboard; else the
        address of a cluster. Unless that is a loopback address, Ray listens on every interface of this machine too.

    Raises
    ------
    UserError
        Ray is not installed, would accept connections from other machines, or finds no cluster at the address; or no
        token is given for the cluster.
    """
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    if address == "local":
        os.environ[NETWORK] = "0"
        _give_token()
    else:
        if _is_loopback(address):
            os.environ.setdefault(NETWORK, "0")
        _require_token(address)
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
            f"no Ray cluster at {address!r} ({first_line(error)}), or one with another token; give its "
            "HOST:PORT and its RAY_AUTH_TOKEN, or local"
        ) from error
    return ray


def _is_loopback(address: str) -> bool:
    host = address.rpartition(":")[0].strip("[]")
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _give_token() -> None:
    """A token for this process and its children, in memory only; Ray would write one into the home folder."""
    os.environ.setdefault("RAY_AUTH_MODE", "token")
    os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))


def _require_token(address: str) -> None:
    """Ray itself would join a cluster without one, and be open to others, with no more than a warning."""
    if os.environ.setdefault("RAY_AUTH_MODE", "token") != "token":
        return  # somebody has said so
    file = os.environ.get("RAY_AUTH_TOKEN_PATH") or Path.home() / ".ray" / "auth_token"
    if not os.environ.get("RAY_AUTH_TOKEN") and not Path(file).is_file():
        raise UserError(
            f"no token is given for the Ray cluster at {address!r}: Ray runs the code of anybody who reaches one of "
            "its ports, on this machine too. Set RAY_AUTH_TOKEN to the same secret on all machines of the cluster; or "
            "RAY_AUTH_MODE=disabled, if everybody who can reach them may do so"
        )
