"""Templates of apps: what is known of them, where they may be installed, and their way through review."""
