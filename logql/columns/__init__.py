"""Pipelines by columns: what a parser, a label filter or an unwrap makes of all lines of a unit at once.

Only what is certain is decided here: rows whose stage does something unusual are left to the scalar stages, which stay
the definition of what each of them means.
"""
