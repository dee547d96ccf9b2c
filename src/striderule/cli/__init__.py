"""The command line, ``striderule filter | kernel | train | predict | tour`` and others. Needs the extra ``cli``."""
