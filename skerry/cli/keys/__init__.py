"""The host's own keys: which there are, and how each is replaced while everything runs."""
