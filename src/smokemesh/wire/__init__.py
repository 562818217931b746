"""Bytes and messages in memory: packets, batches, signatures. No sockets, no clock."""
