"""`python -m zmart_stream.cli`: the command line without its console script."""

import sys

from zmart_stream.cli.entry import main

if __name__ == "__main__":
    sys.exit(main())
