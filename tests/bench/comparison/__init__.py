"""Comparison of sinkstream with its peers on one machine: what tests/bench/compare.py is made of."""
