"""What minrnn uses of cupyx, for the stand-in for CuPy."""
