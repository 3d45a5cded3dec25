"""`python -m shards`. The current folder, which Python puts first on the path, is taken off it."""

import os
import sys

if __name__ == "__main__":
    if not sys.flags.safe_path and not os.path.samefile(sys.path[0], os.path.dirname(os.path.dirname(__file__))):
        del sys.path[0]
    from shards.cli import main

    main()
