"""Which parts of an input a model's answer rests on: gradients, class activation maps, occlusion, and what a filter
looks for."""

from striate.core.lazy import attach

_NAMES = {
    "Attribution": "striate.explain.attribution.result",
    "deconvolution": "striate.explain.attribution.backprop",
    "grad_cam": "striate.explain.attribution.cam",
    "grad_cam_plus_plus": "striate.explain.attribution.cam",
    "guided": "striate.explain.attribution.backprop",
    "integrated_gradients": "striate.explain.attribution.integrated",
    "occlusion": "striate.explain.attribution.occlusion_map",
    "saliency": "striate.explain.attribution.backprop",
}

__getattr__, _dir = attach(__name__, (), _NAMES)
__all__ = sorted(_NAMES)


def __dir__() -> list[str]:
    return _dir()
