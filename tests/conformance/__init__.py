"""The conformance suite: what every connector must do, whichever venue it speaks to."""

import pytest

pytest.register_assert_rewrite("tests.conformance.bodies", "tests.conformance.suite", "tests.conformance.worlds")
