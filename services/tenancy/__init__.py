"""Who may use the host, and what they may do there: credentials, workspaces, grants."""
