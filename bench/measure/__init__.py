"""Time, memory, arithmetic and records of any measurement."""
