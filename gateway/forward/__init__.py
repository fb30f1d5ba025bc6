"""The Fluent Forward door (protocol v1): Fluent Bit, Fluentd, Docker and the fluent-logger libraries send here."""
