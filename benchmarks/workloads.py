"""What is measured, against whom, and what is aimed at: one `Row` per line of the table."""

from __future__ import annotations

from dataclasses import dataclass, replace

VERSUS = "striate"  # the candidate whose ratio to the others is told
RUNTIMES = ("ncnn", "onnxruntime", "openvino", "torch", "torch-compiled", "tensorflow", "jax")
KERAS = ("keras-tensorflow", "keras-jax", "keras-torch")
TRAINERS = ("torch", "torch-compiled", *KERAS)
THREE = ("torch", "torch-compiled", "onnxruntime", "jax")  # those that the aim for other ranks names
FIVE = (*THREE, "openvino", "tensorflow")
QUICK = ("ncnn", "onnxruntime", "openvino", "torch", "keras-jax")  # those that are soon ready


@dataclass(frozen=True)
class Rival:
    """How its worker is started and what it is called."""

    title: str
    module: str
    backend: str = ""


RIVALS = {
    "striate": Rival("striate", "own"),
    "ncnn": Rival("ncnn", "tencent_ncnn"),
    "onnxruntime": Rival("ONNX Runtime", "onnx_runtime"),
    "openvino": Rival("OpenVINO", "open_vino"),
    "torch": Rival("PyTorch", "pytorch"),
    "torch-compiled": Rival("PyTorch compiled", "torch_compiled"),
    "tensorflow": Rival("TensorFlow", "tensor_flow", "tensorflow"),
    "jax": Rival("JAX", "jax_jit", "jax"),
    "keras-tensorflow": Rival("Keras on TensorFlow", "keras_backend", "tensorflow"),
    "keras-jax": Rival("Keras on JAX", "keras_backend", "jax"),
    "keras-torch": Rival("Keras on PyTorch", "keras_backend", "torch"),
}


@dataclass(frozen=True)
class Target:
    """At most this ratio to the best of `rivals`; without rivals, at most this value of striate's own."""

    at_most: float
    rivals: tuple[str, ...] = ()
    title: str = ""


@dataclass(frozen=True)
class Row:
    """`measure` is how: "time" in turns, "pixels" (striate at two sizes), "memory", "first", "accuracy"."""

    name: str
    title: str
    model: str
    shape: tuple[int, ...]
    rivals: tuple[str, ...]
    targets: tuple[Target, ...]
    batch: int = 1
    kind: str = "infer"
    measure: str = "time"
    unit: str = "ms"
    steps: int = 1
    optimizer: str = "adam"
    precision: str = "fast"
    quick: bool = False


def _against(rivals: tuple[str, ...], at_most: float, title: str = "all") -> tuple[Target, ...]:
    return (Target(at_most, rivals, title),)


_VGG = Row(
    "vgg19-b1", "VGG-19 without top, batch 1", "vgg19", (224, 224, 3), RUNTIMES,
    (Target(0.55, ("ncnn",), "ncnn"), Target(0.35, tuple(r for r in RUNTIMES if r not in ("ncnn", "torch")), "others")),
    quick=True,
)  # fmt: skip
_RESNET = Row(
    "resnet50-b1", "ResNet-50, batch 1", "resnet50", (224, 224, 3), RUNTIMES, _against(RUNTIMES, 0.80), quick=True
)
_MOBILE = Row(
    "mobilenetv2-b1", "MobileNetV2, batch 1", "mobilenet_v2", (224, 224, 3), RUNTIMES, _against(RUNTIMES, 0.88),
    quick=True,
)  # fmt: skip
_STEP = Row(
    "train-vgg", "training step, small VGG, 32x32, batch 64, Adam", "vgg_small", (32, 32, 3), TRAINERS,
    _against(TRAINERS, 0.35), batch=64, kind="train", steps=4, quick=True,
)  # fmt: skip
_CALL = Row(
    "call-tiny", "model(x), tiny network, batch 1", "tiny", (), KERAS, _against(KERAS, 0.10), kind="call", unit="us",
    quick=True,
)  # fmt: skip
_MEMORY = Row(
    "memory-fast", "peak memory, VGG-19, batch 1, fast", "vgg19", (224, 224, 3), ("onnxruntime", "openvino"),
    _against(("onnxruntime", "openvino"), 1.8), measure="memory", unit="MiB", quick=True,
)  # fmt: skip
_ERROR = Row(
    "error-fast", "relative error of VGG-19's features, fast", "vgg19", (224, 224, 3), (), (Target(5e-6),),
    measure="accuracy", unit="",
)  # fmt: skip


def batch_of(row: Row, batch: int) -> Row:
    """The same work on more images."""
    title = row.title.replace("batch 1", f"batch {batch}")
    return replace(row, name=row.name.replace("-b1", f"-b{batch}"), title=title, batch=batch, quick=False)


ROWS: tuple[Row, ...] = (
    _VGG,
    batch_of(_VGG, 8),
    _RESNET,
    batch_of(_RESNET, 8),
    _MOBILE,
    batch_of(_MOBILE, 8),
    Row("unet", "U-Net, 256x256, batch 1", "unet", (256, 256, 3), RUNTIMES, _against(RUNTIMES, 0.60), quick=True),
    Row("ecg", "1D network, 12 x 5000, batch 32", "ecg", (), FIVE, _against(THREE, 0.75), batch=32),
    Row("clips", "3D network, 16 x 64 x 64, batch 4", "clips", (), FIVE, _against(THREE, 0.75), batch=4),
    _STEP,
    replace(
        _STEP, name="train-resnet18", title="training step, ResNet-18, 64x64, batch 32, SGD momentum", model="resnet18",
        shape=(64, 64, 3), targets=_against(TRAINERS, 0.55), batch=32, steps=3, optimizer="sgd", quick=False,
    ),
    replace(
        _STEP, name="train-lenet", title="training step, LeNet, batch 32, Adam", model="lenet", shape=(), batch=32,
        steps=50, targets=_against(TRAINERS, 0.30),
    ),
    replace(_CALL, name="predict-tiny", title="predict, tiny network, batch 1", kind="predict"),
    _CALL,
    _MEMORY,
    replace(
        _MEMORY, name="memory-exact", title="peak memory, VGG-19, batch 1, exact", precision="exact",
        targets=_against(("onnxruntime", "openvino"), 1.2),
    ),
    replace(_STEP, name="memory-train", title="peak memory, training the small VGG", measure="memory", unit="MiB",
            targets=(), quick=False),
    Row(
        "pixels", "VGG-19 at 1024x1024 over 224x224, per pixel", "vgg19", (1024, 1024, 3), (),
        (Target(1.10, ("striate@224",), "itself"),), measure="pixels", unit="ns",
    ),
    Row("first-call", "VGG-19, first call", "vgg19", (224, 224, 3), (), (Target(1.5),), measure="first", unit="s"),
    _ERROR,
    replace(_ERROR, name="error-exact", title="relative error of VGG-19's features, exact", precision="exact",
            targets=(Target(1e-6),)),
)  # fmt: skip


def chosen(only: list[str], quick: bool) -> list[Row]:
    """The rows that are asked for. ValueError for a name that is none."""
    known = {row.name: row for row in ROWS}
    unknown = [name for name in only if name not in known]
    if unknown:
        raise ValueError(f"no row {', '.join(unknown)}. There are: {', '.join(known)}.")
    return [known[name] for name in only] if only else [row for row in ROWS if row.quick or not quick]


def rivals_of(row: Row, asked: list[str], quick: bool) -> list[str]:
    """Those of the row, or of `asked` that suit it."""
    if asked:
        fits = {"infer": RUNTIMES + KERAS, "train": TRAINERS}.get(row.kind, KERAS) if row.rivals else ()
        return [name for name in asked if name in fits]
    return [name for name in row.rivals if not quick or name in QUICK]
