"""What a cluster has and how much of it is taken: counted from what its API server lists, and checked where it comes in. Pure."""
