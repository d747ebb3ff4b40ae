"""The one exception that this package raises about text.

What it is: the class for bad input, such as a missing file, bytes that are not text or a text too short to
train on.
What it is not: the class for wrong settings; an argument outside its range is a plain `ValueError`.
"""


class TextError(ValueError):
    """A text cannot be read, encoded or cut as asked; the message is one sentence with cause and fix."""
