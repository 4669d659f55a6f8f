"""Benchmarks: what Skerry costs, measured beside what it is compared with, in one run. Not part of the package.

A suite is a module of this package with `measure(rounds) -> figures` (a JSON object) and `show(figures, console)`.
"""
