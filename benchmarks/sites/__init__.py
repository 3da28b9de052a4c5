"""The places where models are scored, one file each; `benchmarks.model_sites` puts them together."""
