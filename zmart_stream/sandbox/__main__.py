"""`python -m zmart_stream.sandbox`: the venue as a process of its own."""

import sys

from zmart_stream.sandbox.main import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
