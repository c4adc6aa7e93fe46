"""What plans compute from weights alone: once per version of the weights, for all plans that need it."""

from __future__ import annotations

import gc
import pickle
import subprocess
import sys
import textwrap
import threading

import numpy as np
import pytest

import striate as keras
from striate import layers
from striate.engines import kept
from striate.trace import Jit


def made():
    keras.utils.set_random_seed(3)
    image = x = keras.Input((12, 12, 16))
    for i in range(3):
        x = layers.Conv2D(32, 3, padding="same", name=f"c{i}")(x)
        x = layers.BatchNormalization(name=f"n{i}")(x)
        x = layers.ReLU()(x)
    return keras.Model(image, layers.Dense(5)(layers.GlobalAveragePooling2D()(x)))


@pytest.fixture
def network():
    return made()


@pytest.fixture
def packings(monkeypatch):
    """How often each kernel that runs once ran."""
    counts: dict[str, int] = {}
    steps = kept.Kept.steps

    def counted(self, missing):
        chosen = steps(self, missing)
        for step in chosen:
            counts[step.kernel] = counts.get(step.kernel, 0) + 1
        return chosen

    monkeypatch.setattr(kept.Kept, "steps", counted)
    return counts


def image(batch=1, seed=0):
    return np.random.default_rng(seed).normal(size=(batch, 12, 12, 16)).astype("float32")


def packed(counts):
    return sum(n for kernel, n in counts.items() if kernel and "pack" in kernel)


def test_a_model_and_a_part_of_it_pack_once(network, packings):
    part = keras.Model(network.inputs, network.get_layer("n1").output)
    whole = network(image())
    once = packed(packings)
    assert once >= 4  # three convolutions and the product
    got = part(image())
    assert packed(packings) == once
    np.testing.assert_allclose(network.predict(image(), verbose=0), whole, rtol=1e-5, atol=1e-6)
    assert packed(packings) == once
    keras.config.set_conv_precision("exact")
    try:
        np.testing.assert_allclose(got, part(image()), rtol=1e-4, atol=1e-4)
    finally:
        keras.config.set_conv_precision("fast")


def test_memory_is_the_same_arrays_and_goes_with_the_last_model():
    gc.collect()
    before = len(kept._SHARED)
    network = made()
    part = keras.Model(network.inputs, network.get_layer("n1").output)
    network(image())
    every = len(kept._SHARED)
    part(image())
    assert len(kept._SHARED) == every > before
    del network
    gc.collect()
    assert before < len(kept._SHARED) < every  # the part still has its own
    del part
    gc.collect()
    assert len(kept._SHARED) <= before


def test_new_weights_are_seen_by_every_model(network, packings):
    part = keras.Model(network.inputs, network.get_layer("c0").output)
    old = part(image()), network(image())
    kernel = network.get_layer("c0").kernel
    kernel.assign(np.array(kernel) * 2)
    new = part(image()), network(image())
    bias = np.array(network.get_layer("c0").bias)
    np.testing.assert_allclose(new[0] - bias, 2 * (old[0] - bias), rtol=1e-4, atol=1e-5)
    assert not np.allclose(new[1], old[1])
    count = packed(packings)
    network(image()), part(image())
    assert packed(packings) == count


def test_equal_values_in_other_variables_are_their_own(packings):
    """Versions name weights, not values: a copy that is changed later must not change the first one."""
    a, b = keras.Variable(np.ones((3, 3, 16, 32), "float32")), keras.Variable(np.ones((3, 3, 16, 32), "float32"))
    run_a = Jit(lambda x: keras.ops.conv(x, a.value, padding="same"))
    run_b = Jit(lambda x: keras.ops.conv(x, b.value, padding="same"))
    first = run_a(image())
    np.testing.assert_array_equal(run_b(image()), first)
    b.assign(np.zeros((3, 3, 16, 32), "float32"))
    np.testing.assert_array_equal(run_b(image()), 0)
    np.testing.assert_array_equal(run_a(image()), first)


def test_other_strides_and_constants_share_only_what_is_equal():
    w = keras.Variable(np.random.default_rng(0).normal(size=(3, 3, 16, 32)).astype("float32"))
    for scale in (1.0, 2.0):
        for strides in (1, 2):
            run = Jit(lambda x, s=scale, t=strides: keras.ops.conv(x, w.value * s, t, "same"))
            want = Jit(lambda x, t=strides: keras.ops.conv(x, w.value, t, "same"))(image()) * scale
            np.testing.assert_allclose(run(image()), want, rtol=1e-4, atol=1e-4)


def test_large_constants_are_not_read_through():
    assert kept._digest(np.zeros(1 << 15, "float32")) is None
    small = kept._digest(np.zeros(4, "float32"))
    assert small is not None and small != kept._digest(np.zeros(4, "int32"))
    assert small != kept._digest(np.zeros((2, 2), "float32"))


def test_many_threads_get_the_same(network):
    want, found = np.array(network(image())), []
    parts = [keras.Model(network.inputs, network.outputs) for _ in range(6)]
    threads = [threading.Thread(target=lambda m=m: found.append(np.array(m(image())))) for m in parts]
    for t in threads:
        t.start()
    for t in threads:
        t.join(60)
    assert len(found) == 6
    for got in found:
        np.testing.assert_array_equal(got, want)


def test_a_variable_of_another_process_has_a_version_of_this_one(tmp_path):
    script = textwrap.dedent(f"""
        import pickle, numpy as np, striate as keras
        many = [keras.Variable(np.full((1, 1, 16, 32), i, "float32")) for i in range(40)]
        pickle.dump(many, open({str(tmp_path / "v")!r}, "wb"))
    """)
    subprocess.run([sys.executable, "-c", script], check=True, timeout=120)
    own = [keras.Variable(np.ones(2, "float32")) for _ in range(40)]
    theirs = pickle.loads((tmp_path / "v").read_bytes())
    assert len({v.version for v in own + theirs}) == 80
    with pytest.raises(ValueError, match="read-only"):
        theirs[0].array[...] = 1


def test_what_stays_lies_together_and_nothing_else_with_it(network):
    compiled, arrays = Jit(network).compiled(image())
    compiled.timed(arrays)
    plan = compiled.executable
    staying = [plan._prepared.arrays[slot] for slot in plan._kept.slots]
    made_on_the_way = {o.slot for s in plan.plan.once for o in s.outputs} - plan._kept.slots
    assert len(staying) > 3 and made_on_the_way, "folded kernels before they are packed"
    assert len({id(a.base) for a in staying}) == 1
    assert staying[0].base.nbytes < sum(a.nbytes for a in staying) + 64 * (len(staying) + 1)
