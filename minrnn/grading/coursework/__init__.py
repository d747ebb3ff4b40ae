"""What an instructor runs: settings, one submission or a class, practice, a Gradescope zip."""
