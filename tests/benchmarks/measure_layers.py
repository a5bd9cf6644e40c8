"""Where the time of inference goes on a CPU, by kind of layer: JAX beside TensorFlow.

    python tests/benchmarks/measure_layers.py --out tests/benchmarks/results-layers.md

Each convolution and dense layer of the three networks is compiled alone, as Keras does it on either backend, and run on
an input of its size in the network by one thread; each network is compiled whole as well. What the layers do not
account for is the rest: normalisation, activations, sums and pooling. Then the whole networks on all cores, on JAX in
one call and as the zoo calls it. One process for each backend, in turns; the least of all rounds is taken. Some fifteen
minutes.
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
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.machine import available, environment, pin

NETWORKS = ("resnet50", "efficientnetb3", "densenet121")
BACKENDS = ("tensorflow", "jax")
REST, WHOLE, ALONE = "the rest", "whole network", "each image alone"

#: A layer or a network is run again and again in a round: for so many seconds, and so many times.
ROUND, CALLS = 0.2, 4

#: Network, kind -> milliseconds.
Times = dict[tuple[str, str], float]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--size", type=int, default=224, help="height and width of the images in pixels")
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--one", choices=("layers", "networks"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        measure = {"layers": measure_layers, "networks": measure_networks}[options.one]
        print(json.dumps([[*key, value] for key, value in measure(options.size, options.batch).items()]))
        return
    threads = available()
    networks = least("networks", threads, options)
    layers = least("layers", 1, options)  # behind the networks: this process stays on one core
    options.out.write_text(page(layers, networks, options.size, options.batch, threads))


def least(what: str, threads: int, options: argparse.Namespace) -> dict[str, Times]:
    """Backend -> the least of all rounds."""
    found: dict[str, list[Times]] = {backend: [] for backend in BACKENDS}
    for number in range(options.rounds):
        for backend in BACKENDS:
            print(f"{what}, round {number + 1}: {backend}", flush=True)
            found[backend].append(in_process(what, backend, threads, options))
    return {
        backend: {key: min(times[key] for times in rounds) for key in rounds[0]} for backend, rounds in found.items()
    }


def in_process(what: str, backend: str, threads: int, options: argparse.Namespace) -> Times:
    sizes = ["--size", str(options.size), "--batch", str(options.batch), "--out", options.out]
    variables = os.environ | pin(threads) | {"KERAS_BACKEND": backend, "TF_CPP_MIN_LOG_LEVEL": "3"}
    command = [sys.executable, __file__, "--one", what, *sizes]
    told = subprocess.run(command, env=variables, stdout=subprocess.PIPE, check=True, text=True).stdout
    return {(network, kind): value for network, kind, value in json.loads(told.splitlines()[-1])}


def measure_networks(size: int, batch: int) -> Times:
    """Whole networks on this process' backend; on JAX also as the zoo calls it."""
    import keras

    from zoo.models.backbones import Backbone
    from zoo.runtimes import network

    times: Times = {}
    for name in NETWORKS:
        model = Backbone(name, size).network
        values = images(batch, *model.input_shape[1:])
        times[name, WHOLE] = milliseconds(compiled(model, values))
        if keras.config.backend() == "jax":
            times[name, ALONE] = milliseconds(partial(network.function(model), values, batch))
    return times


def measure_layers(size: int, batch: int) -> Times:
    """Each kind of layer on this process' backend."""
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
                known[key] = milliseconds(compiled(alone, images(*shape)))
            times[name, kind] += known[key]
        times[name, WHOLE] = milliseconds(compiled(network, images(batch, *network.input_shape[1:])))
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


def images(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).normal(size=shape).astype("float32")


def milliseconds(call: Callable[[], Any]) -> float:
    """The least time of a call, in milliseconds."""
    for _ in range(3):
        call()
    times: list[float] = []
    while len(times) < CALLS or sum(times) < ROUND:
        began = time.perf_counter()
        call()
        times.append(time.perf_counter() - began)
    return 1000 * min(times)


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


def page(layers: dict[str, Times], networks: dict[str, Times], size: int, batch: int, threads: int) -> str:
    """The tables, and what they were measured on."""
    facts = environment(threads)
    lines = [
        "# Inference on a CPU by kind of layer",
        "",
        f"Three networks at {size} px in batches of {batch}, float32, random weights. Milliseconds of",
        "a batch, the least of all rounds. Made by `python tests/benchmarks/measure_layers.py`, which says how.",
        "",
        "## One thread",
        "",
        "Each layer compiled alone, on an input of its size in the network, summed. The rest is the whole network less",
        "its layers.",
        "",
        "| network | part | TensorFlow, ms | of the whole | JAX, ms | JAX / TensorFlow |",
        "|---|---|---:|---:|---:|---:|",
        *(row for name in NETWORKS for row in rows(name, layers["tensorflow"], layers["jax"])),
        "",
        "## All cores",
        "",
        "The zoo computes one image at a time on each core, since XLA shares a call among them only in part.",
        "",
        "| network | TensorFlow, ms | JAX in one call, ms | JAX as the zoo calls it, ms | that / TensorFlow |",
        "|---|---:|---:|---:|---:|",
        *(whole_row(name, networks["tensorflow"], networks["jax"]) for name in NETWORKS),
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


def whole_row(network: str, tensorflow: Times, jax: Times) -> str:
    first, one, alone = tensorflow[network, WHOLE], jax[network, WHOLE], jax[network, ALONE]
    return f"| {network} | {first:.0f} | {one:.0f} | {alone:.0f} | {alone / first:.2f} |"


if __name__ == "__main__":
    main()
