"""For all tests."""

from hypothesis import settings

# No test measures time: on a busy machine an example may take as long as it does.
settings.register_profile("untimed", parent=settings(), deadline=None)
settings.load_profile("untimed")
