"""The host's keys where the host is in pods: Secrets of its namespace, made and renewed by `skerry bootstrap`."""
