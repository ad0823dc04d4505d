"""``python -m jaxnmr``."""

from .cli import main

raise SystemExit(main())
