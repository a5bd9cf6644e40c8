"""What the service counts and measures, in the text format of Prometheus. No label holds a name, address or token."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
_IMAGES = (1, 2, 4, 8, 16, 32, 64, 128)

#: Value of the label `path` for addresses that the service does not have, of which there are any number.
OTHER = "other"


class Metrics:
    """The metrics of one service, in a registry of its own.

    Example:
        >>> metrics = Metrics()
        >>> metrics.images.labels("predicted").inc(3)
        >>> b'zoo_images_total{outcome="predicted"} 3.0' in metrics.text()
        True
    """

    def __init__(self) -> None:
        self.registry = own = CollectorRegistry()
        self.requests = Counter("zoo_requests", "Requests by path and status.", ["path", "status"], registry=own)
        self.images = Counter("zoo_images", "Images by outcome: predicted or unreadable.", ["outcome"], registry=own)
        self.errors = Counter("zoo_errors", "Refused requests by kind.", ["kind"], registry=own)
        self.request_seconds = Histogram(
            "zoo_request_seconds", "Time of a request to /predict, upload included.", registry=own, buckets=_SECONDS
        )
        self.read_seconds = Histogram("zoo_read_seconds", "Time to decode one image.", registry=own, buckets=_SECONDS)
        self.wait_seconds = Histogram(
            "zoo_wait_seconds", "Time of one image from its upload to its batch.", registry=own, buckets=_SECONDS
        )
        self.batch_seconds = Histogram(
            "zoo_batch_seconds", "Time of the network for one batch.", registry=own, buckets=_SECONDS
        )
        self.batch_images = Histogram("zoo_batch_images", "Images in a batch.", registry=own, buckets=_IMAGES)
        self.queue = Gauge("zoo_queue_images", "Images that are read or wait.", registry=own)
        self.in_flight = Gauge("zoo_requests_in_flight", "Requests to /predict that have no answer yet.", registry=own)
        self.held = Gauge("zoo_upload_bytes", "Bytes of uploads in memory.", registry=own)
        ProcessCollector(registry=own)

    def text(self) -> bytes:
        """Returns all metrics in the text format of Prometheus."""
        return generate_latest(self.registry)
