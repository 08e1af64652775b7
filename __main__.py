"""`python -m gossamer`."""

import sys

from gossamer.compiler.cli import main

sys.exit(main())
