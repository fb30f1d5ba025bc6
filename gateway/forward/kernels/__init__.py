"""Kernels over msgpack as senders of Fluent Forward write it."""
