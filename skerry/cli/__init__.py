"""The command line, and the lean supervisor of the host's processes. Nothing is imported here: start-up time counts."""
