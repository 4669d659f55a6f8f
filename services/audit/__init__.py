"""Audit: the policy that says what is recorded, and anchors that say what was."""
