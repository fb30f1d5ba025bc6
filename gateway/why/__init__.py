"""Where is my line: what the server knows of streams, refusals and limits, and what it makes of it."""
