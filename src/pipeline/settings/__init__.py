"""Base and validation of the models that are read from configurations and catalogues."""
