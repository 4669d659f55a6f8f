"""Requests to members: how each is reached, who vouches for the caller, and what is carried."""
