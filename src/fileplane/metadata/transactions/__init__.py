"""The transactions of the metadata, for any engine; each function is an operation of one."""
