"""Zarr stores and other files with a ledger: written atomically, verified when read."""
