"""Speed as ratios within one run: `pytest tests/benchmarks --benchmark-enable -s`."""
