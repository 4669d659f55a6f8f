"""Benchmarks: ratios measured side by side in one run, beside the machine's floor. Nothing here is asserted by a test."""
