"""That this folder has a conftest lets the tests in folders below import the helpers in it."""
