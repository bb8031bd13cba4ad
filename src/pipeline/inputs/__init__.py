"""Files and scenes: readers, the synthetic generator, the Zarr schema and stores. No numerics of fusion."""
