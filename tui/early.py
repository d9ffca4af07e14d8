"""What the first paint needs, and no more: the bundle as its YAML says it, and the settings of how things look.

Never judges what is wrong: where anything is, it gives up, and the slower way says what and where.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ..core.bundle import Bundle
from ..core.bundle_load import BundleNotFound, find_bundle_root, load_bundle
from ..core.config import Config, ConfigError, load_config
from .flags import settings_of


@dataclass(frozen=True, slots=True)
class Early:
    """The bundle and the settings, read once."""

    bundle: Bundle
    config: Config


def look_early(arguments: argparse.Namespace, env: Mapping[str, str] = os.environ) -> Early | None:
    """What there is at once; None where something is wrong with it."""
    try:
        root = find_bundle_root(Path(arguments.path))
        config = load_config(root, env, settings_of(arguments))
    except (BundleNotFound, ConfigError, OSError):
        return None
    bundle = load_bundle(root, arguments.target or "", env)
    if not bundle.broken and any(problem.summary.endswith(": no such target") for problem in bundle.errors):
        return None
    return Early(bundle, config)
