"""How the models of keras.applications want their pixels (keras/src/applications/*.py: preprocess_input), and the side
of their images. Pure: who exports them, and who only reads about them, may ask."""

from __future__ import annotations

from profiles.schema import ImageInput

# They begin with layers that do it, and take 0 to 255.
_RAW = ("EfficientNet", "ConvNeXt", "MobileNetV3")
_CAFFE = ("ResNet50", "ResNet101", "ResNet152", "VGG16", "VGG19")
_TORCH = ("DenseNet",)
_SIDES = {
    "InceptionV3": 299,
    "InceptionResNetV2": 299,
    "Xception": 299,
    "NASNetLarge": 331,
    "EfficientNetB1": 240,
    "EfficientNetB2": 260,
    "EfficientNetB3": 300,
    "EfficientNetB4": 380,
    "EfficientNetB5": 456,
    "EfficientNetB6": 528,
    "EfficientNetB7": 600,
    "EfficientNetV2B1": 240,
    "EfficientNetV2B2": 260,
    "EfficientNetV2B3": 300,
    "EfficientNetV2S": 384,
    "EfficientNetV2M": 480,
    "EfficientNetV2L": 480,
}


def keras_input(name: str) -> ImageInput:
    """The image that a model of keras.applications takes, as its preprocess_input makes it."""
    side = _SIDES.get(name, 224)
    shape = (3, side, side)
    if name.startswith(_RAW):
        return raw_pixels(shape)
    if name in _CAFFE:  # the ImageNet mean taken off, pixels of 0 to 255
        mean = (103.939 / 255, 116.779 / 255, 123.68 / 255)
        return ImageInput(shape=shape, mean=mean, std=(1 / 255, 1 / 255, 1 / 255), order="BGR")
    if name.startswith(_TORCH):
        return ImageInput(shape=shape)
    return ImageInput(shape=shape, mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5))


def raw_pixels(shape: tuple[int, ...], name: str = "images") -> ImageInput:
    """An image of 0 to 255, as cameras give them."""
    channels = shape[0]
    return ImageInput(name, shape, (0.0,) * channels, (1 / 255,) * channels)
