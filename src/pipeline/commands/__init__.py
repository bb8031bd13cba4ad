"""Commands that people call by hand: they read runs and files, and no rule calls them."""
