"""The chapter's second part: layers in a model, edges by hand, VGG-19's feature maps."""

from __future__ import annotations

from collections.abc import Sequence

from .parts import Code, Options, Step, Text


def model(options: Options) -> Sequence[Step]:
    """The chapter's first model."""
    return (
        Text("<p>The same operations as layers of a model.</p>"),
        Code(
            """\
import keras
from keras import ops, Sequential
from keras.layers import Input, Conv2D, MaxPool2D

model = Sequential([
    Input(shape=(32, 32, 3)),
    Conv2D(8, (3, 5), activation='relu'),
    MaxPool2D((2, 2)),
    Conv2D(16, 3, activation='relu'),
    MaxPool2D(2)
])

model.summary()""",
        ),
        Text("<p>Every output shape follows from the window: size, stride and padding.</p>"),
        Code("explain.arithmetic(model)"),
        Code(
            """\
print(model.layers[0].kernel.shape)
print(model.layers[0].bias.shape)

print(model.layers[2].kernel.shape)
print(model.layers[2].bias.shape)""",
        ),
    )


def edges(options: Options) -> Sequence[Step]:
    """Sobel's kernels on the picture."""
    return (
        Text(
            "<p>Kernels are usually learned, but a few can be made by hand. Sobel's two answer to brightness that "
            "changes from left to right and from top to bottom. The model takes a picture of any size: its shape "
            "has <code>None</code> for height and width.</p>"
        ),
        Code(
            """\
model = Sequential([
    Input(shape=(None, None, 1)),
    Conv2D(1, (3, 3), activation=None, use_bias=False)
])

for weight in model.weights:
    print(weight.path, weight.shape)""",
        ),
        Code(
            f"import matplotlib.pyplot as plt\n{options.image}\n\n"
            "image = keras.utils.load_img(image_file, color_mode='grayscale')\n"
            f"{options.shrink}"
            "image = keras.utils.img_to_array(image, dtype='int32')\nprint(image.shape)"
        ),
        Code(
            """\
sobel_x = ops.array([[1, 0, -1], [2, 0, -2], [1, 0, -1]],
                    dtype='float32')
sobel_y = ops.array([[1, 2, 1], [0, 0, 0], [-1, -2, -1]],
                    dtype='float32')

def assign_filter(arr):
    model.weights[0].assign(arr[:, :, None, None])

assign_filter(sobel_x)
gx = model(image[None, ...])[0]

assign_filter(sobel_y)
gy = model(image[None, ...])[0]

g = ops.sqrt(ops.square(gx) + ops.square(gy))
print(g.shape)""",
        ),
        Code(
            """\
fig, axes = plt.subplots(2, 2, figsize=(11, 13), layout='constrained')
pictures = {'image': image, 'left to right': gx,
            'top to bottom': gy, 'both: strength of the edge': g}

for axis, (title, picture) in zip(axes.flat, pictures.items()):
    axis.imshow(ops.convert_to_numpy(picture), cmap='gray')
    axis.set_title(title)
    axis.axis('off')
plt.show()""",
            "The picture in grey, its two Sobel feature maps, and the strength of its edges",
        ),
    )


_VGG_MAPS = (
    "from striate import explain\n\n"
    "maps = explain.feature_maps(vgg, image_processed, layer_names, channels=1, picture=image)\n"
    "maps.figure(columns=2, theme='auto')"
)
_VGG_STRONGEST = (
    "maps = explain.feature_maps(vgg, image_processed, layer_names, channels=3, by='strength', picture=image)\n"
    "maps.figure(theme='auto')"
)


def vgg(options: Options) -> Sequence[Step]:
    """VGG-19 and its feature maps at five depths."""
    return (
        Text(
            f"<p>VGG-19 is sixteen convolutions of 3×3 in five blocks, without its top here. {options.weights_note}</p>"
        ),
        Code(options.vgg),
        Code("vgg.summary()"),
        Text(
            "<p>A model of several outputs: the last convolution of each block, taken from the graph that is there "
            "already.</p>"
        ),
        Code(
            """\
from keras.models import Model

inputs = vgg.inputs
layer_names = ['block1_conv2', 'block2_conv2', 'block3_conv4',
               'block4_conv4', 'block5_conv4']
outputs = [
    vgg.get_layer(layer_name).output for layer_name in layer_names]
vgg_features = Model(inputs=inputs, outputs=outputs)

for name, tensor in zip(layer_names, vgg_features.outputs):
    print(name, tensor.shape)""",
        ),
        Code(
            "image = keras.utils.load_img(image_file, color_mode='rgb')\n"
            f"{options.shrink}"
            """\
image = keras.utils.img_to_array(image, dtype='int32')

image_processed = keras.applications.vgg19.preprocess_input(image)
features = vgg_features(image_processed[None, ...])
features = [image] + [ops.convert_to_numpy(f) for f in features]
for feature_map in features:
    print(feature_map.shape)""",
        ),
        Text(
            "<p>One channel of each depth, chosen by chance. Deeper maps are coarser, for each pooling halves them, "
            "and each of their units has seen more of the picture.</p>"
        ),
        Code(_VGG_MAPS, "The picture, and one feature map from each of VGG-19's five blocks, from fine to coarse"),
        Text("<p>And the three channels of each that answer most to this picture:</p>"),
        Code(_VGG_STRONGEST, "The picture, and the three strongest feature maps of each of VGG-19's five blocks"),
        Text(
            "<p>How much of the picture one unit of each depth has seen, its <em>receptive field</em>, follows from "
            "the kernels and strides below it:</p>"
        ),
        Code(
            """\
for name in layer_names:
    sizes = [field.size for field in explain.receptive_field(vgg, name, image=image_processed).fields]
    print(f'{name}: {sizes[0]} by {sizes[1]} pixels')""",
        ),
    )
