"""``python bench/run.py mc --quick`` is ``deepglass bench mc --quick``; the benches are in python/deepglass/bench."""

import sys

from deepglass.cli import main

sys.exit(main(["bench", *sys.argv[1:]]))
