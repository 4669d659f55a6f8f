"""The contract: every resource and message that crosses a process boundary, as msgspec Structs."""
