"""Kernels of relays."""
