"""Relays: what came in is sent on, batch by batch, and kept until the destination has it."""
