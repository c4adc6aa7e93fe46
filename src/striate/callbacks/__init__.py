"""Callbacks: what `fit`, `evaluate` and `predict` call between steps."""

from striate.callbacks.backup_and_restore import BackupAndRestore
from striate.callbacks.callback import Callback
from striate.callbacks.callback_list import CallbackList
from striate.callbacks.csv_logger import CSVLogger
from striate.callbacks.early_stopping import EarlyStopping
from striate.callbacks.history import History
from striate.callbacks.learning_rate import LearningRateScheduler, ReduceLROnPlateau
from striate.callbacks.model_checkpoint import ModelCheckpoint
from striate.callbacks.monitor import MonitorCallback
from striate.callbacks.orbax import OrbaxCheckpoint
from striate.callbacks.progbar_logger import ProgbarLogger
from striate.callbacks.simple import LambdaCallback, RemoteMonitor, TerminateOnNaN
from striate.callbacks.swap_ema_weights import SwapEMAWeights
from striate.callbacks.tensorboard import TensorBoard

__all__ = [
    "BackupAndRestore",
    "CSVLogger",
    "Callback",
    "CallbackList",
    "EarlyStopping",
    "History",
    "LambdaCallback",
    "LearningRateScheduler",
    "ModelCheckpoint",
    "MonitorCallback",
    "OrbaxCheckpoint",
    "ProgbarLogger",
    "ReduceLROnPlateau",
    "RemoteMonitor",
    "SwapEMAWeights",
    "TensorBoard",
    "TerminateOnNaN",
]
