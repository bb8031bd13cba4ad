"""The catalogue of public scenes, and how they are fetched and verified."""
