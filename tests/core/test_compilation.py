"""What JAX compiles for us is kept for the next process; what a user set is left alone."""

import numpy as np
import pytest

from zoo.core import compilation


@pytest.fixture
def jax(monkeypatch):
    jax = pytest.importorskip("jax")
    import keras

    if keras.config.backend() != "jax":
        pytest.skip("about JAX alone")
    from jax.experimental.compilation_cache import compilation_cache

    own = {"jax_compilation_cache_dir": None, "jax_persistent_cache_min_compile_time_secs": 0.0}
    before = {name: getattr(jax.config, name) for name in own}
    for values in own, before:
        for name, value in values.items():
            jax.config.update(name, value)
        compilation_cache.reset_cache()  # else it continues to use the folder that it has opened
        if values is own:
            yield jax


def compile_one(jax, factor):
    return np.asarray(jax.jit(lambda x: x * factor)(np.arange(3.0)))


def files(home):
    return [p for p in home.rglob("*") if p.is_file()]


def test_programs_of_the_block_alone_are_kept(jax, zoo_home):
    with compilation.kept():
        compile_one(jax, 3.0)
    assert files(zoo_home / "compiled")
    assert jax.config.jax_compilation_cache_dir is None
    before = files(zoo_home)
    compile_one(jax, 4.0)
    assert files(zoo_home) == before


def test_it_ends_with_its_block_also_after_an_error(jax):
    with pytest.raises(ValueError, match="stop"), compilation.kept():
        raise ValueError("stop")
    assert jax.config.jax_compilation_cache_dir is None


def test_a_users_own_cache_is_left_alone(jax, zoo_home, tmp_path):
    own = str(tmp_path / "own")
    jax.config.update("jax_compilation_cache_dir", own)
    with compilation.kept():
        assert jax.config.jax_compilation_cache_dir == own
    assert jax.config.jax_compilation_cache_dir == own
    assert not zoo_home.exists()


def test_a_cache_that_was_switched_off_stays_off(jax, zoo_home):
    jax.config.update("jax_enable_compilation_cache", False)
    try:
        with compilation.kept():
            compile_one(jax, 5.0)
    finally:
        jax.config.update("jax_enable_compilation_cache", True)
    assert files(zoo_home) == []


def test_a_folder_that_others_can_write_to_is_not_used(jax, zoo_home):
    with compilation.kept():
        (folder,) = (zoo_home / "compiled").iterdir()
    folder.chmod(0o777)
    with compilation.kept():
        assert jax.config.jax_compilation_cache_dir is None


def test_other_backends_keep_nothing(zoo_home, monkeypatch):
    monkeypatch.setattr(compilation.backend, "current", lambda: "tensorflow")
    with compilation.kept():
        pass
    assert not zoo_home.exists()
