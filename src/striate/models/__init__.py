"""Models: functional, sequential and subclassed; their summary and prediction."""

from striate.layers.input_layer import Input
from striate.models.cloning import clone_model
from striate.models.function import Function
from striate.models.functional import Functional
from striate.models.model import Model, model_from_json
from striate.models.sequential import Sequential
from striate.models.session import clear_session
from striate.saving.models import load_model, save_model

__all__ = [
    "Function",
    "Functional",
    "Input",
    "Model",
    "Sequential",
    "clear_session",
    "clone_model",
    "load_model",
    "model_from_json",
    "save_model",
]
