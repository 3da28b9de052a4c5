"""Five-layer CNN and object-based image analysis, plan to release: `python -m benchmarks.obia` prints the scores."""
