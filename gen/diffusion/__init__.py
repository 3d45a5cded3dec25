"""From noise to latents: schedules, solvers, strategies, and batches of rows."""
