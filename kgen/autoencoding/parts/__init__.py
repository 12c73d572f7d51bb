"""Machinery that the autoencoding family's systems are built of."""
