"""What the project's own tests share."""

import os

# Before torch loads: on the small LSTMs of the suite, one thread is three times faster than many.
os.environ.setdefault("OMP_NUM_THREADS", "1")

pytest_plugins = ["pytester"]
