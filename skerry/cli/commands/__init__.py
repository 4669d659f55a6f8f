"""The commands, by what they talk to. Each module imports little at its top: what is heavy is imported where it is used."""
