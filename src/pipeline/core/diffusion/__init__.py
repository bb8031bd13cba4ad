"""What diffusion models share: noise schedules and sampling steps, group norms, and the SR3 UNet."""
