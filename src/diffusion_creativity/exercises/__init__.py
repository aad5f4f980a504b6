"""Self-checks for the reader's solutions: each says which property failed, never the answer.

``check_…(solution)`` prints a verdict and returns whether the solution passed.
"""

from .chapter_01 import *
from .chapter_02 import *
from .chapter_03 import *
from .chapter_04 import *
