"""Secrets at rest and in memory: the master key, what it protects, and where secrets that are kept elsewhere are read."""
