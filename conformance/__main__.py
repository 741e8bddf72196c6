"""``python -m conformance`` is ``lstm-conformance``."""

import sys

from conformance.drivers.cli import main

if __name__ == "__main__":
    sys.exit(main())
