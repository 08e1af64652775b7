"""Our dialects and passes in xDSL's own tools: `xdsl-opt net.mlir -p insert-gathers` knows them.

xDSL's passes that `gossamer opt` offers as well (`cse`, `dce`, ..) are left to xDSL.
"""

from functools import partial

from xdsl.dialects import get_all_dialects
from xdsl.transforms import get_all_passes
from xdsl.universe import Universe

from ..passes import PASSES, load_pass
from .context import DIALECTS, load_dialect

UNIVERSE = Universe(
    all_dialects={name: partial(load_dialect, name) for name in DIALECTS if name not in get_all_dialects()},
    all_passes={name: partial(load_pass, name) for name in PASSES if name not in get_all_passes()},
)
