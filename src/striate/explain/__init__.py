"""Convolution made visible: drawings of windows with their numbers, and the formulas with the numbers filled in.

Each function returns a drawing that a notebook shows; `striate.core.window` gives every size in it.
"""

from striate.core.lazy import attach

_NAMES = {
    "Animation": "striate.explain.animation.animation",
    "Attribution": "striate.explain.attribution.result",
    "Diagram": "striate.explain.diagram",
    "Drawing": "striate.explain.drawing",
    "FeatureMaps": "striate.explain.features",
    "animate": "striate.explain.animation.animation",
    "arithmetic": "striate.explain.layer_arithmetic",
    "equivalence": "striate.explain.equivalences",
    "overlap": "striate.explain.overlaps",
    "receptive_field": "striate.explain.fields",
    "transposed_of": "striate.explain.transposition",
    "deconvolution": "striate.explain.attribution.backprop",
    "equivariance": "striate.explain.shifts",
    "feature_maps": "striate.explain.features",
    "filters": "striate.explain.kernel_grid",
    "grad_cam": "striate.explain.attribution.cam",
    "grad_cam_plus_plus": "striate.explain.attribution.cam",
    "guided": "striate.explain.attribution.backprop",
    "integrated_gradients": "striate.explain.attribution.integrated",
    "maximise": "striate.explain.ascent",
    "model_diagram": "striate.explain.diagram",
    "occlusion": "striate.explain.attribution.occlusion_map",
    "profile": "striate.explain.profiling",
    "saliency": "striate.explain.attribution.backprop",
    "to_svg": "striate.explain.volumes",
}

__getattr__, _dir = attach(__name__, (), _NAMES)
__all__ = sorted(_NAMES)


def __dir__() -> list[str]:
    return _dir()
