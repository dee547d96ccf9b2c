"""The command line: ``striderule filter | shape | kernel | tour | config``. Needs the extra ``cli``."""
