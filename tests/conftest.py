"""What all tests share."""

import pytest

# The contracts are a plain module, not a test file: without this their failures would not show the values compared.
pytest.register_assert_rewrite("contracts")
