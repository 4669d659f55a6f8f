"""skerry app: the App Store. Nothing is imported here: `status` and `list` are called often (skerry/cli/quick.py)."""
