"""From a submission and a profile to verdicts: calls, comparison, finite differences, probes, causes."""
