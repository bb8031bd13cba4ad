"""Models of the two sensors: responses, simulation, noise, no-data, calibration."""
