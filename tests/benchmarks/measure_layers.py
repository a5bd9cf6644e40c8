"""Where the time of inference goes on a CPU, by kind of layer: JAX beside TensorFlow.

    python tests/benchmarks/measure_layers.py --out tests/benchmarks/results-layers.md

Each convolution and dense layer of the three networks is compiled alone, as Keras does it on either backend, and run on
an input of its size in the network; each network is compiled whole as well. What the layers do not account for is the
rest: normalisation, activations, sums and pooling. One process for each backend, in turns; the least of all rounds is
taken. Some ten minutes with one thread.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.machine import environment, pin

NETWORKS = ("resnet50", "efficientnetb3", "densenet121")
BACKENDS = ("tensorflow", "jax")
REST, WHOLE = "the rest", "whole network"

#: Seconds for which a layer or a network is run again and again in a round.
ROUND = 0.2

#: Network, kind -> milliseconds.
Times = dict[tuple[str, str], float]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--size", type=int, default=224, help="height and width of the images in pixels")
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--one", choices=BACKENDS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        print(json.dumps([[*key, value] for key, value in measure(options.size, options.batch).items()]))
        return
    found: dict[str, list[Times]] = {backend: [] for backend in BACKENDS}
    for number in range(options.rounds):
        for backend in BACKENDS:
            print(f"round {number + 1}: {backend}", flush=True)
            found[backend].append(in_process(backend, options))
    least = {
        backend: {key: min(times[key] for times in rounds) for key in rounds[0]} for backend, rounds in found.items()
    }
    options.out.write_text(page(least["tensorflow"], least["jax"], options))


def in_process(backend: str, options: argparse.Namespace) -> Times:
    words = [__file__, "--one", backend, "--size", str(options.size), "--batch", str(options.batch)]
    variables = os.environ | pin(options.threads) | {"KERAS_BACKEND": backend, "TF_CPP_MIN_LOG_LEVEL": "3"}
    told = subprocess.run([sys.executable, *words], env=variables, stdout=subprocess.PIPE, check=True, text=True).stdout
    return {(network, kind): value for network, kind, value in json.loads(told.splitlines()[-1])}


def measure(size: int, batch: int) -> Times:
    """Of this process' backend."""
    import keras

    from zoo.models.backbones import Backbone, leaf_layers

    times: Times = defaultdict(float)
    for name in NETWORKS:
        network = Backbone(name, size).network
        known: dict[str, float] = {}
        for layer in leaf_layers(network):
            if (kind := kind_of(layer)) is None:
                continue
            shape = (batch, *layer.input.shape[1:])
            key = json.dumps([shape, type(layer).__name__, {**layer.get_config(), "name": ""}], default=str)
            if key not in known:
                alone = keras.Sequential(
                    [keras.Input(batch_shape=shape), layer.__class__.from_config(layer.get_config())]
                )
                known[key] = milliseconds(alone, shape)
            times[name, kind] += known[key]
        times[name, WHOLE] = milliseconds(network, (batch, *network.input_shape[1:]))
    return dict(times)


def kind_of(layer: Any) -> str | None:
    """What is timed alone."""
    import keras

    if isinstance(layer, keras.layers.DepthwiseConv2D):
        return "depthwise convolutions"
    if isinstance(layer, keras.layers.Conv2D):
        if layer.input.shape[1] == 1:
            return "squeeze-and-excite"
        rows, columns = layer.kernel_size
        return f"{rows}x{columns} convolutions"
    return "squeeze-and-excite" if isinstance(layer, keras.layers.Dense) else None


def milliseconds(model: Any, shape: tuple[int, ...]) -> float:
    """The least time of a call of a compiled model, in milliseconds."""
    values = np.random.default_rng(0).normal(size=shape).astype("float32")
    call = compiled(model, values)
    call()
    least, end = np.inf, time.perf_counter() + ROUND
    for _ in range(2):
        call()
    while time.perf_counter() < end:
        began = time.perf_counter()
        call()
        least = min(least, time.perf_counter() - began)
    return 1000 * least


def compiled(model: Any, values: np.ndarray) -> Callable[[], Any]:
    """A call that ends when the result is there."""
    import keras

    if keras.config.backend() == "tensorflow":
        import tensorflow as tf

        given, graph = tf.constant(values), tf.function(lambda x: model(x, training=False))
        return lambda: graph(given)
    import jax

    states = (
        [variable.value for variable in model.trainable_variables],
        [v.value for v in model.non_trainable_variables],
    )
    given = jax.device_put(values)
    function = jax.jit(lambda trainable, others, x: model.stateless_call(trainable, others, x, training=False)[0])
    return lambda: jax.block_until_ready(function(*states, given))


def page(tensorflow: Times, jax: Times, options: argparse.Namespace) -> str:
    """The table, and what it was measured on."""
    facts = environment(options.threads)
    lines = [
        "# Inference on a CPU by kind of layer",
        "",
        f"Three networks at {options.size} px in batches of {options.batch}, float32, random weights. Milliseconds of",
        "a batch: each layer compiled, on an input of its size in the network, summed; the least of all rounds.",
        "The rest is the whole network less its layers.",
        "",
        "Made by `python tests/benchmarks/measure_layers.py`, which says how.",
        "",
        "| network | part | TensorFlow, ms | of the whole | JAX, ms | JAX / TensorFlow |",
        "|---|---|---:|---:|---:|---:|",
        *(row for name in NETWORKS for row in rows(name, tensorflow, jax)),
        "",
        f"- {facts['processor']}, {facts['system']}; threads: {facts['threads']}",
        "- " + ", ".join(f"{name} {version}" for name, version in facts["packages"].items()),
    ]
    return "\n".join(lines) + "\n"


def rows(network: str, tensorflow: Times, jax: Times) -> list[str]:
    kinds = sorted(kind for name, kind in tensorflow if name == network and kind != WHOLE)
    parts = [(kind, tensorflow[network, kind], jax[network, kind]) for kind in kinds]
    whole = tensorflow[network, WHOLE], jax[network, WHOLE]
    rest = whole[0] - sum(part[1] for part in parts), whole[1] - sum(part[2] for part in parts)
    return [
        f"| {network} | {kind} | {first:.1f} | {100 * first / whole[0]:.0f} % | {second:.1f} | {second / first:.2f} |"
        for kind, first, second in [*parts, (REST, *rest), (WHOLE, *whole)]
    ]


if __name__ == "__main__":
    main()
