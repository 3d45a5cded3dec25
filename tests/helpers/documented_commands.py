"""The command lines of the documentation."""

from __future__ import annotations

import re
from pathlib import Path

PROGRAMS = ("gen", "shards", "evalsuite", "bench")


def command_lines(page: Path) -> list[str]:
    """Lines of our programs in code blocks, fenced or indented, continued lines joined; in a container too."""
    text = page.read_text(encoding="utf-8").replace("\\\n", " ")
    fenced = [
        line
        for block in re.findall(r"^```bash\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
        for line in block.splitlines()
    ]
    unfenced = re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)
    indented = [line.strip() for line in unfenced.splitlines() if line.startswith("    ")]
    lines = [re.sub(r"^docker run .* dermforge ", "", line) for line in (*fenced, *indented)]
    return [line for line in lines if line.split(" ")[0] in PROGRAMS]
