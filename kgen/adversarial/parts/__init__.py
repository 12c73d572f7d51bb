"""Machinery that the adversarial family's systems are built of."""
