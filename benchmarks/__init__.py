"""Measurements behind the figures that the project quotes. Everything that is compared is measured in one run.

Nothing imports it, and it is not installed: it must measure what runs in service, never a copy of it.
"""

import crowdmood  # noqa: F401 (before numpy, as in service: it says how many threads that may have)
