"""Measurements of the figures that the project quotes. Everything that is compared is measured in one run.

The product does not import it, and it is not installed: it measures the product's own code.
"""

import crowdmood  # noqa: F401 (before numpy, as in service: it sets the number of its threads)
