"""Pictures and files: what Keras has in `keras.utils` and needs no layers."""

from striate.utils.files import get_file
from striate.utils.image import array_to_img, img_to_array, load_img, save_img

__all__ = ["array_to_img", "get_file", "img_to_array", "load_img", "save_img"]
