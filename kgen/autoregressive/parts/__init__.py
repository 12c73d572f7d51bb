"""Machinery that the autoregressive family's systems are built of."""
