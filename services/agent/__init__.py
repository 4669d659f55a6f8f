"""The agent: the only thing that is installed on a member. It dials out to the host and never listens.

It holds the member's side of every promise: it vouches to the member's API server for identities that a proxy signed
(`identity`), refuses what the member's own administrator forbade (`ceiling`), relays requests byte by byte
(`handlers`), and stays connected for ever (`controller`). It imports little: its memory is part of the contract.
"""
