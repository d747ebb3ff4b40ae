"""Grading of hand-written recurrent networks: judge, explain, contain, report. No training and no command line."""
