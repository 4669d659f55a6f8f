"""The front door: authenticates, decides, carries Kubernetes API traffic to members, and serves the host's own API."""
