"""Speed of the compiled kernels against what this machine can multiply and add, measured next to each shape.

    python benchmarks/kernels.py [conv] [vgg] [input_grad] [kernel_grad] [depthwise] [matmul] [--onnxruntime]

Each line: shape | milliseconds | GFLOP/s | share of the peak measured in the same second. Times are the best of many
runs: other work on the machine only ever adds to them.
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Callable, Iterator

import numpy as np

from striate import kernels
from striate.kernels import conv
from striate.kernels.conv import ConvSpec, MatmulSpec

SECONDS = 0.2  # spent on each shape
RELU = kernels.activation_ids()["relu"]


def best_of(run: Callable[[], object], seconds: float = SECONDS) -> float:
    """Seconds of the fastest run."""
    best, end = math.inf, time.perf_counter() + seconds
    while time.perf_counter() < end:
        start = time.perf_counter()
        run()
        best = min(best, time.perf_counter() - start)
    return best


def peak() -> float:
    """GFLOP/s of all threads together, multiplying and adding in registers."""
    out = np.zeros(2, np.float32)
    seconds = best_of(lambda: kernels.run("fma_peak", [], [out], (8 * kernels.get_num_threads(), 40_000)), 0.06)
    return float(out[0]) / 1e3 / seconds


def values(*shape: int) -> np.ndarray:
    array = kernels.aligned_empty(shape, np.float32)
    array[...] = np.random.default_rng(0).standard_normal(shape, np.float32)
    return array


def report(label: str, flops: float, seconds: float) -> None:
    speed, most = flops / seconds / 1e9, peak()
    print(
        f"{label:44s} {seconds * 1e3:9.3f} ms {speed:8.1f} GFLOP/s {100 * speed / most:6.1f} % of {most:.0f}",
        flush=True,
    )


def conv2d(n: int, size: int, cin: int, cout: int, k: int, s: int = 1, groups: int = 1) -> ConvSpec:
    p = (k - 1) // 2
    out = (size + 2 * p - k) // s + 1
    w_shape = (k, k, cin // groups, cout)
    return ConvSpec((n, size, size, cin), w_shape, (s, s), ((p, p),) * 2, (1, 1), groups, (n, out, out, cout))


def describe(spec: ConvSpec) -> str:
    k, s = spec.w_shape[0], spec.strides[0]
    size = "x".join(map(str, spec.x_shape))
    stride = f" / {s}" if s > 1 else ""
    groups = f", {spec.groups} groups" if spec.groups > 1 else ""
    return f"{size} -> {spec.cout}, {k}x{k}{stride}{groups}"


def flops(spec: ConvSpec) -> float:
    return 2.0 * math.prod(spec.out_shape) * spec.taps * spec.w_shape[-2]


def prepare(algorithm: str, spec: ConvSpec, source: tuple[int, ...], target: tuple[int, ...]) -> Callable[[], None]:
    """A convolution or input gradient with packed weights, bias and ReLU, ready to run."""
    found, packed = conv.ALGORITHMS[algorithm], values(*spec.w_shape)
    if found.pack_kernel is not None:
        raw, packed = packed, kernels.aligned_empty(conv.packed_shape(algorithm, spec), np.float32)
        kernels.run(found.pack_kernel, [raw], [packed], conv.encode_pack(algorithm, spec))
    inputs, outputs = [values(*source), packed, values(target[-1])], [values(*target)]
    ints = conv.encode(algorithm, spec, RELU, ("bias",))
    return lambda: kernels.run(found.kernel, inputs, outputs, ints)


def forward(spec: ConvSpec) -> float:
    seconds = best_of(prepare(conv.choose(spec), spec, spec.x_shape, spec.out_shape))
    report(describe(spec), flops(spec), seconds)
    return seconds


def input_grad(spec: ConvSpec) -> None:
    run = prepare(conv.choose_input_grad(spec), spec, spec.out_shape, spec.x_shape)
    report("dx " + describe(spec), flops(spec), best_of(run))


def kernel_grad(spec: ConvSpec) -> None:
    algorithm = conv.choose_kernel_grad(spec)
    inputs, outputs = [values(*spec.x_shape), values(*spec.out_shape)], [values(*spec.w_shape)]
    ints = conv.encode(algorithm, spec)
    run = best_of(lambda: kernels.run(conv.ALGORITHMS[algorithm].kernel, inputs, outputs, ints))
    report("dw " + describe(spec), flops(spec), run)


def matmul(spec: MatmulSpec) -> None:
    a = values(spec.batch, *((spec.k, spec.m) if spec.transpose_a else (spec.m, spec.k)))
    b = values(spec.batch, *((spec.n, spec.k) if spec.transpose_b else (spec.k, spec.n)))
    out, ints = values(spec.batch, spec.m, spec.n), conv.encode("matmul", spec)
    label = f"{spec.batch} x ({spec.m}, {spec.k}) @ ({spec.k}, {spec.n})"
    label += " a'" * spec.transpose_a + " b'" * spec.transpose_b
    seconds = best_of(lambda: kernels.run("matmul", [a, b], [out], ints))
    report(label, 2.0 * spec.batch * spec.m * spec.k * spec.n, seconds)


def resnet50(batch: int) -> Iterator[ConvSpec]:
    for size, c in ((56, 64), (28, 128), (14, 256), (7, 512)):
        yield conv2d(batch, size, c, c, 3)
    for size, c in ((56, 128), (28, 256), (14, 512)):
        yield conv2d(batch, size, c, c, 3, 2)
    for size, c in ((56, 64), (28, 128), (14, 256), (7, 512)):
        yield conv2d(batch, size, c, 4 * c, 1)
        yield conv2d(batch, size, 4 * c, c, 1)
    for size, c in ((56, 256), (28, 512), (14, 1024)):
        yield conv2d(batch, size, c, 2 * c, 1, 2)
    yield conv2d(batch, 224, 3, 64, 7, 2)


VGG19 = [(224, 3, 64), (224, 64, 64), (112, 64, 128), (112, 128, 128), (56, 128, 256)] + [(56, 256, 256)] * 3
VGG19 += [(28, 256, 512)] + [(28, 512, 512)] * 3 + [(14, 512, 512)] * 4


def vgg(against_onnxruntime: bool) -> None:
    specs = [conv2d(1, size, cin, cout, 3) for size, cin, cout in VGG19]
    if not against_onnxruntime:
        return print(f"VGG-19's convolutions, 224x224, batch 1: {1e3 * sum(map(forward, specs)):.1f} ms")
    ours = theirs = 0.0
    for spec in specs:  # one after the other, so that both meet the same machine
        ours += forward(spec)
        theirs += best_of(onnxruntime_conv(spec))
    print(f"VGG-19's convolutions, 224x224, batch 1: striate {1e3 * ours:.1f} ms, ONNX Runtime {1e3 * theirs:.1f} ms")


def onnxruntime_conv(spec: ConvSpec) -> Callable[[], object]:
    """The same convolution with bias and ReLU in ONNX Runtime, on as many threads."""
    import onnxruntime
    from onnx import TensorProto, helper, numpy_helper

    k, n, cin = spec.w_shape[0], spec.x_shape[0], spec.cin
    weights = numpy_helper.from_array(values(spec.cout, cin // spec.groups, k, k), "w")
    bias = numpy_helper.from_array(values(spec.cout), "b")
    pads = [spec.pads[0][0], spec.pads[1][0], spec.pads[0][1], spec.pads[1][1]]
    node = helper.make_node("Conv", ["x", "w", "b"], ["c"], pads=pads, strides=list(spec.strides), group=spec.groups)
    shape = [n, cin, *spec.x_shape[1:-1]]
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, None)
    graph = helper.make_graph([node, helper.make_node("Relu", ["c"], ["y"])], "conv", [x], [y], [weights, bias])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = kernels.get_num_threads()
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    feed = {"x": values(*shape)}
    return lambda: session.run(None, feed)


def run_all(parts: set[str], against_onnxruntime: bool) -> None:
    images = [spec for batch in (1, 8) for spec in resnet50(batch)]
    sizes = ((112, 32, 1), (112, 96, 2), (56, 144, 1), (28, 192, 1), (14, 576, 1), (7, 960, 1))
    depthwise = [conv2d(1, size, c, c, 3, s, groups=c) for size, c, s in sizes]
    products = [MatmulSpec(512, 512, 512), MatmulSpec(1024, 1024, 1024, transpose_b=True), MatmulSpec(64, 64, 64, 96)]
    products += [MatmulSpec(1, 2048, 1000), MatmulSpec(1, 4096, 4096), MatmulSpec(64, 2048, 1000)]
    work: dict[str, tuple[Callable[..., object], list]] = {
        "conv": (forward, images),
        "vgg": (vgg, [against_onnxruntime]),
        "input_grad": (input_grad, images),
        "kernel_grad": (kernel_grad, images),
        "depthwise": (forward, depthwise),
        "matmul": (matmul, products),
    }
    for name, (measure, items) in work.items():
        if name in parts or not parts:
            print(f"# {name}")
            for item in items:
                measure(item)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("parts", nargs="*", help="what to measure; all by default")
    parser.add_argument("--onnxruntime", action="store_true", help="compare VGG-19's layers with ONNX Runtime")
    options = parser.parse_args()
    print(f"instruction set {kernels.isa()}, {kernels.get_num_threads()} threads")
    run_all(set(options.parts), options.onnxruntime)


if __name__ == "__main__":
    main()
