"""Networks that the benchmarks run, built from Keras's interface: `k` is `striate` or `keras`, the lines are the same.

Each gives a model with random weights and logits as outputs (a loss takes them with
`from_logits=True`). Sizes are (height, width, channels), or with one axis less or more.
"""

from benchmarks.models.chains import lenet, tiny, vgg_small
from benchmarks.models.maps import unet
from benchmarks.models.other_ranks import clips, ecg
from benchmarks.models.residual import resnet18

BUILDERS = {f.__name__: f for f in (resnet18, unet, ecg, clips, lenet, vgg_small, tiny)}

__all__ = ["BUILDERS", "clips", "ecg", "lenet", "resnet18", "tiny", "unet", "vgg_small"]
