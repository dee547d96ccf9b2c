"""How much the elements under a window differ from one another."""
