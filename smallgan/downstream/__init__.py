"""Does it help a classifier? Each policy's training images, a classifier trained on them, real test images to judge."""
