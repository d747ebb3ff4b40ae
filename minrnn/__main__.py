"""`python -m minrnn` is the command `minrnn`."""

import sys

from minrnn.cli.main import main

sys.exit(main())
