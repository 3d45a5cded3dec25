"""What is measured on images: fidelity, copies, tone, and the filter made of them."""
