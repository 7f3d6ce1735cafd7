"""What can go wrong with the images and is the user's to mend."""


class ImagesError(Exception):
    """An image cannot be built or loaded; the message names the image and the remedy."""
