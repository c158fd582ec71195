"""From raw tables to arrays: logs, batches, text features, and the loaders of real data."""
