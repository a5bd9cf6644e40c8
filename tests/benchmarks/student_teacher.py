"""The teacher of `student.py`: the demo's three networks trained at 64 px first, then at 224 px or another size.

zoo train tests/benchmarks/student_teacher.py --data phantoms/
"""

from dataclasses import replace

from zoo.training.recipe import Stage, load_recipe

_demo = load_recipe("xrayslam_demo")

recipe = replace(
    _demo,
    name="student-teacher",
    ensemble=replace(_demo.ensemble, name="student-teacher", image_size=224),
    stages=(
        replace(_demo.stages[0], name="small", image_size=64, best_weights="small.weights.h5"),
        Stage(
            name="large",
            epochs=2,
            batch_size=16,
            learning_rate=5e-4,
            weight_decay=1e-6,
            schedule="warmup_cosine",
            warmup_steps=20,
            early_stopping_patience=None,
        ),
    ),
)
