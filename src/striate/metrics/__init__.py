"""Metrics: values that are gathered over batches."""

from striate.metrics.metric import Metric
from striate.metrics.reduction import Mean, MeanMetricWrapper, Sum

__all__ = ["Mean", "MeanMetricWrapper", "Metric", "Sum"]
