"""Metrics: values that are summed up over batches."""
