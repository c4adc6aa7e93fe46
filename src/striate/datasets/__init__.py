"""`keras.datasets`: small sets of images, downloaded once."""
