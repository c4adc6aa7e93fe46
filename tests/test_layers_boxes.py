"""Dicts of images, labels, masks and bounding boxes through the layers of image augmentation."""

from __future__ import annotations

from types import ModuleType

import numpy as np
import pytest

from striate import layers


def test_dicts_move_together() -> None:
    """Images, masks and boxes go the same way; labels stay; the caller's dict is left alone."""
    x = np.zeros((6, 10, 8, 3), "float32")
    x[:, 2:5, 1:3] = 100.0
    masks = (x[..., :1] > 0).astype("int32")
    boxes = {"boxes": np.tile(np.float32([[1, 2, 3, 5]]), (6, 1, 1)), "labels": np.ones((6, 1), "int32")}
    data = {"images": x, "segmentation_masks": masks, "labels": np.arange(6), "bounding_boxes": boxes}
    for layer in (
        layers.RandomFlip("horizontal", seed=2, bounding_box_format="xyxy"),
        layers.RandomFlip("vertical", seed=2, bounding_box_format="xyxy"),
        layers.RandomTranslation((0.1, 0.3), (0.25, 0.25), "constant", "nearest", seed=1, bounding_box_format="xyxy"),
    ):
        made = layer(data, training=True)
        np.testing.assert_array_equal(made["segmentation_masks"][..., 0] > 0, made["images"][..., 0] > 50)
        np.testing.assert_array_equal(made["labels"], np.arange(6))
        for image, box in zip(made["images"], made["bounding_boxes"]["boxes"], strict=True):
            rows, columns = np.nonzero(image[..., 0] > 50)
            found = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
            np.testing.assert_allclose(box[0], found, atol=0.51)
    assert data["images"] is x


def test_boxes_turn_with_the_image_and_leave_it() -> None:
    x = np.zeros((1, 9, 9, 3), "float32")
    box = {"boxes": np.float32([[[1, 0, 3, 1], [20, 20, 30, 30]]]), "labels": np.int32([[4, 5]])}
    layer = layers.RandomRotation((0.5, 0.5), bounding_box_format="xyxy")
    made = layer({"images": x, "bounding_boxes": box})["bounding_boxes"]
    np.testing.assert_allclose(made["boxes"][0, 0], [5, 7, 7, 8], atol=1e-4)  # about the middle of pixel (4, 4)
    np.testing.assert_array_equal(made["labels"], [[4, -1]])


@pytest.mark.parametrize(
    "form",
    ["xyxy", "yxyx", "xywh", "center_xywh", "center_yxhw", "rel_xyxy", "rel_yxyx", "rel_xywh", "rel_center_xywh"],
)
def test_box_formats_as_keras(form: str, real_keras: ModuleType) -> None:
    corners = np.float32([[[1, 2, 3, 5], [0, 0, 8, 10]]])
    convert = real_keras.utils.bounding_boxes.convert_format
    # Keras knows no center_yxhw relative to the image
    given = np.array(convert(corners, "xyxy", form, height=10, width=8))
    data = {
        "images": np.zeros((1, 10, 8, 3), "float32"),
        "bounding_boxes": {"boxes": given, "labels": np.ones((1, 2), "int32")},
    }
    layer = layers.RandomTranslation((0.1, 0.1), (0.25, 0.25), bounding_box_format=form)
    made = np.array(convert(layer(data)["bounding_boxes"]["boxes"], form, "xyxy", height=10, width=8))
    np.testing.assert_allclose(made, [[[3, 3, 5, 6], [2, 1, 8, 10]]], atol=1e-4)


def test_boxes_without_a_format_are_refused() -> None:
    data = {
        "images": np.zeros((1, 4, 4, 3), "float32"),
        "bounding_boxes": {"boxes": np.zeros((1, 1, 4)), "labels": np.zeros((1, 1))},
    }
    with pytest.raises(ValueError, match="bounding_box_format='xyxy'"):
        layers.RandomFlip()(data)
    data["bounding_boxes"] = {"boxes": [[[1, 2, 3, 4]], []], "labels": [[1], []]}
    with pytest.raises(ValueError, match=r"Fill up each image's list|last dimension of 4"):
        layers.RandomFlip(bounding_box_format="xyxy").call(data)
