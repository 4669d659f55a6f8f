"""Who may use the host: credentials now; workspaces and grants later."""
