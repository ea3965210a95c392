"""How venues are reached: the port, the seam for bytes, budgets, venue state, metadata."""

import logging

# A library says nothing unless its user listens.
logging.getLogger("xex").addHandler(logging.NullHandler())
