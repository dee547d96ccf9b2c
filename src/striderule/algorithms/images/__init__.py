"""What the routines of images share: numbers as they stand in memory, tables of rows and borders."""
