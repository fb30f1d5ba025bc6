"""Patterns of lines: which shapes the lines of a stream have, as Loki's `/patterns` answers. No files, no sockets."""
