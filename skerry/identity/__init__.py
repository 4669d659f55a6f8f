"""Who is calling: keys, NATS credentials, signed assertions, certificates."""
