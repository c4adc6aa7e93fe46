"""`keras.datasets`: small sets of images, downloaded once."""

from striate.datasets import cifar10, cifar100, fashion_mnist, mnist

__all__ = ["cifar10", "cifar100", "fashion_mnist", "mnist"]
