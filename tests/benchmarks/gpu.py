"""Each backbone on a GPU: JAX in bfloat16 beside timm under torch.compile, mixed precision and channels-last.

    python tests/benchmarks/gpu.py            the table, on the GPU of this machine
    python tests/benchmarks/gpu.py resnet50   one backbone of it
    python tests/benchmarks/gpu.py --smoke    tiny sizes on a CPU: shows that the script runs, its figures mean nothing

What came out so far is in `results-gpu.md`. Each side has a process of its own, so that neither has the other's memory;
a side's images are on the device already. Medians of several rounds after a warm-up. Compiling takes most of the time,
minutes for a DenseNet121.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from operator import attrgetter
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.peers import TIMM_NAMES

FINDINGS, ROUNDS, STEPS = 14, 7, 10


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("backbones", nargs="*", metavar="BACKBONE", help=f"some of {', '.join(TIMM_NAMES)}")
    parser.add_argument("--smoke", action="store_true")
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--side", choices=SIDES, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if unknown := set(options.backbones) - set(TIMM_NAMES):
        parser.error(f"no backbone {', '.join(sorted(unknown))}: there are {', '.join(TIMM_NAMES)}")
    if options.side:
        print(json.dumps(SIDES[options.side](options.backbones[0], options.batch, options.smoke)))
        return
    names = options.backbones or (["resnet50"] if options.smoke else list(TIMM_NAMES))
    for i, name in enumerate(names):
        ours, theirs = (measure(side, name, options) for side in SIDES)
        if not i:
            print(f"{ours['where']}\n{theirs['where']}\n")
            print("| backbone | what | zoo on JAX, images/s | timm, images/s | ratio |")
            print("| --- | --- | ---: | ---: | ---: |")
        for what in ("training step", "inference"):
            a, b = ours[what], theirs[what]
            print(f"| {name} | {what} | {a:,.0f} | {b:,.0f} | {a / b:.2f} |", flush=True)


def measure(side: str, name: str, options: argparse.Namespace) -> dict[str, Any]:
    """What one side's process says; ends this one where it fails."""
    batch = 2 if options.smoke else options.batch
    command = [sys.executable, __file__, name, "--side", side, "--batch", str(batch)]
    command += ["--smoke"] if options.smoke else []
    # Keras may lie where PYTHONPATH says, on a machine where nothing is installed for good.
    places = [str(Path(__file__).parents[2]), *filter(None, [os.environ.get("PYTHONPATH")])]
    env = os.environ | {"KERAS_BACKEND": "jax", "PYTHONPATH": os.pathsep.join(places)}
    env |= {"JAX_PLATFORMS": "cpu"} if options.smoke else {}
    done = subprocess.run(command, capture_output=True, text=True, env=env, check=False)
    if done.returncode:
        sys.exit(f"{side}, {name}: {(done.stderr.strip().splitlines() or ['no word'])[-1]}")
    return json.loads(done.stdout.splitlines()[-1])


def zoo_on_jax(name: str, batch: int, smoke: bool) -> dict[str, Any]:
    import jax
    import keras

    from zoo.config.specs import EnsembleSpec, MemberSpec
    from zoo.models.ensemble import Ensemble
    from zoo.models.weights.uninitialized import uninitialized
    from zoo.training.losses import WeightedBCE
    from zoo.training.optimizers import build_optimizer
    from zoo.training.recipe import Stage

    if not smoke and jax.default_backend() != "gpu":
        sys.exit(f"JAX computes on a {jax.default_backend()}: this needs a GPU, or --smoke")
    size, steps = (32, 1) if smoke else (224, STEPS)
    keras.mixed_precision.set_global_policy("mixed_bfloat16")
    # Keras' random start is compiled anew for each shape, which takes longer than all that is measured.
    with uninitialized():
        model = Ensemble.from_spec(EnsembleSpec("gpu", (MemberSpec(name),), image_size=size))
    for variable in model.variables:
        variable.assign(start_value(variable.path, variable.shape, variable.dtype))
    stage = Stage("gpu", epochs=1, batch_size=batch, learning_rate=1e-4)
    model.compile(build_optimizer(model, stage, 1000), WeightedBCE())
    pixels, labels = examples(batch, size)
    x, y = jax.device_put(pixels), jax.device_put(labels)
    trainer: Any = model
    trainer.build(x.shape)
    trainer.optimizer.build(trainer.trainable_variables)
    trainer.make_train_function()
    kinds = "trainable_variables", "non_trainable_variables", "optimizer.variables", "metrics_variables"
    state = tuple([variable.value for variable in attrgetter(kind)(trainer)] for kind in kinds)

    def train() -> None:
        nonlocal state
        for _ in range(steps):
            _, state = trainer.train_function(state, iter([(x, y)]))
        jax.block_until_ready(state)

    # Copies: a training step gives its own away.
    weights = [[v.value.copy() for v in kind] for kind in (model.trainable_variables, model.non_trainable_variables)]
    forward = jax.jit(lambda a, b, x: model.stateless_call(a, b, x, training=False)[0])

    def infer() -> None:
        out = [forward(*weights, x) for _ in range(steps)]
        jax.block_until_ready(out)

    found = {"inference": rate(infer, batch * steps), "training step": rate(train, batch * steps)}
    device = jax.devices()[0].device_kind
    return {**found, "where": f"JAX {jax.__version__}, Keras {keras.__version__}, mixed_bfloat16, {device}"}


def timm_compiled(name: str, batch: int, smoke: bool) -> dict[str, Any]:
    import timm
    import torch

    if not smoke and not torch.cuda.is_available():
        sys.exit("PyTorch finds no GPU: this needs one, or --smoke")
    size, steps = (32, 1) if smoke else (224, STEPS)
    device = torch.device("cpu" if smoke else "cuda")
    network = timm.create_model(TIMM_NAMES[name], num_classes=FINDINGS, in_chans=3).to(device)
    network = network.to(memory_format=torch.channels_last)
    compiled = network if smoke else torch.compile(network)
    optimizer = torch.optim.AdamW(network.parameters(), 1e-4)
    pixels, labels = examples(batch, size)
    x = torch.from_numpy(np.repeat(pixels.transpose(0, 3, 1, 2), 3, axis=1) / 255).to(device)
    x, y = x.contiguous(memory_format=torch.channels_last), torch.from_numpy(labels).to(device)
    wait = (lambda: None) if smoke else torch.cuda.synchronize

    def train() -> None:
        compiled.train()
        for _ in range(steps):
            with torch.autocast(device.type, torch.bfloat16):
                logits = compiled(x)
            loss = torch.nn.functional.binary_cross_entropy_with_logits(logits.float(), y)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
        wait()

    def infer() -> None:
        compiled.eval()
        with torch.inference_mode(), torch.autocast(device.type, torch.bfloat16):
            for _ in range(steps):
                compiled(x)
        wait()

    found = {"training step": rate(train, batch * steps), "inference": rate(infer, batch * steps)}
    where = "CPU" if smoke else torch.cuda.get_device_name()
    return {**found, "where": f"PyTorch {torch.__version__}, timm {timm.__version__}, autocast bfloat16, {where}"}


SIDES: dict[str, Callable[[str, int, bool], dict[str, Any]]] = {"zoo": zoo_on_jax, "timm": timm_compiled}


def examples(batch: int, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Grey levels (batch, size, size, 1) and labels (batch, findings), float32."""
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (batch, size, size, 1)).astype(np.float32)
    return pixels, rng.integers(0, 2, (batch, FINDINGS)).astype(np.float32)


def start_value(path: str, shape: tuple[int, ...], dtype: str) -> np.ndarray:
    """A weight as networks start: kernels normal by their fan-in, norms passing on what they get, all else 0."""
    if len(shape) > 1:
        fan_in = math.prod(shape[:2] if shape[-1] == 1 else shape[:-1])  # of a depthwise kernel its window
        rng = np.random.default_rng(list(path.encode()))
        return (rng.standard_normal(shape) * math.sqrt(2 / fan_in)).astype(dtype)
    return np.full(shape, path.endswith(("gamma", "variance")), dtype)


def rate(work: Callable[[], None], items: int) -> float:
    """Items a second: the median of the rounds after two that are not counted."""
    for _ in range(2):
        work()
    seconds = []
    for _ in range(ROUNDS):
        begun = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - begun)
    return items / statistics.median(seconds)


if __name__ == "__main__":
    main()
