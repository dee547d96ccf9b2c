"""Reading and writing picture files with everything that belongs to them; nothing is filtered here."""

from striderule.cli.pictures.files import read, write
from striderule.cli.pictures.model import Frame, Metadata, Picture

__all__ = ["Frame", "Metadata", "Picture", "read", "write"]
