"""The life of clusters: the one host, join tokens, joining, presence, renewal, removal."""
