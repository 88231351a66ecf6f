"""The shell around the core: Kafka, Redis, HTTP, the clock and the command line."""

import os

# Read when NumPy is imported, which nothing has done yet. On shared cores the threads of its linear
# algebra wait for each other: products as small as ours took up to 100 times as long.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
