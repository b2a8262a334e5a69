"""The typed rows of run and memory folders. Only this package reads and writes them."""
