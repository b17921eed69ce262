"""Settings: one TOML file, each setting overridable by environment, each secret by `…_FILE`.

settings   what there is to set, a frozen model per section, with defaults and texts
load       file and environment in; a Config or every fault at once out
lines      on which line of the file a setting stands, for the faults
example    config/relay.toml and the table in the README, made from `settings`
"""

from relay.config.load import load
from relay.config.settings import Config

__all__ = ["Config", "load"]
