"""Run all benchmarks: `python -m benchmarks`."""

import runpy
import sys
from pathlib import Path

if __name__ == "__main__":
    # The scripts import each other by name, as they do when they are run alone.
    sys.path.insert(0, str(Path(__file__).parent))
    runpy.run_path(str(Path(__file__).parent / "run.py"), run_name="__main__")
