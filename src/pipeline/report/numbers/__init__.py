"""Tables, statistics and published figures of the report."""
