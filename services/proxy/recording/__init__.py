"""Recorded sessions of exec and attach: see docs/adr/0042."""
