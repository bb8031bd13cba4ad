"""One module per workflow step: open stores, call the floors below, write the result atomically."""
