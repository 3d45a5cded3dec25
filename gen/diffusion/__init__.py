"""From noise to latents: schedules, solvers, strategies and continuous batching."""
