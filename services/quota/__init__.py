"""Budgets of workspaces over all their members: what is lent to which namespace, and what came back."""
