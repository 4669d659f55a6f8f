"""Repositories of charts: who may have which, their credentials, and syncs, by which what they have becomes versions of apps."""
