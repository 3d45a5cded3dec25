"""What a command's programs listen on, tried in namespaces of their own: no network is touched, and all end with it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

ADDRESS = "10.0.0.1"  # of a second interface, as it were
NAMESPACES = ["unshare", "--net", "--pid", "--fork", "--mount-proc", "--kill-child"]
INSIDE = f"""
import json, subprocess, sys
from pathlib import Path
for line in ("link set lo up", "addr add {ADDRESS}/32 dev lo", "route add default dev lo src {ADDRESS}"):
    subprocess.run(["ip", *line.split()], check=True)
done = subprocess.run(sys.argv[1:], capture_output=True, text=True, timeout=120)
rows = [line.split() for kind in ("tcp", "tcp6") for line in Path("/proc/net", kind).read_text().splitlines()[1:]]
print(json.dumps([done.returncode, done.stderr, [row[1] for row in rows if row[3] == "0A"]]))
"""
LOOPBACK = ("0100007F:", "00000000000000000000000001000000:", "0000000000000000FFFF00000100007F:")


def possible() -> bool:
    """Whether this user may make namespaces here."""
    if shutil.which("unshare") is None or shutil.which("ip") is None:
        return False
    return subprocess.run([*NAMESPACES, "true"], capture_output=True, check=False).returncode == 0


def listening(command: Sequence[str], environment: Mapping[str, str]) -> tuple[int, str, list[str], list[str]]:
    """Exit status and stderr of a command, then the ports left open on loopback and those open on other interfaces."""
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    inside = [*NAMESPACES, sys.executable, "-P", "-c", INSIDE, *command]
    env = {**os.environ, **environment, "PATH": path}
    done = subprocess.run(inside, env=env, capture_output=True, text=True, check=True, timeout=180)
    status, said, ports = json.loads(done.stdout)
    local = [port for port in ports if port.startswith(LOOPBACK)]
    return status, said, local, [port for port in ports if port not in local]
