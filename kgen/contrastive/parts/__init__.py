"""Machinery that the contrastive family's systems are built of."""
