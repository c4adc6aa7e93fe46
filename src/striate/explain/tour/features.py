"""The chapter's second part: layers in a model, edges by hand, VGG-19's feature maps."""

from __future__ import annotations

from collections.abc import Sequence

from .parts import Code, Options, Step, Text


def model(options: Options) -> Sequence[Step]:
    """The chapter's first model."""
    return (
        Text("<p>The same operations as layers of a model.</p>"),
        Code(
            "import keras\nfrom keras import ops, Sequential\nfrom keras.layers import Input, Conv2D, MaxPool2D\n\n"
            "model = Sequential([\n    Input(shape=(32, 32, 3)),\n    Conv2D(8, (3, 5), activation='relu'),\n"
            "    MaxPool2D((2, 2)),\n    Conv2D(16, 3, activation='relu'),\n    MaxPool2D(2)\n])\n\nmodel.summary()"
        ),
        Text("<p>Every output shape follows from the window: size, stride and padding.</p>"),
        Code("explain.show_layers(model)"),
        Code(
            "print(model.layers[0].kernel.shape)\nprint(model.layers[0].bias.shape)\n\n"
            "print(model.layers[2].kernel.shape)\nprint(model.layers[2].bias.shape)"
        ),
    )


def edges(options: Options) -> Sequence[Step]:
    """Sobel's kernels on the picture."""
    return (
        Text(
            "<p>Kernels are usually learned, but a few can be made by hand. Sobel's two answer to brightness that changes "
            "from left to right and from top to bottom. The model takes a picture of any size: its shape has <code>None</code> "
            "for height and width.</p>"
        ),
        Code(
            "model = Sequential([\n    Input(shape=(None, None, 1)),\n    Conv2D(1, (3, 3), activation=None, use_bias=False)\n])\n\n"
            "print([(w.path, w.shape) for w in model.weights])"
        ),
        Code(
            f"import matplotlib.pyplot as plt\n{options.image}\n\n"
            "image = keras.utils.load_img(image_file, color_mode='grayscale')\n"
            "image = keras.utils.img_to_array(image, dtype='int32')\nprint(image.shape)"
        ),
        Code(
            "sobel_x = ops.array([[1, 0, -1], [2, 0, -2], [1, 0, -1]],\n                    dtype='float32')\n"
            "sobel_y = ops.array([[1, 2, 1], [0, 0, 0], [-1, -2, -1]],\n                    dtype='float32')\n\n"
            "def assign_filter(arr):\n    model.weights[0].assign(arr[:, :, None, None])\n\n"
            "assign_filter(sobel_x)\ngx = model(image[None, ...])[0]\n\n"
            "assign_filter(sobel_y)\ngy = model(image[None, ...])[0]\n\n"
            "g = ops.sqrt(ops.square(gx) + ops.square(gy))\nprint(g.shape)"
        ),
        Code(
            "fig, axes = plt.subplots(2, 2, figsize=(11, 13), layout='constrained')\n"
            "pictures = {'image': image, 'left to right': gx,\n            'top to bottom': gy, 'both: strength of the edge': g}\n\n"
            "for axis, (title, picture) in zip(axes.flat, pictures.items()):\n"
            "    axis.imshow(ops.convert_to_numpy(picture), cmap='gray')\n    axis.set_title(title)\n    axis.axis('off')\nplt.show()",
            "The picture in grey, its two Sobel feature maps, and the strength of its edges",
        ),
    )


_VGG_MAPS = (
    "np.random.seed(0)\nn_rows, n_cols = 3, 2\n"
    "fig, axes = plt.subplots(n_rows, n_cols, figsize=(11, 19), layout='constrained')\n\n"
    "for i in range(len(features)):\n    feature_map = features[i]\n    num_channels = feature_map.shape[-1]\n"
    "    row = i // n_cols\n    col = i % n_cols\n    if i == 0:\n        axes[row, col].imshow(image)\n"
    "        axes[row, col].set_title('Original image')\n    else:\n"
    "        random_feature = np.random.choice(num_channels)\n"
    "        axes[row, col].imshow(feature_map[0, ..., random_feature])\n"
    "        axes[row, col].set_title('{} channel {} of {}'.format(\n"
    "            layer_names[i-1], random_feature + 1, num_channels))\n\n"
    "    axes[row, col].get_xaxis().set_visible(False)\n    axes[row, col].get_yaxis().set_visible(False)\nplt.show()"
)


def vgg(options: Options) -> Sequence[Step]:
    """VGG-19 and its feature maps at five depths."""
    return (
        Text(f"<p>VGG-19 is sixteen convolutions of 3×3 in five blocks, without its top here. {options.weights_note}</p>"),
        Code(options.vgg),
        Code("vgg.summary()"),
        Text("<p>A model of several outputs: the last convolution of each block, taken from the graph that is there already.</p>"),
        Code(
            "from keras.models import Model\n\ninputs = vgg.inputs\n"
            "layer_names = ['block1_conv2', 'block2_conv2', 'block3_conv4',\n               'block4_conv4', 'block5_conv4']\n"
            "outputs = [\n    vgg.get_layer(layer_name).output for layer_name in layer_names]\n"
            "vgg_features = Model(inputs=inputs, outputs=outputs)\n\nfor name, tensor in zip(layer_names, vgg_features.outputs):\n    print(name, tensor.shape)"
        ),
        Code(
            "image = keras.utils.load_img(image_file, color_mode='rgb')\nimage = keras.utils.img_to_array(image, dtype='int32')\n\n"
            "image_processed = keras.applications.vgg19.preprocess_input(image)\n"
            "features = vgg_features(image_processed[None, ...])\n"
            "features = [image] + [ops.convert_to_numpy(f) for f in features]\nfor feature_map in features:\n    print(feature_map.shape)"
        ),
        Text(
            "<p>One channel of each depth, chosen by chance. Deeper maps are coarser, for each pooling halves them, and each "
            "of their units has seen more of the picture.</p>"
        ),
        Code(_VGG_MAPS, "The picture, and one feature map from each of VGG-19's five blocks, from fine to coarse"),
    )
