"""Skerry: the shared kernel that every process and the command line are built on."""

__version__ = "0.1.0"
