"""The edge: everything that knows HTTP and ASGI, and nothing that knows SQL or disks."""
