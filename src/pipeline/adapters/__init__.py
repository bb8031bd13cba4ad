"""Methods as benchmarks of others call them."""
