"""Quality of a fused cube, with and without a reference, computed block by block."""
