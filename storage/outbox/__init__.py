"""The outbox: the log of WAL records as others are owed it, and how far each of them is.

A relay is a cursor here and a sink elsewhere. What a cursor has not passed is kept: in the log, and once that lets a
segment go, in `archive/`.
"""
