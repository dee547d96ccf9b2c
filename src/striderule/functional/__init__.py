"""The operations on arrays: checked at the door, planned, computed, cast."""
