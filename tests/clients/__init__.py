"""Clients that people use, unmodified, through the host: one host and one member with a node for the whole package."""
