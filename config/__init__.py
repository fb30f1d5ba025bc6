"""Settings: the model, and how files, environment and flags become one. Imports nothing else of Weir."""

from config.errors import ConfigError
from config.limits import Limits, loki_defaults
from config.load import PROFILES, LoadedSettings, load
from config.settings import Settings
from config.show import dump_yaml

__all__ = ["PROFILES", "ConfigError", "Limits", "LoadedSettings", "Settings", "dump_yaml", "load", "loki_defaults"]
