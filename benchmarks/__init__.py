"""Benchmarks: each module is a program that prints a table with ratios; none asserts a time."""
