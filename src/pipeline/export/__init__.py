"""Products: a fused cube as files that other programs open (COG, ENVI, STAC), written block by block.

Values are physical again, and every file says where it lies, what its bands are and what is no data.
Which products are wanted is in the configuration; the Zarr store itself is in `store.store`.
"""
