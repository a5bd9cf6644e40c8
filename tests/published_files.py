"""Tensors with the names and shapes of published weights files, written down from the definitions of the networks."""

import numpy as np


def densenet(outputs: int = 3, prefix: str = "", stem: int = 3) -> dict[str, np.ndarray]:
    """Tensors with the names and shapes of torchvision's DenseNet121, written down from its definition."""
    rng, tensors = np.random.default_rng(0), {}

    def weight(name, *shape):
        tensors[f"{prefix}{name}"] = rng.normal(0, 0.05, shape).astype("float32")

    def norm(name, channels):
        for part in ("weight", "bias", "running_mean"):
            weight(f"{name}.{part}", channels)
        tensors[f"{prefix}{name}.running_var"] = rng.uniform(0.5, 2, channels).astype("float32")
        tensors[f"{prefix}{name}.num_batches_tracked"] = np.array(7)

    weight("features.conv0.weight", 64, stem, 7, 7)
    norm("features.norm0", 64)
    channels = 64
    for block, layers in enumerate((6, 12, 24, 16), start=1):
        for i in range(1, layers + 1):
            place = f"features.denseblock{block}.denselayer{i}"
            norm(f"{place}.norm1", channels)
            weight(f"{place}.conv1.weight", 128, channels, 1, 1)
            norm(f"{place}.norm2", 128)
            weight(f"{place}.conv2.weight", 32, 128, 3, 3)
            channels += 32
        if block < 4:
            norm(f"features.transition{block}.norm", channels)
            weight(f"features.transition{block}.conv.weight", channels // 2, channels, 1, 1)
            channels //= 2
    norm("features.norm5", channels)
    weight("classifier.weight", outputs, channels)
    weight("classifier.bias", outputs)
    return tensors
