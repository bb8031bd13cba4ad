"""How the two sensors see a scene: responses, simulation, noise, no-data, calibration."""
