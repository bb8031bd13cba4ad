"""What diffusion methods share: patches and anchors, examples, training, guided and conditional sampling."""
