"""Level-triggered work by key: a queue, the controller that empties it, and the lease of the one who may.

Light on purpose, since the agent's applier stands on it too: nothing here imports storage, the informer or the bus's
client at its top.
"""
