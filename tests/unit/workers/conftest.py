"""The fixture models' folder goes on the path, as `PYTHONPATH` does it for a real worker."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2] / "models"))
