"""The teacher of `student.py`: the demo's three networks trained at 64 px first, then at 224 px or another size.

zoo train tests/benchmarks/student_teacher.py --data phantoms/
"""

from dataclasses import replace

from zoo.training.recipe import load_recipe

_demo = load_recipe("xrayslam_demo")
_small = replace(_demo.stages[0], name="small", image_size=64, best_weights="small.weights.h5")

recipe = replace(
    _demo,
    name="student-teacher",
    ensemble=replace(_demo.ensemble, name="student-teacher", image_size=224),
    stages=(
        _small,
        replace(
            _small,
            name="large",
            image_size=None,
            epochs=2,
            learning_rate=5e-4,
            warmup_steps=20,
            overrides={},
            best_weights="large.weights.h5",
        ),
    ),
)
