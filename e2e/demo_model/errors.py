"""What can go wrong with the demo model and is the user's to mend."""


class DemoModelError(Exception):
    """The model cannot be prepared; the message names the file and the remedy."""
