"""The tunnel: HTTP streams as frames over a bus that may lose, repeat and delay. Sans-io: bytes in, events out.

No module here awaits, reads a clock, logs or draws random numbers: `now` is passed in (monotonic seconds). The shells
are in skerry/link. Layers: codes < frames < window < stream < peer; agents and turns stand beside them.
"""
