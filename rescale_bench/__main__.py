"""Run the command line with `python -m rescale_bench`."""

from rescale_bench.cli import main

if __name__ == "__main__":
    raise SystemExit(main())
