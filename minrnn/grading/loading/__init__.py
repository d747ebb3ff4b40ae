"""From a path to a Submission: files, notebooks, folders and zips, taken apart by syntax tree and never run."""
