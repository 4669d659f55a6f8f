"""Events as webhooks: sinks, their secrets, and the deliveries."""
