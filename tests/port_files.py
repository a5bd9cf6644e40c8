"""The five published files of `ported-ensemble` at full size, random, as their authors' code saves them."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import numpy as np
from benchmarks.peers import import_timm, import_torch, import_torchxrayvision

from zoo.names.published import PUBLISHED

#: Name -> file, as its authors call it.
FILES = {
    "xrv-densenet121-all": "all.pt",
    "xrv-densenet121-chex": "chex.pt",
    "xrv-densenet121-mimic_ch": "mimic_ch.pt",
    "medmae-densenet121-nih": "model.safetensors",
    "chexnet-jrzech": "checkpoint",
}


def write(folder: Path) -> dict[str, Any]:
    """Writes the files; returns name -> the network of its authors, in inference, which gives logits."""
    torch, networks = import_torch(), {}
    folder.mkdir(parents=True, exist_ok=True)
    for seed, (name, file) in enumerate(FILES.items()):
        torch.manual_seed(seed)
        if name.startswith("xrv"):
            networks[name] = _lively(import_torchxrayvision().models.DenseNet(weights=None), 1)
            networks[name].pathologies = list(PUBLISHED[name].findings)
            torch.save(networks[name], folder / file)
            continue
        networks[name] = _lively(import_timm().create_model("densenet121", num_classes=14), 3)
        if name.startswith("medmae"):
            from safetensors.torch import save_file

            save_file(networks[name].state_dict(), folder / file)
        else:
            saved = {f"module.{key}": value for key, value in networks[name].state_dict().items()}
            saved = {key.replace("classifier.", "classifier.0."): value for key, value in saved.items()}
            torch.save({"state_dict": saved, "best_loss": 0.1, "epoch": 3, "LR": 0.01}, folder / file)
    return networks


def pixels(name: str, images: np.ndarray) -> Any:
    """What the authors' code makes of uint8 (n, size, size): float32 (n, channels, size, size)."""
    torch = import_torch()
    x = torch.tensor(images[:, None]).float()
    if name.startswith("xrv"):
        return (2 * (x / 255) - 1) * 1024
    imagenet = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
    mean, deviation = ((0.5056,) * 3, (0.252,) * 3) if name.startswith("medmae") else imagenet
    mean, deviation = (torch.tensor(values).view(1, 3, 1, 1) for values in (mean, deviation))
    return ((x / 255).repeat(1, 3, 1, 1) - mean) / deviation


def _lively(network: Any, channels: int) -> Any:
    """In inference, with batch-norm statistics of noise."""
    torch = import_torch()
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = None
    scale = 500 if channels == 1 else 1
    with torch.no_grad():
        network.train()(scale * torch.randn(4, channels, 64, 64))
    return network.eval()


@contextmanager
def served(folder: Path) -> Iterator[tuple[str, list[str]]]:
    """Serves the files of a folder: the address, and the paths that were asked for."""
    asked: list[str] = []

    class Handler(SimpleHTTPRequestHandler):
        def log_message(self, *arguments: Any) -> None:
            asked.append(self.path)

    http = ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=str(folder)))
    Thread(target=http.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{http.server_port}", asked
    finally:
        http.shutdown()
        http.server_close()
