"""The microservices of Skerry. Each talks to the others over NATS only; composition roots alone import services."""
