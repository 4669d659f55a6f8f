"""A member's API server, as whoever stands before it reaches it: an agent on the member, or the host on a direct one.

Kubeconfigs, credentials, TLS, impersonation, bindings, checks and the execution of one request are the same on both
sides, so that a direct member is no second data plane. Nothing here knows how a request came to be here.
"""
