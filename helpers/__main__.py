"""The command line: `./run` sets up and comes here."""

import sys

from helpers.series.commands import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
