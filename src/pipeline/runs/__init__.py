"""Files of a run and how they are made: the results tree, the stores of the steps, tiles and batches."""
