"""More calls of `keras.ops` that are compared with real Keras: networks, images, linear algebra."""

from __future__ import annotations

import numpy as np

from tests.ops_draws import case, f, i, image, p

# Neural networks
for name in ["softmax", "log_softmax"]:
    case(name, f(3, 5))
    case(name, f(3, 5), axis=0)
case("softmax", f(2, 3, 4), axis=(1, 2))
case("glu", f(3, 6))
case("moments", f(3, 4, 5), (0, 1))
case("moments", f(3, 4, 5), [1], keepdims=True)
case("batch_normalization", f(2, 4, 4, 3), f(3), p(3), -1, f(3), p(3), 1e-3)
case("batch_normalization", f(2, 3, 4), f(3), p(3), 1)
case("layer_normalization", f(3, 5), p(5), f(5))
case("layer_normalization", f(3, 4, 5), axis=(1, 2))
case("rms_normalization", f(3, 5), p(5))
case("normalize", f(3, 5))
case("normalize", f(3, 5), axis=0, order=1)
case("normalize", f(3, 5), order=3)
case("binary_crossentropy", p(3, 4), p(3, 4))
case("binary_crossentropy", p(3, 4), f(3, 4), from_logits=True)
case("categorical_crossentropy", p(3, 4), p(3, 4))
case("categorical_crossentropy", p(3, 4), f(3, 4), from_logits=True)
case("sparse_categorical_crossentropy", i(3, low=0, high=4), p(3, 4))
case("sparse_categorical_crossentropy", i(3, 2, low=0, high=4), f(3, 2, 4), from_logits=True)
case("psnr", p(3, 4), p(3, 4), 1.0)
case("dot_product_attention", f(2, 3, 2, 4), f(2, 5, 2, 4), f(2, 5, 2, 4))
case("dot_product_attention", f(2, 3, 4, 4), f(2, 3, 2, 4), f(2, 3, 2, 4), is_causal=True)
case("cdist", f(3, 4), f(5, 4))
for padding in ("valid", "same"):
    for size, strides in ((2, 2), (3, 2), ((3, 2), (1, 2))):
        case("max_pool", f(2, 7, 6, 3), size, strides, padding)
        case("average_pool", f(2, 7, 6, 3), size, strides, padding)
    case("conv", f(2, 7, 6, 4), f(3, 2, 4, 5), 2, padding)
    case("conv", f(2, 7, 6, 4), f(3, 3, 2, 6), 1, padding, dilation_rate=2)
    case("conv", f(2, 9, 4), f(3, 4, 5), 1, padding)
    case("conv", f(1, 5, 4, 6, 2), f(2, 2, 3, 2, 3), (1, 2, 1), padding)
    case("conv", f(2, 4, 7, 6), f(3, 2, 4, 5), (1, 2), padding, "channels_first")
    case("depthwise_conv", f(2, 7, 6, 3), f(3, 2, 3, 2), 1, padding)
    case("depthwise_conv", f(2, 8, 3), f(3, 3, 2), 2, padding)
    case("separable_conv", f(2, 7, 6, 3), f(3, 2, 3, 2), f(1, 1, 6, 4), 1, padding)
    for strides in (1, 2, 3):
        case("conv_transpose", f(2, 5, 4, 3), f(3, 2, 4, 3), strides, padding)
    case("conv_transpose", f(2, 5, 3), f(3, 4, 3), 2, padding, 1)
    case("conv_transpose", f(2, 3, 5, 4), f(3, 2, 4, 3), 2, padding, data_format="channels_first")
case("max_pool", f(2, 8, 3), 2, 2)
case("average_pool", f(1, 4, 4, 4, 2), 2, 2, "same")
case("max_pool", f(2, 3, 7, 6), 2, 2, "valid", "channels_first")
case("adaptive_average_pool", f(2, 8, 6, 3), (4, 3))
case("adaptive_average_pool", f(2, 7, 5, 3), 3)
case("adaptive_max_pool", f(2, 7, 5, 3), 3)
case("adaptive_max_pool", f(2, 3, 7, 5), 2, "channels_first")
case("unfold", f(2, 3, 5, 6), (2, 3), 1, 1, 2)
case("fold", f(2, 12, 20), (5, 6), 2)
case("depth_to_space", f(2, 3, 4, 8), 2)
case("space_to_depth", f(2, 4, 6, 3), 2)
case("depth_to_space", f(2, 8, 3, 4), 2, "channels_first")

# Types
case("cast", f(5) * 3, "int32")
case("cast", i(5), "bool")
case("saturate_cast", f(5) * 200, "uint8")
case("saturate_cast", i(5, low=-300, high=300), "int8")
for args in (([1, 2, 3],), ([1.5, 2],), (True,), (3,), (2.5,)):
    case("convert_to_tensor", *args)

# Linear algebra
_SQUARE = f(3, 3) + 4 * np.eye(3, dtype="float32")
for name in ["det", "inv"]:
    case(name, _SQUARE)
case("solve", _SQUARE, f(3, 2))
case("cholesky", _SQUARE @ _SQUARE.T)
case("slogdet", _SQUARE)

for how in ("bilinear", "nearest", "bicubic", "lanczos3"):
    image("resize", f(2, 5, 7, 3), (8, 4), how)
    image("resize", f(5, 7, 3), (3, 10), how, antialias=True)
image("resize", f(2, 6, 9, 3), (4, 4), crop_to_aspect_ratio=True)
image("resize", f(2, 6, 9, 3), (4, 4), pad_to_aspect_ratio=True, fill_value=1.0)
image("resize", f(2, 3, 6, 9), (4, 4), data_format="channels_first")
image("resize", i(5, 6, 3, low=0, high=255, dtype="uint8"), (3, 4))
image("resize", i(5, 6, 3, low=0, high=255, dtype="uint8"), (3, 4), "nearest")
image("rgb_to_grayscale", p(2, 4, 5, 3))
image("rgb_to_hsv", p(2, 4, 5, 3))
image("hsv_to_rgb", p(4, 5, 3))
image("pad_images", f(4, 5, 3), 1, 2, 3, None, None, 9)
image("crop_images", f(2, 6, 7, 3), 1, 2, None, 1, 4, None)
image("extract_patches", f(2, 6, 7, 3), (2, 3))
image("extract_patches", f(6, 7, 3), 2, 1, 1, "same")
image("sobel_edges", f(2, 5, 6, 3))
image("gaussian_blur", f(2, 5, 6, 3), (3, 5), (1.0, 2.0), "channels_last")
for mode in ("constant", "nearest", "wrap", "mirror", "reflect"):
    image("map_coordinates", f(5, 6), f(2, 7) * 3, 1, mode)
    image("map_coordinates", f(5, 6), f(2, 7) * 3 + 0.013, 0, mode)
image("affine_transform", f(5, 6, 3), np.float32([1, 0.2, 1, -0.1, 1.1, -1, 0, 0]))
case("solve_triangular", _SQUARE, f(3, 2))
case("solve_triangular", _SQUARE, f(3, 2), lower=True)
case("unique", i(9))
case("unique", i(9), return_counts=True, return_inverse=True)
case("unique", i(9), size=4)
case("unique", i(3), size=6, fill_value=9)
case("rearrange", f(2, 6, 4), "b (h s) c -> b h (s c)", s=2)
case("rearrange", f(2, 3, 4), "a b c -> c a b")
