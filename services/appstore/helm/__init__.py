"""Helm, and the walls around it: it runs in a process of its own per operation, as little as it needs within reach."""
