"""Products: a fused cube as files that other programs open (COG, ENVI, STAC), written block by block.

Values are physical again, and every file states its georeference, its bands and its no-data value.
Which products are wanted is in the configuration; the Zarr store itself is in `store.store`.
"""
