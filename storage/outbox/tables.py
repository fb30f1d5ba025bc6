"""The tables of control.db that the outbox and the figures of senders have. FORMAT.md says what is in them."""

from __future__ import annotations

SCHEMA = """
CREATE TABLE IF NOT EXISTS relays (
    name TEXT PRIMARY KEY, seq INTEGER NOT NULL, row INTEGER NOT NULL, holds_retention INTEGER NOT NULL,
    created INTEGER NOT NULL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS relay_batches (
    relay TEXT NOT NULL, uuid BLOB NOT NULL, tenant TEXT NOT NULL,
    first_seq INTEGER NOT NULL, first_row INTEGER NOT NULL, end_seq INTEGER NOT NULL, end_row INTEGER NOT NULL,
    records INTEGER NOT NULL, bytes INTEGER NOT NULL, status TEXT NOT NULL,
    started INTEGER NOT NULL, completed INTEGER NOT NULL, retries INTEGER NOT NULL, error TEXT NOT NULL,
    PRIMARY KEY (relay, uuid)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS relay_batches_started ON relay_batches (started);
CREATE TABLE IF NOT EXISTS relay_totals (
    relay TEXT NOT NULL, status TEXT NOT NULL, batches INTEGER NOT NULL, records INTEGER NOT NULL,
    bytes INTEGER NOT NULL, PRIMARY KEY (relay, status)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS archived (at INTEGER PRIMARY KEY, seq INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS instances (
    tenant TEXT NOT NULL, name TEXT NOT NULL, batches INTEGER NOT NULL, records INTEGER NOT NULL,
    received INTEGER NOT NULL, path TEXT NOT NULL, PRIMARY KEY (tenant, name)
) WITHOUT ROWID;
"""
