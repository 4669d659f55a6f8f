"""Every request that the front door dispatches, in the audit log (ADR 41): who made it, what it was, what was answered."""
